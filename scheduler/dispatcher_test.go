package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
)

func TestATaskIsDialledWhenItIsDue(t *testing.T) {
	inRig(t, rigOptions{dial: talk(20 * time.Second)}, func(r *rig) {
		id := r.add(1, 1, time.Minute)[0].ID
		pass(time.Minute - time.Second)
		if got := r.task(id).Status; got != scheduler.Scheduled {
			r.Fatalf("a second before it is due: %s", got)
		}
		pass(time.Second + 10*time.Millisecond)
		if got := r.task(id); got.Status != scheduler.Executed || got.BridgedAt.IsZero() {
			r.Fatalf("when it is due: %s, bridged at %s", got.Status, got.BridgedAt)
		}
		if late := r.seen.latest(); late > 5*time.Millisecond {
			r.Errorf("started %s late", late)
		}
		pass(20 * time.Second)
		if got := r.task(id); got.Result != scheduler.Success || r.running() != 0 {
			r.Errorf("after the call: %s %q, running %d", got.Status, got.Result, r.running())
		}
		want := []scheduler.Step{scheduler.StepStart, scheduler.StepConnect, scheduler.StepEnd}
		if got := r.seen.steps(id); !slices.Equal(got, want) {
			r.Errorf("steps %v, want %v", got, want)
		}
	})
}

func TestARetryWaitsForItsPause(t *testing.T) {
	var dials atomic.Int32
	dial := func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
		dials.Add(1)
		return outcome(scheduler.UserBusy)
	}
	inRig(t, rigOptions{dial: dial}, func(r *rig) {
		id := r.add(1, 3, 0)[0].ID
		for n := int32(1); n <= 3; n++ {
			pass(30 * time.Second)
			if got := dials.Load(); got != n {
				r.Fatalf("%d calls after %d pauses", got, n-1)
			}
			pass(31 * time.Second)
		}
		if got := r.task(id); got.Result != scheduler.Failure || got.Comment != "a_number busy" || got.Attempts != 3 {
			r.Errorf("the task is %s %q after %d attempts", got.Result, got.Comment, got.Attempts)
		}
	})
}

func TestNoMoreCallsThanWorkers(t *testing.T) {
	var up, most atomic.Int32
	dial := func(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		most.Store(max(most.Load(), up.Add(1)))
		defer up.Add(-1)
		return talk(10*time.Second)(ctx, c, bridged)
	}
	inRig(t, rigOptions{dial: dial, workers: 5}, func(r *rig) {
		r.add(20, 1, 0)
		pass(39 * time.Second)
		if got := most.Load(); got != 5 {
			r.Errorf("%d calls at one time, want 5", got)
		}
		pass(6 * time.Second)
		if got := r.running(); got != 0 {
			r.Errorf("%d still running after four rounds", got)
		}
	})
}

func TestADialerWithoutRoomCostsNoTry(t *testing.T) {
	var room atomic.Int32
	inRig(t, rigOptions{dial: talk(time.Second), room: func() int { return int(room.Load()) }}, func(r *rig) {
		id := r.add(1, 1, 0)[0].ID
		pass(time.Minute)
		if got := r.task(id); got.Status != scheduler.Scheduled || got.Attempts != 0 {
			r.Fatalf("while the dialer has no room: %s after %d attempts", got.Status, got.Attempts)
		}
		room.Store(9)
		pass(3 * time.Second)
		if got := r.task(id); got.Result != scheduler.Success {
			r.Errorf("once it has: %s", got.Status)
		}
	})
}

func TestANodeTellsWhatHoldsIt(t *testing.T) {
	var room atomic.Int32
	room.Store(9)
	inRig(t, rigOptions{dial: talk(time.Minute), workers: 1, room: func() int { return int(room.Load()) }}, func(r *rig) {
		gates := func(health error) string {
			told := ""
			for _, h := range r.disp.Holding(health) {
				told += string(h.Gate) + ": " + h.Detail + ". "
			}
			return told
		}
		pass(time.Second)
		if got := gates(nil); got != "" {
			r.Errorf("an idle node is held by %s", got)
		}
		r.add(1, 1, 0)
		pass(time.Second)
		if got := gates(nil); got != "workers: this node has 1 of 1 calls in progress. " {
			r.Errorf("a full one by %s", got)
		}
		pass(time.Minute)
		room.Store(0)
		if got := gates(nil); got != "trunk_limit: the trunks of this node take no more calls now. " {
			r.Errorf("one whose trunks are full by %s", got)
		}
		if got := gates(errors.New("no answer\nno network")); got != "dialer: this node cannot call: no answer; no network. " {
			r.Errorf("one whose trunks are down by %s", got)
		}
	})
}

func TestAQueueThatStandsStillIsOverdue(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Hour), workers: 1}, func(r *rig) {
		r.add(2, 1, time.Minute)
		pass(time.Minute - time.Second)
		if got := r.disp.Overdue(); got != 0 {
			r.Errorf("overdue for %s before it is due", got)
		}
		pass(31 * time.Second)
		if got := r.disp.Overdue(); got < 29*time.Second || got > 31*time.Second {
			r.Errorf("overdue for %s after half a minute without a worker", got)
		}
	})
}

