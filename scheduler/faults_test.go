package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// onPostgres runs a test beside a node, in real time, on a PostgreSQL behind a
// proxy.
func onPostgres(t *testing.T, o rigOptions, test func(r *rig, p *storetest.Proxy)) {
	t.Helper()
	p := storetest.NewProxy(t, storetest.PostgresURL(t))
	o.store = storetest.Open(t, p.URL())
	r := newRig(t, o)
	defer r.run()()
	test(r, p)
}

// await waits until a condition holds.
func (r *rig) await(what string, holds func() bool) {
	r.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("%s did not come", what)
		}
	}
}

// finished waits until a task is.
func (r *rig) finished(id scheduler.TaskID) scheduler.Task {
	r.Helper()
	r.await("the end of a task", func() bool { return r.task(id).Status == scheduler.Finished })
	return r.task(id)
}

// swallow makes the proxy lose the answer to the first commit of a transaction
// that executes a text, and returns whether it did.
func swallow(p *storetest.Proxy, having string) (swallowed *atomic.Bool) {
	swallowed = &atomic.Bool{}
	p.Look(func(s storetest.Statement) storetest.Fate {
		if s.IsCommit(having) && swallowed.CompareAndSwap(false, true) {
			return storetest.Swallow
		}
		return storetest.Pass
	})
	return swallowed
}

// What a claim started is not dialled if nobody heard that it committed: it is
// released, and dialled as the same attempt.
func TestTheAnswerToAClaimIsLost(t *testing.T) {
	t.Parallel()
	var dialled atomic.Int32
	dial := func(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		dialled.Add(1)
		return talk(time.Millisecond)(ctx, c, bridged)
	}
	onPostgres(t, rigOptions{dial: dial, stray: 500 * time.Millisecond}, func(r *rig, p *storetest.Proxy) {
		swallowed := swallow(p, "INSERT INTO claims")
		task := r.finished(r.add(1, 1, 0)[0].ID)
		if !swallowed.Load() {
			t.Fatal("no answer was lost: nothing is tested")
		}
		if task.Result != scheduler.Success || task.Attempts != 1 || dialled.Load() != 1 || r.running() != 0 {
			t.Errorf("the task is %s after %d attempts, %d dialled, running %d", task.Result, task.Attempts, dialled.Load(), r.running())
		}
	})
}

// A result is written again when the answer to its commit was lost, and counts
// once.
func TestTheAnswerToAResultIsLost(t *testing.T) {
	for which, having := range map[string]string{
		"of the bridge": "UPDATE tasks t SET status = v.status", // the first one
		"of the end":    "COPY attempts",
	} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			onPostgres(t, rigOptions{dial: talk(300 * time.Millisecond), limit: 2}, func(r *rig, p *storetest.Proxy) {
				swallowed := swallow(p, having)
				tasks := r.post(3, func(now time.Time, t *scheduler.Task) {
					t.StartAt, t.ReadyAt, t.URLSuccess, t.URLAfter = now, now, "https://example.com/", "https://example.com/"
				})
				for _, task := range tasks {
					got := r.finished(task.ID)
					if got.Result != scheduler.Success || got.Attempts != 1 || got.EventSeq != 2 {
						t.Errorf("task %d is %q after %d attempts and %d events", task.ID, got.Result, got.Attempts, got.EventSeq)
					}
				}
				if !swallowed.Load() {
					t.Fatal("no answer was lost: nothing is tested")
				}
				events := r.count(p, "SELECT count(*) FROM deliveries WHERE kind IN ('success', 'after')")
				r.await("the end of the last call", func() bool { return r.disp.InProgress() == 0 })
				if events != 6 || r.running() != 0 {
					t.Errorf("%d events, running %d", events, r.running())
				}
			})
		})
	}
}

// count asks the database for a number.
func (r *rig) count(p *storetest.Proxy, query string) int {
	r.Helper()
	conn, err := pgx.Connect(r.Context(), p.URL())
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(r.Context()))
	var n int
	if err := conn.QueryRow(r.Context(), query).Scan(&n); err != nil {
		r.Fatal(err)
	}
	return n
}

