package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestClaim(t *testing.T) {
	claims := map[string]struct {
		limit int
		tasks []time.Duration // when each is due, from now
		room  int
		want  []int // which start, in order
	}{
		"due tasks start in the order they are due":         {limit: 9, room: 9, tasks: []time.Duration{0, -2, -1}, want: []int{1, 2, 0}},
		"tasks due together start in the order of their id": {limit: 9, room: 9, tasks: []time.Duration{0, 0, 0}, want: []int{0, 1, 2}},
		"no more start than the queue's limit":              {limit: 2, room: 9, tasks: []time.Duration{0, 0, 0}, want: []int{0, 1}},
		"no more start than there is room":                  {limit: 9, room: 1, tasks: []time.Duration{0, 0, 0}, want: []int{0}},
		"a queue without a limit starts what there is":      {limit: 0, room: 9, tasks: []time.Duration{0, 0, 0}, want: []int{0, 1, 2}},
		"nothing starts before it is due":                   {limit: 9, room: 9, tasks: []time.Duration{time.Second, 0}, want: []int{1}},
	}
	for claim, c := range claims {
		t.Run(claim, func(t *testing.T) {
			each(t, c.limit, func(w *world) {
				var drafts []scheduler.Task
				for _, due := range c.tasks {
					drafts = append(drafts, w.draft(due))
				}
				added := w.add(drafts...)
				owner := w.join("n1")
				started := w.claim(owner, c.room).Started
				if len(started) != len(c.want) {
					w.Fatalf("started %d tasks, want %d", len(started), len(c.want))
				}
				for i, s := range started {
					if want := added[c.want[i]].ID; s.Call.Task != want {
						w.Errorf("start %d is task %d, want %d", i, s.Call.Task, want)
					}
					row := w.task(s.Call.Task)
					if row.Status != scheduler.Executed || row.Node != "n1" || row.Epoch != owner.Epoch || row.CallID != s.Call.ID {
						w.Errorf("row is %s of %s in epoch %d by call %s", row.Status, row.Node, row.Epoch, row.CallID)
					}
				}
				if r := w.runtime(); r.Running != len(c.want) {
					w.Errorf("running is %d, want %d", r.Running, len(c.want))
				}
			})
		})
	}
}

// However many queues are due, and however long their rows are, a claim starts
// what there is room for.
func TestClaimOfManyQueuesWithoutALimit(t *testing.T) {
	each(t, 0, func(w *world) {
		long := map[string]string{}
		for i := range 50 {
			long[fmt.Sprint("v", i)] = strings.Repeat("x", scheduler.MaxVariable)
		}
		for range 64 {
			w.queue = storetest.Queue(w.T, w.s, w.cl, 0)
			tasks := make([]scheduler.Task, 40)
			for i := range tasks {
				tasks[i] = w.draft(0)
				tasks[i].Variables = long
			}
			w.add(tasks...)
		}
		owner := w.join("n1")
		for range 2 {
			if n := len(w.claim(owner, scheduler.MaxStarts).Started); n != scheduler.MaxStarts {
				w.Fatalf("started %d, want %d", n, scheduler.MaxStarts)
			}
		}
	})
}

func TestClaimFinishesWhatCanNeverStart(t *testing.T) {
	each(t, 1, func(w *world) {
		late := w.draft(-time.Minute)
		late.Deadline = w.now
		added := w.add(late, w.draft(0))
		claimed := w.claim(w.join("n1"), 9)
		if len(claimed.Dropped) != 1 || len(claimed.Started) != 1 || claimed.Started[0].Call.Task != added[1].ID {
			w.Fatalf("dropped %d, started %d", len(claimed.Dropped), len(claimed.Started))
		}
		if row := w.task(added[0].ID); row.Status != scheduler.Finished || row.Comment != scheduler.CommentExpired {
			w.Errorf("the late task is %s %q", row.Status, row.Comment)
		}
	})
}

// A client with 100,000 due tasks in 100 queues does not delay one with 10 by
// more than a claim.
func TestClaimsAreFairToClients(t *testing.T) {
	each(t, 0, func(w *world) {
		many := make([]scheduler.Task, 1000)
		if testing.Short() {
			many = many[:50]
		}
		for i := range many {
			many[i] = w.draft(-time.Hour)
		}
		for range 100 {
			w.queue = storetest.Queue(w.T, w.s, w.cl, 0)
			w.add(many...)
		}
		few := newWorld(w.T, w.s, 0)
		owner := w.join("n1")
		for round := range 2 { // before the other has any workers, and when it has many
			mine := map[scheduler.TaskID]bool{}
			for _, task := range few.addDue(10) {
				mine[task.ID] = true
			}
			w.now = few.now
			for _, s := range w.claim(owner, 50).Started {
				delete(mine, s.Call.Task)
			}
			if len(mine) > 0 {
				w.Errorf("round %d: %d of 10 tasks wait for more than a claim", round, len(mine))
			}
		}
	})
}

