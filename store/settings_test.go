package store_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// stilling is a change of a queue's settings after which at most most tasks are
// executed at one time, and what undoes it.
type stilling struct {
	change, undo func(w *world)
	most         int
	once         bool // one more may start, then none
	fails        bool // calls end as the network's fault; else they are lost
}

// A setting holds for every claim that begins after its commit, whoever claims,
// hangs up nobody, and wakes the queue when it is taken back.
func TestSettingsRaceWithClaims(t *testing.T) {
	set := func(change func(q *scheduler.Queue)) func(w *world) {
		return func(w *world) {
			_, err := w.s.UpdateQueue(context.Background(), w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error {
				change(q)
				return nil
			})
			must(w.T, err)
		}
	}
	edit := func(open bool) func(w *world) {
		return func(w *world) { w.moveWindow(open) }
	}
	for claim, still := range map[string]stilling{
		"off, then on": {
			change: set(func(q *scheduler.Queue) { q.On = false }),
			undo:   set(func(q *scheduler.Queue) { q.On = true }),
		},
		"limit lowered, then raised": {
			change: set(func(q *scheduler.Queue) { q.Limit = 1 }),
			undo:   set(func(q *scheduler.Queue) { q.Limit = 4 }),
			most:   1,
		},
		"window taken, then given up": {
			change: func(w *world) {
				id := w.window(false)
				set(func(q *scheduler.Queue) { q.IntervalID = id })(w)
			},
			undo: set(func(q *scheduler.Queue) { q.IntervalID = nil }),
		},
		"window closed, then opened": {change: edit(false), undo: edit(true)},
		"start rate taken, then given up": {
			change: set(func(q *scheduler.Queue) { q.StartRate = scheduler.MinStartRate }),
			undo:   set(func(q *scheduler.Queue) { q.StartRate = 0 }),
			most:   4, once: true,
		},
		"brake closed to what was counted, then reset": {
			fails: true, change: func(w *world) { w.brake() },
			undo: func(w *world) { must(w.T, w.s.ResetBrake(context.Background(), w.cl.ID, w.queue.ID)) },
		},
		"brake closed to what was counted, then given up": {
			fails: true, change: func(w *world) { w.brake() },
			undo: set(func(q *scheduler.Queue) { q.Brake.MinPercent = 0 }),
		},
		"brake closed to what was counted, then eased": {
			fails: true, change: func(w *world) { w.brake() },
			undo: set(func(q *scheduler.Queue) { q.Brake.MinAttempts = 1000 }),
		},
		"deleted": {
			change: func(w *world) {
				must(w.T, w.s.DeleteQueue(context.Background(), w.cl.ID, w.queue.ID, true, w.now))
			},
		},
	} {
		t.Run(claim, func(t *testing.T) {
			each(t, 4, func(w *world) { w.raceClaims(still) })
		})
	}
}

// brake gives the queue a brake, waits until it has counted an attempt, and
// makes that enough to open it.
func (w *world) brake() {
	w.Helper()
	settings := scheduler.BrakeSettings{MinPercent: 100, Basis: scheduler.BasisNER, Window: 600, MinAttempts: 1000, Pause: 300}
	w.setBrake(settings)
	for deadline := time.Now().Add(10 * time.Second); w.runtime().Brake.Kept() == nil; {
		if time.Now().After(deadline) {
			w.Fatal("nothing is counted")
		}
	}
	settings.MinAttempts = 1
	w.setBrake(settings)
}

func (w *world) setBrake(s scheduler.BrakeSettings) {
	w.Helper()
	_, err := w.s.UpdateQueue(context.Background(), w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.Brake = s; return nil })
	must(w.T, err)
}

// congested is an attempt that the network refused.
func (w *world) congested() scheduler.Outcome {
	o := w.busy()
	o.Legs[0].Disposition = scheduler.Congestion
	return o
}

