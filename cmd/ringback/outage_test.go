package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/store/storetest"
)

// cluster is some nodes on one PostgreSQL and one simulated carrier.
type cluster struct {
	t      *testing.T
	dir    string
	client *tenant
}

// node starts a node on a database, with env beside what all nodes have.
func (c *cluster) node(name, database string, env ...string) *program {
	c.t.Helper()
	p, err := startProgram("", c.dir, []string{"serve"}, append([]string{
		"RINGBACK_NODE=" + name, "RINGBACK_DATABASE_URL=" + database, "RINGBACK_DIALER=sim", "RINGBACK_SECRET_KEY=" + testKey,
		"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword, "RINGBACK_GRACE=1s",
		"RINGBACK_SIM_ANSWER_PERCENT=100", "RINGBACK_SIM_RING_MS=50", "RINGBACK_SIM_JOURNAL=" + c.journal(),
	}, env...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _, _ = p.stop(syscall.SIGKILL) })
	return p
}

func (c *cluster) journal() string { return filepath.Join(c.dir, "journal") }

// post posts tasks that are not tried again soon, and returns their ids.
func (c *cluster) post(n int, number string) []int64 {
	c.t.Helper()
	return c.postAs(n, map[string]any{
		"a_number": number, "b_number": "+390612349999", "extension_id": c.client.extension, "try_count": 3, "try_again_pause": 3600,
		"callback_params": map[string]any{"wait_for_pickup": 10},
	})
}

// postAs posts n tasks like one, and returns their ids.
func (c *cluster) postAs(n int, task map[string]any) []int64 {
	c.t.Helper()
	tasks := slices.Repeat([]map[string]any{task}, n)
	var made []wireTask
	if err := c.client.must(http.StatusCreated, "POST", c.client.tasks(), map[string]any{"tasks": tasks}, &made); err != nil {
		c.t.Fatal(err)
	}
	ids := make([]int64, len(made))
	for i, task := range made {
		ids[i] = task.ID
	}
	return ids
}