// A row that PostgreSQL refuses ends its own task alone, and a bridge that it
// refuses is made good by the end.
func TestPostgresRefusesRows(t *testing.T) {
	t.Parallel()
	const bad = 500
	dial := func(_ context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		o := outcome(scheduler.Answered)
		if c.Task == bad {
			o.EndedAt = time.Time{} // no call ends without a time: the schema refuses it
		}
		bridged(o.BridgedAt)
		return o
	}
	fail := func(trs []scheduler.Transition) error {
		for _, tr := range trs {
			if tr.Step == scheduler.StepConnect && tr.Task.ID == bad/2 {
				return fmt.Errorf("%w: for this test", scheduler.ErrData)
			}
		}
		return nil
	}
	o := rigOptions{dial: dial, results: func(s *store.Store) scheduler.Results { return fickle{s, fail} }}
	onPostgres(t, o, func(r *rig, p *storetest.Proxy) {
		tasks := r.post(1000, func(now time.Time, t *scheduler.Task) {
			t.StartAt, t.ReadyAt, t.URLSuccess = now, now, "https://example.com/"
		})
		for _, task := range tasks {
			got, want := r.finished(task.ID), "" // they have all talked
			if task.ID == bad {
				want = string(scheduler.LocalError)
			}
			if got.Result != scheduler.Success || got.Comment != want || got.BridgedAt.IsZero() {
				t.Fatalf("task %d is %q %q, bridged at %s", task.ID, got.Result, got.Comment, got.BridgedAt)
			}
		}
		if n := r.count(p, "SELECT count(*) FROM deliveries WHERE kind = 'success'"); n != 1000 {
			t.Errorf("%d tasks told of their bridge", n)
		}
		r.await("the end of the last call", func() bool { return r.disp.InProgress() == 0 && r.running() == 0 })
	})
}

// A network that goes silent for good in the middle of a claim holds neither
// the queue nor the node: what it waits for has its limit on both sides.
func TestTheNetworkGoesSilentInAClaim(t *testing.T) {
	if testing.Short() {
		t.Skip("the limits are waited for without -short")
	}
	t.Parallel()
	var dialled atomic.Int32
	dial := func(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		dialled.Add(1)
		return talk(time.Millisecond)(ctx, c, bridged)
	}
	o := rigOptions{dial: dial, stray: 500 * time.Millisecond, lease: 3 * time.Second}
	onPostgres(t, o, func(r *rig, p *storetest.Proxy) {
		var stranded atomic.Bool
		p.Look(func(s storetest.Statement) storetest.Fate {
			if s.IsCommit("INSERT INTO claims") && stranded.CompareAndSwap(false, true) {
				p.Strand()
			}
			return storetest.Pass
		})
		added := r.add(1, 1, 0)
		r.await("the silence", stranded.Load)
		r.s = storetest.Open(t, p.URL()) // what the test reads by is sound
		task := r.finished(added[0].ID)
		if task.Result != scheduler.Success || task.Attempts != 1 || dialled.Load() != 1 {
			t.Errorf("the task is %s after %d attempts, %d dialled", task.Result, task.Attempts, dialled.Load())
		}
		r.await("the lease", r.lease.Valid)
	})
}

// slow is a store whose claims answer late.
type slow struct {
	*store.Store
	by time.Duration
}

func (s slow) Claim(ctx context.Context, owner scheduler.Owner, now time.Time, room int) (scheduler.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, owner, now, room)
	if len(claimed.Started) > 0 {
		<-time.After(s.by)
	}
	return claimed, err
}

// What was claimed under a lease that has run out by the time of its answer is
// not dialled.
func TestAClaimThatOutlivesItsLeaseIsNotDialled(t *testing.T) {
	dialled := 0
	o := rigOptions{
		dial: func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
			dialled++
			return outcome(scheduler.UserBusy)
		},
		tasks: func(s *store.Store) scheduler.Tasks { return slow{s, 2 * leaseLength} },
		nodes: func(s *store.Store) scheduler.Nodes { return away{s} },
	}
	inRig(t, o, func(r *rig) {
		id := r.add(1, 1, 0)[0].ID
		pass(3 * leaseLength)
		if dialled != 0 {
			t.Errorf("%d calls were dialled without a lease", dialled)
		}
		if task := r.task(id); task.Status != scheduler.Scheduled || task.Attempts != 0 {
			t.Errorf("the task is %s after %d attempts", task.Status, task.Attempts)
		}
	})
}

