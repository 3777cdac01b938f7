package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// batchOfRun is how many tasks a run posts: enough for it to take a while, and
// fewer than a page has, so that one too many is seen.
const batchOfRun = 999

// batchRun registers a POST_TASKS that is to be run now, of tasks that do not
// start soon and that nothing but the run itself keeps from being posted twice. Its
// end is told to hook, unless that is "".
func (c *cluster) batchRun(name, hook string) (path string) {
	c.t.Helper()
	one := fmt.Sprintf(`{"name":%q,"a_number":"101","b_number":"102","extension_id":%d,"start_time_utc":86400}`, name, c.client.extension)
	params := fmt.Sprintf(`{"scheduler_id":%d,"tasks":[%s]}`, c.client.queue, one+strings.Repeat(","+one, batchOfRun-1))
	var made struct {
		ResponseData struct{ Detail struct{ ID string } }
	}
	task := map[string]any{"TaskID": scheduler.JobPostTasks, "Frequency": "NONE", "Parameters": params, "ContentType": "application/json"}
	if hook != "" {
		task["Notification"], task["NotificationUrl"] = "WEBHOOK", hook
	}
	if err := c.client.must(http.StatusOK, "POST", "/api/v2/admin/tasks/account", task, &made); err != nil {
		c.t.Fatal(err)
	}
	return "/api/v2/admin/tasks/account/" + made.ResponseData.Detail.ID + "/runs"
}

// postedOnce wants the one run there is to have succeeded, and to have posted its
// tasks once.
func (c *cluster) postedOnce(name, runs string) {
	c.t.Helper()
	err := await(patience, func() error {
		var told struct {
			ResponseData struct{ Detail []struct{ Result string } }
		}
		if err := c.client.must(http.StatusOK, "GET", runs, nil, &told); err != nil {
			return err
		}
		if all := told.ResponseData.Detail; len(all) != 1 || all[0].Result != "SUCCEEDED" {
			return fmt.Errorf("the runs are %+v", all)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	var posted []wireTask
	if err := c.client.must(http.StatusOK, "GET", c.client.tasks()+"?per_page=1000&name="+url.QueryEscape(name), nil, &posted); err != nil {
		c.t.Fatal(err)
	}
	if len(posted) != batchOfRun {
		c.t.Errorf("%s: %d tasks are posted, want %d", name, len(posted), batchOfRun)
	}
}

// Two nodes on one database: whichever does a run is killed when all of it but the
// commit is done, and another time when the commit is on its way, of which it never
// learns. It is done once, by whoever comes first, as soon as the node is back.
func TestNodesAreKilledAtTheMomentOfARun(t *testing.T) {
	t.Parallel()
	database := storetest.PostgresURL(t)
	c := &cluster{t: t, dir: t.TempDir()}
	var nodes [2]*program
	var proxies [2]*storetest.Proxy
	start := func(i int) {
		nodes[i] = c.node(fmt.Sprintf("n%d", i), proxies[i].URL(), "RINGBACK_LEASE=1s")
	}
	for i := range nodes {
		proxies[i] = storetest.NewProxy(t, database)
		start(i)
	}
	var err error
	if c.client, err = newTenant(nodes[0].url, 1); err != nil {
		t.Fatal(err)
	}
	const ends = `UPDATE "account_task_runs"`
	for name, now := range map[string]func(s storetest.Statement, posts bool) bool{
		"before its commit": func(s storetest.Statement, posts bool) bool { return posts && strings.HasPrefix(s.SQL, ends) },
		"at its commit":     func(s storetest.Statement, posts bool) bool { return posts && s.IsCommit(ends) },
	} {
		var once atomic.Bool
		killed := make(chan int, 1)
		for i := range nodes {
			proxies[i].Look(func(s storetest.Statement) storetest.Fate {
				posts := false
				for _, sql := range s.Before {
					posts = posts || strings.HasPrefix(sql, "COPY tasks ")
				}
				if now(s, posts) && once.CompareAndSwap(false, true) {
					_, _ = nodes[i].stop(syscall.SIGKILL)
					killed <- i
				}
				return storetest.Pass
			})
		}
		runs := c.batchRun(name, "")
		select {
		case i := <-killed:
			start(i)
			c.client.base = nodes[i].url
		case <-time.After(patience):
			t.Fatalf("nobody was killed %s", name)
		}
		c.postedOnce(name, runs)
	}
}

// hook is a receiver of the ends of runs.
type hook struct {
	*httptest.Server
	came chan hooked
}

type hooked struct {
	header http.Header
	body   []byte
}

func newHook(t *testing.T) hook {
	h := hook{came: make(chan hooked, 10)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil { // else the sender is gone, and tries again
			h.came <- hooked{r.Header, body}
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// told wants one event, signed with the secret, that says how a run ended.
func (h hook) told(t *testing.T, secret string) {
	t.Helper()
	judge, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	var got hooked
	select {
	case got = <-h.came:
	case <-time.After(eventPatience):
		t.Fatal("nobody told how the run ended")
	}
	if err := judge.Verify(got.body, got.header); err != nil {
		t.Errorf("%v: %s", err, got.body)
	}
	got.body[len(got.body)/2] ^= 1
	if judge.Verify(got.body, got.header) == nil {
		t.Error("an event that was tampered with passed as signed")
	}
	got.body[len(got.body)/2] ^= 1
	var e struct {
		ID, Type string
		Data     struct{ Name, Result, Detail string }
	}
	err = json.Unmarshal(got.body, &e)
	if err != nil || e.ID != got.header.Get("webhook-id") || e.Type != "account_task.finished" || e.Data.Name != "POST_TASKS" ||
		e.Data.Result != "succeeded" || !strings.HasPrefix(e.Data.Detail, fmt.Sprintf("posted %d tasks ", batchOfRun)) {
		t.Errorf("%s: %+v, %v", got.body, e, err)
	}
	if len(h.came) > 0 {
		t.Errorf("another one came: %s", (<-h.came).body)
	}
}

// One node on SQLite is killed while a run is under way, and started again. The
// end of the run is told, and signed with the secret of the client.
func TestTheNodeIsKilledAtTheMomentOfARun(t *testing.T) {
	t.Parallel()
	c := &cluster{t: t, dir: t.TempDir()}
	path := filepath.Join(c.dir, "ringback.db")
	env := "RINGBACK_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8"
	node := c.node("n0", "sqlite://"+path, env)
	var err error
	if c.client, err = newTenant(node.url, 1); err != nil {
		t.Fatal(err)
	}
	var made struct{ Secret string }
	if err := c.client.must(http.StatusCreated, "POST", c.client.path("/webhooks/secrets/"), nil, &made); err != nil {
		t.Fatal(err)
	}
	receiver := newHook(t)
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	underWay := func() (is bool, err error) {
		err = db.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT 1 FROM account_task_runs WHERE state = 'running' AND lease_token <> '')").Scan(&is)
		return is, err
	}
	const rounds = 5
	for round := range rounds {
		name := fmt.Sprintf("round %d", round)
		runs := c.batchRun(name, receiver.URL)
		err := await(patience, func() error {
			if is, err := underWay(); err != nil || !is {
				return fmt.Errorf("no run is under way, %w", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.stop(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		cut, err := underWay()
		if err != nil {
			t.Fatal(err)
		}
		node = c.node("n0", "sqlite://"+path, env)
		c.client.base = node.url
		c.postedOnce(name, runs)
		receiver.told(t, made.Secret)
		if cut {
			return
		}
	}
	t.Errorf("in %d rounds no run was under way when its node was killed", rounds)
}