// window stores an interval that is open, or opens in an hour.
func (w *world) window(open bool) *scheduler.IntervalID {
	w.Helper()
	i, err := w.s.AddInterval(context.Background(), scheduler.Interval{
		ClientID: w.cl.ID, Name: "window", TimeZone: "UTC", Conditions: w.conditions(open), CreatedAt: w.now,
	})
	must(w.T, err)
	return &i.ID
}

func (w *world) conditions(open bool) []scheduler.Condition {
	from := w.now.Truncate(time.Second).Add(-time.Hour)
	if !open {
		from = from.Add(2 * time.Hour)
	}
	return []scheduler.Condition{{Start: scheduler.WallTime(from.Unix()), End: scheduler.WallTime(from.Add(2 * time.Hour).Unix())}}
}

// moveWindow opens or closes the window of the queue, which it gives it first.
func (w *world) moveWindow(open bool) {
	w.Helper()
	ctx := context.Background()
	if w.queue.IntervalID == nil {
		id := w.window(true)
		q, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.IntervalID = id; return nil })
		must(w.T, err)
		w.queue = q
	}
	_, err := w.s.UpdateInterval(ctx, w.cl.ID, *w.queue.IntervalID, func(i *scheduler.Interval) error {
		i.Conditions = w.conditions(open)
		return nil
	})
	must(w.T, err)
}

// raceClaims claims and ends tasks on three nodes while the settings change.
func (w *world) raceClaims(still stilling) {
	again := w.draft(0) // what ends is due again at once, in a deleted queue, too
	again.TryCount, again.TryPause = scheduler.MaxTryCount, 0
	w.add(slices.Repeat([]scheduler.Task{again}, 20)...)
	owners := []scheduler.Owner{w.join("n1"), w.join("n2"), w.join("n3")}
	r := &race{world: w, most: still.most, once: still.once, fails: still.fails, looked: make(chan struct{}, 1), started: make(chan struct{}, 1)}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	var claiming sync.WaitGroup
	for _, owner := range owners {
		claiming.Go(func() { r.claims(ctx, owner) })
	}
	defer func() {
		stop()
		claiming.Wait()
		if n := w.runningRow(); n != 0 {
			w.Errorf("%d slots did not come back", n)
		}
	}()
	wait(ctx, w.T, r.started, "nothing starts before the change")
	still.change(w)
	r.stilled.Store(true)
	for range 30 {
		wait(ctx, w.T, r.looked, "no claim looks")
	}
	if still.undo == nil {
		return
	}
	// An attempt that fails after the brake was reset would open it again.
	for still.fails && w.runtime().Running > 0 && ctx.Err() == nil {
		wait(ctx, w.T, r.looked, "no claim looks")
	}
	r.stilled.Store(false)
	select { // what was started before
	case <-r.started:
	default:
	}
	still.undo(w)
	wait(ctx, w.T, r.started, "nothing starts once it is undone")
}

func wait(ctx context.Context, t *testing.T, c chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-c:
	case <-ctx.Done():
		t.Fatal(otherwise)
	}
}

// race counts what several nodes have started and not ended, from below.
type race struct {
	*world
	most     int
	once     bool
	fails    bool
	stilled  atomic.Bool
	up, late atomic.Int32
	looked   chan struct{} // a claim that began after the change is over
	started  chan struct{}
}

func (r *race) claims(ctx context.Context, owner scheduler.Owner) {
	for ctx.Err() == nil {
		stilled := r.stilled.Load()
		started := r.claim(owner, 9).Started
		up := r.up.Add(int32(len(started)))
		if stilled = stilled && r.stilled.Load(); stilled {
			if n := r.late.Add(int32(len(started))); len(started) > 0 && int(up) > r.most || r.once && n > 1 {
				r.Errorf("%d started after the change, %d are executed, %d in all", len(started), up, n)
			}
			select {
			case r.looked <- struct{}{}:
			default:
			}
		}
		if len(started) > 0 {
			select {
			case r.started <- struct{}{}:
			default:
			}
		}
		for _, s := range started {
			r.up.Add(-1)
			end := s.Transition.Task.Lose(r.now)
			if r.fails {
				end = s.Transition.Task.End(r.congested(), r.now)
			}
			r.apply(owner, end)
			// There is always something due; a deleted queue takes nothing more.
			_, err := r.s.AddTasks(ctx, r.cl.ID, r.queue.ID, []scheduler.Task{r.draft(0)})
			if err != nil && ctx.Err() == nil && scheduler.KindOf(err) != scheduler.NotFound {
				r.Error(err)
			}
		}
	}
}

