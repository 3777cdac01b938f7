package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/store/storetest"
)

// soakVariable says for how long TestSoak kills; make soak sets it.
const soakVariable = "RINGBACK_SOAK"

const (
	soakNodes   = 4
	soakTries   = 20
	soakRate    = 10 // starts a second
	soakBacklog = 30 // tasks of a queue that wait, at least
)

// soak is four processes that race over queues while one of them is killed
// every second and replaced.
type soak struct {
	*cluster
	database string
	nodes    []*program
	gone     map[int][]time.Time // when a process was killed
	kills    int
	queues   []soakQueue
}

// soakQueue is a queue and all of its tasks.
type soakQueue struct {
	id    int64
	limit int // 0: it has a start rate instead
	tasks map[int64]bool
}

func (s *soak) start(i int) {
	s.nodes[i] = s.node(fmt.Sprintf("n%d", i), s.database, "RINGBACK_LEASE=1s",
		"RINGBACK_SIM_RING_MS=20", "RINGBACK_SIM_TALK_MS=60")
	if s.client != nil {
		s.client.base = s.nodes[i].url
	}
}

// kill kills a node and puts another one into its place.
func (s *soak) kill(i int) {
	s.t.Helper()
	p := s.nodes[i]
	if _, err := p.stop(syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.gone[p.cmd.Process.Pid] = append(s.gone[p.cmd.Process.Pid], time.Now())
	s.kills++
	s.start(i)
}

// add makes a queue with a limit, or with a start rate.
func (s *soak) add(limit int) {
	s.t.Helper()
	queue := map[string]any{"name": "soak", "status": "on", "concurrent_task_limit": limit}
	if limit == 0 {
		queue["concurrent_task_limit"], queue["start_rate"] = nil, soakRate
	}
	var made struct{ ID int64 }
	if err := s.client.must(http.StatusCreated, "POST", s.client.path("/task_scheduler/"), queue, &made); err != nil {
		s.t.Fatal(err)
	}
	s.queues = append(s.queues, soakQueue{id: made.ID, limit: limit, tasks: map[int64]bool{}})
}

// feed sees to it that every queue has something to do.
func (s *soak) feed() {
	s.t.Helper()
	for _, q := range s.queues {
		s.client.queue = q.id
		if s.left(q) >= soakBacklog*max(q.limit, 1) {
			continue
		}
		n := 2 * soakBacklog * max(q.limit, 1)
		made := s.postAs(n-1, s.task("+390612340001"))
		for _, id := range append(made, s.postAs(1, s.task("+390612340486"))...) { // busy, at every try
			q.tasks[id] = true
		}
	}
}

func (s *soak) task(number string) map[string]any {
	return map[string]any{
		"a_number": number, "b_number": "+390612349999", "extension_id": s.client.extension,
		"try_count": soakTries, "try_again_pause": 0,
	}
}

// left is how many tasks of a queue are not finished.
func (s *soak) left(q soakQueue) int {
	s.t.Helper()
	var queue struct{ Counts map[string]int }
	if err := s.client.must(http.StatusOK, "GET", s.client.path(fmt.Sprintf("/task_scheduler/%d", q.id)), nil, &queue); err != nil {
		s.t.Fatal(err)
	}
	return len(q.tasks) - queue.Counts["finished"]
}

// settle waits until every task is finished.
func (s *soak) settle() {
	s.t.Helper()
	for _, q := range s.queues {
		err := await(5*time.Minute, func() error {
			if n := s.left(q); n > 0 {
				return fmt.Errorf("%d of %d tasks of the queue with the limit %d are unfinished", n, len(q.tasks), q.limit)
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// judge looks at the carrier's journal, and at what the database says of slots
// and of attempts that were lost.
func (s *soak) judge(atLeast int) {
	seen, err := judgement(s.journal(), s.gone)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fault := range seen.faults {
		s.t.Error(fault)
	}
	for task, tries := range seen.tasks {
		if tries > soakTries {
			s.t.Errorf("task %d was tried %d times", task, tries)
		}
	}
	whole, inFlight := 0, 0
	for _, c := range seen.spans {
		if c.cut {
			inFlight++
		} else {
			whole++
		}
	}
	for _, q := range s.queues {
		peak := seen.peakOf(func(task int64) bool { return q.tasks[task] })
		s.t.Logf("limit %d: %d tasks, at most %d calls at one time", q.limit, len(q.tasks), peak)
		if q.limit > 0 && peak != q.limit {
			s.t.Errorf("at most %d calls were up at one time, the limit is %d", peak, q.limit)
		}
		if q.limit == 0 {
			s.judgeRate(q, seen.spans)
		}
	}
	ctx := context.Background()
	db, err := pgx.Connect(ctx, s.database)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close(ctx)
	var running, executed, lost int
	err = db.QueryRow(ctx, `SELECT (SELECT sum(running) FROM queue_runtime), (SELECT count(*) FROM tasks WHERE status = 'executed'),
		(SELECT count(*) FROM attempts WHERE legs = '[]')`).Scan(&running, &executed, &lost)
	if err != nil || running != 0 || executed != 0 {
		s.t.Errorf("%d slots are taken, %d tasks executed, after all have finished; %v", running, executed, err)
	}
	s.t.Logf("%d calls completed, %d cut by %d kills, %d attempts lost, at most %d calls at one time", whole, inFlight, s.kills, lost, seen.peak)
	if lost > s.kills*seen.peak {
		s.t.Errorf("%d attempts were lost by %d kills of processes with at most %d calls", lost, s.kills, seen.peak)
	}
	if whole < atLeast {
		s.t.Errorf("%d calls were completed, want %d", whole, atLeast)
	}
}

// judgeRate looks at five seconds at a time: a start is told up to half a
// second after its claim on a machine as busy as this.
func (s *soak) judgeRate(q soakQueue, calls []span) {
	var starts []float64
	for _, c := range calls {
		if q.tasks[c.task] {
			starts = append(starts, c.from)
		}
	}
	slices.Sort(starts)
	const window, most = 5, 5*soakRate + soakRate/2 + 1
	for i := range starts {
		if i >= most && starts[i]-starts[i-most] < window {
			s.t.Fatalf("more than %d starts in five seconds at a rate of %d", most, soakRate)
		}
	}
}

// TestSoak is short by itself; make soak is the long one.
func TestSoak(t *testing.T) {
	length, atLeast := 8*time.Second, 100
	if long := os.Getenv(soakVariable); long != "" {
		var err error
		if length, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
		atLeast = int(length.Seconds() * 2000 / 60)
	}
	s := &soak{
		cluster: &cluster{t: t, dir: t.TempDir()}, database: storetest.PostgresURL(t),
		nodes: make([]*program, soakNodes), gone: map[int][]time.Time{},
	}
	for i := range s.nodes {
		s.start(i)
	}
	var err error
	if s.client, err = newTenant(s.nodes[0].url, 1); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 3, 10, 0} {
		s.add(limit)
	}
	s.feed()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end, round := time.Now().Add(length), 0; time.Now().Before(end); round++ {
		<-tick.C
		s.kill(round % soakNodes)
		s.feed()
	}
	s.settle()
	s.judge(atLeast)
}