func TestACallIsHungUpWhenItsTaskIsCancelled(t *testing.T) {
	inRig(t, rigOptions{dial: ring(time.Hour)}, func(r *rig) {
		id := r.add(1, 5, 0)[0].ID
		pass(time.Second)
		if err := r.s.CancelTask(r.Context(), r.cl.ID, r.queue.ID, id, true, r.clock.Now()); err != nil {
			r.Fatal(err)
		}
		pass(2 * time.Second)
		if got := r.task(id); got.Status != scheduler.Finished || got.Comment != scheduler.CommentCancelled {
			r.Errorf("the task is %s %q", got.Status, got.Comment)
		}
	})
}

func TestAStartThatNobodyKnowsOfIsReleased(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Second)}, func(r *rig) {
		// What this node's own claim would leave behind if its answer were lost.
		claimed := make(chan error, 1)
		go func() {
			r.s.OnTasks(func() {})
			r.add(1, 1, time.Second)
			_, err := r.s.Claim(r.Context(), r.lease.Owner(), r.clock.Now().Add(time.Second), 1)
			claimed <- err
		}()
		if err := <-claimed; err != nil {
			r.Fatal(err)
		}
		pass(9 * time.Second)
		if got := r.task(1); got.Status != scheduler.Executed {
			r.Fatalf("before it is a stray: %s", got.Status)
		}
		pass(10 * time.Second)
		if got := r.task(1); got.Result != scheduler.Success || got.Attempts != 1 {
			r.Errorf("the task is %s %q after %d attempts", got.Status, got.Result, got.Attempts)
		}
	})
}

// What was taken over may have been dialled: it is lost, also when the answer to
// the take-over was.
func TestATakeOverThatNobodyWasToldOfIsLost(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Second)}, func(r *rig) {
		r.s.OnTasks(func() {})
		id := r.add(1, 1, time.Millisecond)[0].ID
		gone, _, _, err := r.s.Join(r.Context(), "n2", r.clock.Now(), time.Millisecond)
		if err != nil {
			r.Fatal(err)
		}
		at := r.clock.Now().Add(time.Millisecond)
		if _, err := r.s.Claim(r.Context(), gone, at, 1); err != nil {
			r.Fatal(err)
		}
		if _, err := r.s.TakeOver(r.Context(), r.lease.Owner(), at); err != nil {
			r.Fatal(err)
		}
		pass(20 * time.Second)
		if got := r.task(id); got.Comment != scheduler.CommentLost || got.Attempts != 1 || r.running() != 0 {
			r.Errorf("the task is %s %q after %d attempts, running %d", got.Status, got.Comment, got.Attempts, r.running())
		}
	})
}

// A look goes on while there is something to end, not only to start.
func TestExpiredTasksInAFullQueueEndAtOnce(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Hour), limit: 1}, func(r *rig) {
		r.add(1, 1, 0)
		pass(time.Second)
		doomed := r.addUntil(200, time.Minute, 2*time.Minute)
		pass(2 * time.Minute)
		if _, err := r.s.UpdateQueue(r.Context(), r.cl.ID, r.queue.ID, func(q *scheduler.Queue) error { q.Limit = 2; return nil }); err != nil {
			r.Fatal(err)
		}
		pass(time.Millisecond)
		for _, task := range doomed {
			if got := r.task(task.ID); got.Comment != scheduler.CommentExpired {
				r.Fatalf("task %d is %s %q", task.ID, got.Status, got.Comment)
			}
		}
	})
}

func TestAStopReleasesWhatNobodyAnswered(t *testing.T) {
	inRig(t, rigOptions{dial: ring(time.Hour)}, func(r *rig) {
		id := r.add(1, 1, 0)[0].ID
		pass(time.Second)
		r.disp.Cut(scheduler.CutShutdown)
		pass(100 * time.Millisecond)
		if got := r.task(id); got.Status != scheduler.Scheduled || got.Attempts != 0 {
			r.Errorf("the task is %s after %d attempts", got.Status, got.Attempts)
		}
	})
}

// fickle is a store that fails as told.
type fickle struct {
	*store.Store
	fail func(trs []scheduler.Transition) error
}

func (f fickle) Apply(ctx context.Context, owner scheduler.Owner, trs []scheduler.Transition) ([]bool, error) {
	if err := f.fail(trs); err != nil {
		return nil, err
	}
	return f.Store.Apply(ctx, owner, trs)
}

func TestAResultIsWrittenUntilItIsTaken(t *testing.T) {
	failures := 10
	fail := func([]scheduler.Transition) error {
		if failures--; failures >= 0 {
			return errors.New("the database is away")
		}
		return nil
	}
	results := func(s *store.Store) scheduler.Results { return fickle{s, fail} }
	inRig(t, rigOptions{dial: talk(time.Second), results: results}, func(r *rig) {
		id := r.add(1, 1, 0)[0].ID
		pass(5 * time.Second)
		if got := r.disp.InProgress(); got != 1 {
			r.Errorf("%d workers busy while a result is not written, want 1", got)
		}
		pass(time.Minute)
		if got := r.task(id); got.Result != scheduler.Success || r.running() != 0 || r.disp.InProgress() != 0 {
			r.Errorf("the task is %s, running %d, %d workers busy", got.Status, r.running(), r.disp.InProgress())
		}
	})
}