// runningRow counts the slots of the queue, which may be deleted.
func (w *world) runningRow() int {
	w.Helper()
	running := 0
	tasks, err := store.TasksOf(w.s, w.queue.ID)
	must(w.T, err)
	for _, task := range tasks {
		if task.Status == scheduler.Executed {
			running++
		}
	}
	return running
}

func TestClaimKeepsToTheWindow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, 2)
		w.moveWindow(false)
		tasks := w.add(w.draft(-3*time.Second), w.draft(-1*time.Second), w.draft(-2*time.Second))
		owner := w.join("n1")
		opens := w.now.Truncate(time.Second).Add(time.Hour)
		claimed := w.claim(owner, 9)
		if len(claimed.Started) != 0 || !claimed.Next.Equal(opens) {
			t.Fatalf("closed: %d started, looks next at %s, opens at %s", len(claimed.Started), claimed.Next, opens)
		}
		r := w.runtime()
		if r.Hold.Gate != scheduler.GateInterval || !r.Hold.Until.Equal(opens) || r.Hold.Detail == "" {
			t.Errorf("held by %+v", r.Hold)
		}
		w.now = opens.Add(-time.Microsecond)
		if n := len(w.claim(owner, 9).Started); n != 0 {
			t.Fatalf("%d started before the opening", n)
		}
		w.now = opens
		started := w.claim(owner, 9).Started
		if len(started) != 2 || started[0].Call.Task != tasks[0].ID || started[1].Call.Task != tasks[2].ID {
			t.Fatalf("at the opening %+v started", started)
		}
		w.apply(owner, started[0].Transition.Task.End(w.connected(), w.now))
		if started = w.claim(owner, 9).Started; len(started) != 1 || started[0].Call.Task != tasks[1].ID {
			t.Errorf("then %+v started", started)
		}
		t.Run("and finishes what waits for one that never opens", func(t *testing.T) {
			w.apply(owner, started[0].Transition.Task.End(w.connected(), w.now))
			w.now = w.now.Add(3 * time.Hour)
			task := w.addDue(1)[0]
			dropped := w.claim(owner, 9).Dropped
			if len(dropped) != 1 || w.task(task.ID).Comment != scheduler.CommentNever || w.task(task.ID).Result != scheduler.Failure {
				t.Errorf("%d were dropped, the task is %+v", len(dropped), w.task(task.ID))
			}
		})
	})
}

// A queue that takes a window while that is opened, and that a claim held until
// the former opening, is woken.
func TestAWindowIsTakenWhileItIsOpened(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.PostgresURL(t)), 1) // SQLite has one writer at a time
	ctx, owner, id := t.Context(), w.join("n1"), w.window(false)
	w.addDue(1)
	_, err := w.s.UpdateInterval(ctx, w.cl.ID, *id, func(i *scheduler.Interval) error {
		i.Conditions = w.conditions(true)
		_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.IntervalID = id; return nil })
		if n := len(w.claim(owner, 9).Started); n != 0 {
			t.Errorf("%d started before the window was opened", n)
		}
		return err
	})
	must(t, err)
	if n := len(w.claim(owner, 9).Started); n != 1 {
		t.Errorf("%d started once it was", n)
	}
}