// counts waits until the queue's tasks are as wanted.
func (c *cluster) counts(limit time.Duration, want map[string]int) {
	c.t.Helper()
	path := c.client.path(fmt.Sprintf("/task_scheduler/%d", c.client.queue))
	err := await(limit, func() error {
		var queue struct{ Counts map[string]int }
		if err := c.client.must(http.StatusOK, "GET", path, nil, &queue); err != nil {
			return err
		}
		for status, n := range want {
			if queue.Counts[status] != n {
				return fmt.Errorf("of the tasks are %v, want %v", queue.Counts, want)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// calledOnce wants every task to have been tried once, as the carrier saw it,
// and to have ended as its call did.
func (c *cluster) calledOnce(ids []int64, status, comment string) {
	c.t.Helper()
	seen, err := judgement(c.journal(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, fault := range seen.faults {
		c.t.Error(fault)
	}
	for _, id := range ids {
		var task wireTask
		if err := c.client.must(http.StatusOK, "GET", fmt.Sprintf("%s%d", c.client.tasks(), id), nil, &task); err != nil {
			c.t.Fatal(err)
		}
		if seen.tasks[id] != 1 || task.Attempts != 1 || task.Status != status || task.FinishComment != comment {
			c.t.Errorf("the carrier saw %d calls of task %+v", seen.tasks[id], task)
		}
	}
}

// TestTheDatabaseIsAway: two nodes lose their database for longer than their
// leases, in the middle of calls, and find it again one after the other. Nobody
// is called again, and how the calls ended is recorded.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	away, talk, gap := 20*time.Second, 30*time.Second, 5*time.Second
	if testing.Short() {
		away, talk = 8*time.Second, 15*time.Second
	}
	url := storetest.PostgresURL(t)
	first, second := storetest.NewProxy(t, url), storetest.NewProxy(t, url)
	c := &cluster{t: t, dir: t.TempDir()}
	env := []string{"RINGBACK_LEASE=6s", "RINGBACK_WORKERS=6", fmt.Sprintf("RINGBACK_SIM_TALK_MS=%d", talk.Milliseconds())}
	n1, n2 := c.node("n1", first.URL(), env...), c.node("n2", second.URL(), env...)
	var err error
	if c.client, err = newTenant(n1.url, 12); err != nil {
		t.Fatal(err)
	}
	silent := c.post(2, "+390612340480") // rings for ten seconds: the result is made while nobody can take it
	talking := c.post(10, "+390612340001")
	c.counts(patience, map[string]int{"executed": 12})
	if err := c.connected(10); err != nil {
		t.Fatal(err)
	}
	first.Cut()
	second.Cut()
	<-time.After(away)
	first.Mend()
	<-time.After(gap) // who is back first takes nothing from the other
	second.Mend()
	c.counts(talk+patience, map[string]int{"finished": 10, "delayed": 2})
	c.calledOnce(talking, "finished", "")
	c.calledOnce(silent, "delayed", "")
	more := c.post(1, "+390612340001")
	c.counts(talk+patience, map[string]int{"finished": 11})
	c.calledOnce(more, "finished", "")
	for _, p := range []*program{n1, n2} {
		if strings.Contains(p.out.String(), "took over") {
			t.Errorf("a node took over what another was about to go on with:\n%s", p.out.String())
		}
	}
}

// connected waits until n calls are bridged, by the call history.
func (c *cluster) connected(n int) error {
	return await(patience, func() error {
		entries, err := readJournal(c.journal())
		if err != nil {
			return err
		}
		b := 0
		for _, e := range entries {
			if e.Event == "originate" && e.Leg == "b" {
				b++
			}
		}
		if b < n {
			return fmt.Errorf("%d of %d calls have come to B", b, n)
		}
		return nil
	})
}

// TestPostgreSQLCrashesUnderLoad: the server is gone for 20 seconds while two
// nodes are busy, and what was called, is called, or waits is not lost.
func TestPostgreSQLCrashesUnderLoad(t *testing.T) {
	t.Parallel()
	away, tasks := 20*time.Second, 400
	if testing.Short() {
		away, tasks = 5*time.Second, 100
	}
	db := storetest.NewCluster(t)
	c := &cluster{t: t, dir: t.TempDir()}
	env := []string{"RINGBACK_LEASE=3s", "RINGBACK_SIM_TALK_MS=3000"}
	n1, n2 := c.node("n1", db.URL(), env...), c.node("n2", db.URL(), env...)
	var err error
	if c.client, err = newTenant(n1.url, 40); err != nil {
		t.Fatal(err)
	}
	ids := c.post(tasks, "+390612340001")
	if err := c.connected(tasks / 4); err != nil {
		t.Fatal(err)
	}
	db.Crash()
	<-time.After(away)
	db.Start()
	c.counts(2*patience, map[string]int{"finished": tasks})
	c.calledOnce(ids, "finished", "")
	seen, err := judgement(c.journal(), nil)
	if err != nil || seen.peak != 40 {
		t.Errorf("at most %d calls were up at one time, the limit is 40; %v", seen.peak, err)
	}
	for _, p := range []*program{n1, n2} {
		if code, err := p.stop(syscall.SIGTERM); code != 0 || err != nil {
			t.Errorf("a node ended with %d, %v:\n%s", code, err, p.out.String())
		}
	}
}

// TestANodeIsFrozenInAClaim: it holds the queue's row, and the database takes
// that from it. It goes on when it thaws.
func TestANodeIsFrozenInAClaim(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t)
	proxy := storetest.NewProxy(t, url)
	c := &cluster{t: t, dir: t.TempDir()}
	env := []string{"RINGBACK_LEASE=2s", "RINGBACK_SIM_TALK_MS=200"}
	frozen := c.node("n1", proxy.URL(), env...)
	var err error
	if c.client, err = newTenant(frozen.url, 5); err != nil {
		t.Fatal(err)
	}
	var holds atomic.Bool
	waiting, posted := context.WithCancel(t.Context())
	defer posted()
	proxy.Look(func(s storetest.Statement) storetest.Fate {
		if strings.Contains(s.SQL, "SKIP LOCKED") && strings.Contains(s.SQL, "queue_runtime") && holds.CompareAndSwap(false, true) {
			<-waiting.Done() // who is frozen answers nobody
			frozen.signal(syscall.SIGSTOP)
		}
		return storetest.Pass
	})
	other := c.node("n2", url, env...)
	other.signal(syscall.SIGSTOP) // so that it does not take the tasks first
	ids := c.post(3, "+390612340001")
	posted()
	if err := await(patience, func() error {
		if !holds.Load() {
			return fmt.Errorf("the node does not claim")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	other.signal(syscall.SIGCONT)
	c.client.base = other.url
	c.counts(patience, map[string]int{"finished": 3})
	frozen.signal(syscall.SIGCONT)
	c.calledOnce(ids, "finished", "")
	if code, err := other.stop(syscall.SIGTERM); code != 0 || err != nil {
		t.Errorf("the other node ended with %d, %v", code, err)
	}
	c.client.base = frozen.url
	more := c.post(1, "+390612340001")
	c.counts(patience, map[string]int{"finished": 4})
	c.calledOnce(more, "finished", "")
}