// Nor does one with more awake queues than a claim lists.
func TestMoreAwakeQueuesThanAreListed(t *testing.T) {
	each(t, 0, func(w *world) {
		few := newWorld(w.T, w.s, 0)
		must(w.T, store.AwakeQueues(w.s, w.queue.ID, 6000, w.now.Add(-time.Hour)))
		task := few.addDue(1)[0]
		w.now = few.now
		owner := w.join("n1")
		for range 20 {
			for _, s := range w.claim(owner, 50).Started {
				if s.Call.Task == task.ID {
					return
				}
			}
		}
		w.Error("it did not start with twenty claims")
	})
}

// The limit is exact while several nodes claim at once, and slots come back.
func TestClaimsRace(t *testing.T) {
	each(t, 3, func(w *world) {
		w.addDue(60)
		var owners []scheduler.Owner
		for _, node := range []string{"n1", "n2", "n3", "n4"} {
			owners = append(owners, w.join(node))
		}
		for range 10 {
			var mu sync.Mutex
			var started []scheduler.Started
			by := map[scheduler.CallID]scheduler.Owner{}
			var racing sync.WaitGroup
			for _, owner := range owners {
				racing.Go(func() {
					claimed := w.claim(owner, 9)
					mu.Lock()
					defer mu.Unlock()
					for _, s := range claimed.Started {
						started, by[s.Call.ID] = append(started, s), owner
					}
				})
			}
			racing.Wait()
			// A claim that found the row locked went away empty-handed; the
			// winner took all that was free.
			if len(started) != 3 || w.runtime().Running != 3 {
				w.Fatalf("%d started, running %d, want 3", len(started), w.runtime().Running)
			}
			for _, s := range started {
				racing.Go(func() { w.apply(by[s.Call.ID], s.Transition.Task.End(w.connected(), w.now)) })
			}
			racing.Wait()
			if r := w.runtime(); r.Running != 0 {
				w.Fatalf("running is %d after every call ended", r.Running)
			}
		}
	})
}

// A claim waits for nobody: it leaves out a queue that another transaction
// holds, and afterwards sees all that the holder committed.
func TestClaimLocksTheQueue(t *testing.T) {
	url := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, url), 5)
	w.addDue(5)
	owner := w.join("n1")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	holder, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"SELECT 1 FROM queue_runtime FOR NO KEY UPDATE",
		"UPDATE queues SET concurrent_limit = 2",
		"UPDATE queue_runtime SET running = 1",
	} {
		if _, err := holder.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	claimed := w.claim(owner, 9)
	if len(claimed.Started) != 0 || claimed.Next.After(w.now) {
		t.Fatalf("with the queue held by another: started %d, next %s", len(claimed.Started), claimed.Next)
	}
	if err := holder.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(w.claim(owner, 9).Started); n != 1 {
		t.Errorf("started %d under the limit and the count just committed, want 1", n)
	}
}

// A take-over waits for a claim that is about to commit, and then has what it
// started.
func TestTakeOverWaitsForAClaimInFlight(t *testing.T) {
	url := storetest.PostgresURL(t)
	p := storetest.NewProxy(t, url)
	w := newWorld(t, storetest.Open(t, p.URL()), 5)
	w.addDue(2)
	ctx := context.Background()
	first, second := w.join("n1"), w.join("n2")
	w.claim(first, 1) // so that there is something to take over

	failpoint, through := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(through) })
	defer release()
	p.Look(func(s storetest.Statement) storetest.Fate {
		if s.IsCommit("INSERT INTO claims") {
			close(failpoint)
			<-through
		}
		return storetest.Pass
	})
	claimed, taken := make(chan scheduler.Claimed, 1), make(chan []scheduler.Task, 1)
	go func() { claimed <- w.claim(first, 1) }()
	<-failpoint
	go func() {
		left, err := w.s.TakeOver(ctx, second, w.now.Add(2*lease))
		if err != nil {
			t.Errorf("take over: %v", err)
		}
		taken <- left
	}()
	waitFor(t, url, 1)
	release()
	if n := len((<-claimed).Started); n != 1 {
		t.Fatalf("the claim in flight started %d", n)
	}
	left := <-taken
	if len(left) != 2 {
		t.Fatalf("took over %d tasks, want both", len(left))
	}
	for _, task := range left {
		if task.Node != "n2" || task.Epoch != second.Epoch {
			t.Errorf("task %d is %s's in epoch %d", task.ID, task.Node, task.Epoch)
		}
	}
	if _, err := w.s.Claim(ctx, first, w.now, 9); !errors.Is(err, scheduler.ErrFenced) {
		t.Errorf("a claim of the old epoch: %v", err)
	}
	if n := w.apply(second, left[0].Lose(w.now), left[1].Lose(w.now)); n != 2 || w.runtime().Running != 0 {
		t.Errorf("%d lost, running %d", n, w.runtime().Running)
	}
}

// waitFor returns once n statements of the database wait for a lock.
func waitFor(t *testing.T, url string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var waiting int
		err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		if err != nil {
			t.Fatalf("nothing came to wait: %v", err)
		}
		if waiting >= n {
			return
		}
	}
}