// What waits for a window that never opens is finished at once, not when a slot
// comes free.
func TestAFullQueueWhoseWindowNeverOpens(t *testing.T) {
	each(t, 1, func(w *world) {
		owner := w.join("n1")
		tasks := w.addDue(3)
		if n := len(w.claim(owner, 9).Started); n != 1 {
			w.Fatalf("%d started", n)
		}
		was := w.now
		w.now = w.now.Add(-6 * time.Hour) // so that the window is over
		id := w.window(true)
		w.now = was
		_, err := w.s.UpdateQueue(context.Background(), w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.IntervalID = id; return nil })
		must(w.T, err)
		for range 2 {
			w.claim(owner, 9)
		}
		for _, task := range tasks[1:] {
			if got := w.task(task.ID); got.Comment != scheduler.CommentNever {
				w.Errorf("task %d is %s %q", task.ID, got.Status, got.Comment)
			}
		}
		if next := w.claim(owner, 9).Next; !next.IsZero() {
			w.Errorf("nothing waits, and the next look is at %s", next)
		}
	})
}

func TestClaimKeepsToTheStartRate(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx := context.Background()
		rate := func(r float64) {
			_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.StartRate = r; return nil })
			must(w.T, err)
		}
		rate(10)
		w.addDue(40)
		owners := []scheduler.Owner{w.join("n1"), w.join("n2")}
		var last time.Time
		starts := 0
		for i := range 100 {
			for _, s := range w.claim(owners[i%2], 9).Started {
				starts++
				if gap := s.Transition.At.Sub(last); !last.IsZero() && gap < 100*time.Millisecond {
					w.Fatalf("start %d comes %s after the one before", starts, gap)
				}
				last = s.Transition.At
			}
			w.now = w.now.Add(20 * time.Millisecond)
			if i == 50 {
				w.now = w.now.Add(time.Hour) // nothing is caught up after a pause
			}
		}
		if starts != 20 && starts != 21 {
			w.Errorf("%d starts in two seconds at 10 a second", starts)
		}
		rate(0.001)
		w.claim(owners[0], 9)
		w.now = w.now.Add(time.Second)
		if n := len(w.claim(owners[1], 9).Started); n != 0 {
			w.Errorf("%d started at one in 1000 seconds", n)
		}
		rate(1)
		if next := w.runtime().NextStart; next.After(time.Now().Add(time.Second+time.Minute)) && next.Sub(w.now) > time.Second {
			w.Errorf("with a faster rate the next starts at %s, now is %s", next, w.now)
		}
		rate(0)
		if n := len(w.claim(owners[0], 9).Started); n != 9 {
			w.Errorf("%d started without a rate", n)
		}
	})
}

func TestIntervals(t *testing.T) {
	each(t, 1, func(w *world) {
		ctx := context.Background()
		id := w.window(true)
		other := storetest.Client(w.T, w.s)
		_, err := w.s.Interval(ctx, other.ID, *id)
		wantKind(w.T, "another client's", err, scheduler.NotFound)
		_, err = w.s.UpdateInterval(ctx, other.ID, *id, func(*scheduler.Interval) error { return nil })
		wantKind(w.T, "a change of another client's", err, scheduler.NotFound)
		wantKind(w.T, "a deletion of another client's", w.s.DeleteInterval(ctx, other.ID, *id), scheduler.NotFound)
		_, err = w.s.AddQueue(ctx, scheduler.Queue{ClientID: other.ID, Name: "q", IntervalID: id, CreatedAt: w.now})
		wantKind(w.T, "a queue with another client's", err, scheduler.NotFound)
		use := func(id *scheduler.IntervalID) error {
			_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.IntervalID = id; return nil })
			return err
		}
		none := *id + 1
		wantKind(w.T, "one that is not there", use(&none), scheduler.NotFound)
		must(w.T, use(id))
		wantKind(w.T, "one in use", w.s.DeleteInterval(ctx, w.cl.ID, *id), scheduler.Conflict)
		must(w.T, w.s.DeleteQueue(ctx, w.cl.ID, w.queue.ID, false, w.now))
		must(w.T, w.s.DeleteInterval(ctx, w.cl.ID, *id))
		_, err = w.s.Interval(ctx, w.cl.ID, *id)
		wantKind(w.T, "a deleted one", err, scheduler.NotFound)
	})
}