// A bridge that could not be written is made good by the end of the call.
func TestABridgeThatWasNotWrittenIsMadeGood(t *testing.T) {
	fail := func(trs []scheduler.Transition) error {
		for _, tr := range trs {
			if tr.Step == scheduler.StepConnect {
				return fmt.Errorf("%w: for this test", scheduler.ErrData)
			}
		}
		return nil
	}
	results := func(s *store.Store) scheduler.Results { return fickle{s, fail} }
	inRig(t, rigOptions{dial: talk(time.Second), results: results}, func(r *rig) {
		id := r.post(1, func(now time.Time, t *scheduler.Task) {
			t.StartAt, t.ReadyAt, t.URLSuccess = now, now, "http://example.com/"
		})[0].ID
		pass(3 * time.Second)
		if got := r.task(id); got.Result != scheduler.Success || got.BridgedAt.IsZero() || got.EventSeq != 1 {
			r.Errorf("the task is %s %q, bridged at %s, %d events", got.Status, got.Result, got.BridgedAt, got.EventSeq)
		}
	})
}

func TestOnePoisonedResultAmongManyFailsAlone(t *testing.T) {
	dial := func(_ context.Context, c scheduler.Call, _ func(time.Time)) scheduler.Outcome {
		o := outcome(scheduler.Answered)
		if c.Task == 500 {
			o.EndedAt = time.Time{} // no call ends without a time: the schema refuses it
		}
		return o
	}
	inRig(t, rigOptions{dial: dial}, func(r *rig) {
		tasks := r.add(1000, 1, 0)
		pass(10 * time.Second)
		for _, task := range tasks {
			got := r.task(task.ID)
			want := "" // of the comment: they have all talked
			if task.ID == 500 {
				want = string(scheduler.LocalError)
			}
			if got.Result != scheduler.Success || got.Comment != want {
				r.Fatalf("task %d is %s %q %q", task.ID, got.Status, got.Result, got.Comment)
			}
		}
		if r.running() != 0 || r.disp.InProgress() != 0 {
			r.Errorf("running %d, %d workers busy", r.running(), r.disp.InProgress())
		}
	})
}

// A node that finds its epoch raised writes nothing, hangs up what is not
// bridged, and lets the others talk.
func TestAFencedNode(t *testing.T) {
	results := map[scheduler.TaskID]chan scheduler.Cut{} // made in the bubble
	dial := func(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		call := ring(time.Hour)
		if c.Task == 1 {
			call = talk(time.Minute)
		}
		o := call(ctx, c, bridged)
		results[c.Task] <- o.Cut
		return o
	}
	inRig(t, rigOptions{dial: dial}, func(r *rig) {
		results[1], results[2] = make(chan scheduler.Cut, 1), make(chan scheduler.Cut, 1)
		r.add(2, 1, 0)
		pass(time.Second)
		if _, _, _, err := r.s.Join(r.Context(), "n1", r.clock.Now(), leaseLength); err != nil {
			r.Fatal(err)
		}
		pass(leaseLength)
		select {
		case <-r.lease.Fenced():
		default:
			r.Fatal("the node does not know that it is fenced")
		}
		if r.lease.Valid() {
			r.Error("a fenced node may start calls")
		}
		r.disp.Cut(scheduler.CutFenced)
		if cut := <-results[2]; cut != scheduler.CutFenced {
			r.Errorf("the ringing call was cut as %q", cut)
		}
		if cut := <-results[1]; cut != scheduler.CutNone {
			r.Errorf("the bridged call was cut as %q", cut)
		}
		pass(time.Second)
		for _, id := range []scheduler.TaskID{1, 2} {
			if got := r.task(id); got.Status != scheduler.Executed {
				r.Errorf("the fenced node wrote task %d: %s", id, got.Status)
			}
		}
	})
}

// Who writes anything learns at once that another process has its epoch, not
// with the next renewal of its lease.
func TestWritesTellThatTheNodeIsFenced(t *testing.T) {
	for which, due := range map[string]time.Duration{"a claim": 2 * time.Second, "a result": time.Second / 2} {
		t.Run(which, func(t *testing.T) {
			o := rigOptions{dial: talk(2 * time.Second), nodes: func(s *store.Store) scheduler.Nodes { return away{s} }}
			inRig(t, o, func(r *rig) {
				r.add(1, 1, due)
				pass(time.Second)
				if _, _, _, err := r.s.Join(r.Context(), "n1", r.clock.Now(), leaseLength); err != nil {
					r.Fatal(err)
				}
				pass(time.Second - 10*time.Millisecond)
				select {
				case <-r.lease.Fenced():
					r.Fatal("it knows before it wrote anything")
				default:
				}
				pass(time.Second)
				select {
				case <-r.lease.Fenced():
				default:
					r.Error("it does not know")
				}
			})
		})
	}
}