// away is a store that takes no renewals.
type away struct{ *store.Store }

func (away) Renew(context.Context, scheduler.Owner, time.Time) error {
	return errors.New("the database is away")
}

// A queue that another transaction holds for 10 ms when it is due starts at
// once when it is let go, not with the next tick.
func TestAQueueThatIsHeldWhenItIsDue(t *testing.T) {
	began := make(chan time.Time, 1)
	dial := func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
		began <- time.Now()
		return outcome(scheduler.UserBusy)
	}
	onPostgres(t, rigOptions{dial: dial}, func(r *rig, p *storetest.Proxy) {
		conn, err := pgx.Connect(t.Context(), p.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(t.Context()))
		var late []time.Duration
		for range 5 { // the machine may be busy at one time, and not at all five
			due := time.Now().Add(300 * time.Millisecond)
			r.post(1, func(_ time.Time, t *scheduler.Task) {
				at := due.Add(time.Until(r.clock.Now()))
				t.StartAt, t.ReadyAt = at, at
			})
			<-time.After(time.Until(due.Add(-5 * time.Millisecond)))
			holder, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := holder.Exec(t.Context(), "SELECT 1 FROM queue_runtime FOR NO KEY UPDATE"); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Until(due.Add(10 * time.Millisecond)))
			if err := holder.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := (<-began).Sub(due); took >= 10*time.Millisecond { // else it was held too late
				late = append(late, took)
			}
		}
		if len(late) == 0 || slices.Min(late) > 60*time.Millisecond {
			t.Errorf("the starts were %v late", late)
		}
	})
}

// Two machines whose clocks are wrong, each in its own way, keep a start rate
// together, by the database's clock.
func TestTwoWrongClocksKeepTheStartRate(t *testing.T) {
	t.Parallel()
	const starts = 40
	var mu sync.Mutex
	var off []time.Duration // of the node's clock from the right one, at each start
	by := map[string]int{}
	url := storetest.PostgresURL(t)
	node := func(name string, skew time.Duration, beside *rig) *rig {
		var r *rig
		r = newRig(t, rigOptions{
			store: storetest.Open(t, url), node: name, beside: beside, limit: starts,
			dial: func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
				mu.Lock()
				defer mu.Unlock()
				off, by[name] = append(off, time.Until(r.clock.Now())), by[name]+1
				return outcome(scheduler.UserBusy)
			},
		})
		r.clock.Skew(skew)
		return r
	}
	fast := node("fast", 900*time.Millisecond, nil)
	slow := node("slow", -900*time.Millisecond, fast)
	_, err := fast.s.UpdateQueue(t.Context(), fast.cl.ID, fast.queue.ID, func(q *scheduler.Queue) error { q.StartRate = 10; return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer fast.run()()
	defer slow.run()()
	tasks := fast.add(starts, 1, 0)
	for _, task := range tasks {
		fast.finished(task.ID)
	}
	calls, err := fast.s.Calls(t.Context(), fast.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: starts})
	if err != nil || len(calls.Rows) != starts {
		t.Fatalf("%d calls, %v", len(calls.Rows), err)
	}
	slices.SortFunc(calls.Rows, func(a, b scheduler.Attempt) int { return a.StartedAt.Compare(b.StartedAt) })
	for i := range calls.Rows[1:] {
		if gap := calls.Rows[i+1].StartedAt.Sub(calls.Rows[i].StartedAt); gap < 100*time.Millisecond {
			t.Errorf("start %d came %s after the one before", i+1, gap)
		}
	}
	if worst := slices.MaxFunc(off, func(a, b time.Duration) int { return int(a.Abs() - b.Abs()) }); worst.Abs() > 100*time.Millisecond {
		t.Errorf("a node's clock was %s off", worst)
	}
	if len(by) != 2 {
		t.Errorf("the starts were %v: one node never had its turn", by)
	}
}
