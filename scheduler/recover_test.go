package scheduler_test

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
)

// alive is a network on which every bridged call of a node that is gone goes on
// for a while.
type alive struct {
	lasts  time.Duration
	hungUp []scheduler.TaskID // what was not bridged
}

func (a *alive) Adopt(ctx context.Context, c scheduler.Call, bridgedAt time.Time) func() scheduler.Outcome {
	if bridgedAt.IsZero() {
		a.hungUp = append(a.hungUp, c.Task)
		return nil
	}
	return func() scheduler.Outcome {
		o := talk(a.lasts)(ctx, c, func(time.Time) {})
		o.BridgedAt = bridgedAt
		return o
	}
}

// left makes a second node start two calls, of which the first is bridged, and
// vanish.
func (r *rig) left() (bridged, ringing scheduler.TaskID) {
	r.Helper()
	r.s.OnTasks(func() {})
	tasks := r.add(2, 1, time.Millisecond)
	gone, _, _, err := r.s.Join(r.Context(), "n2", r.clock.Now(), time.Second)
	if err != nil {
		r.Fatal(err)
	}
	claimed, err := r.s.Claim(r.Context(), gone, r.clock.Now().Add(time.Millisecond), 2)
	if err != nil || len(claimed.Started) != 2 {
		r.Fatalf("%d started: %v", len(claimed.Started), err)
	}
	for _, s := range claimed.Started {
		if s.Call.Task == tasks[0].ID {
			tr := s.Transition.Task.Connect(r.clock.Now())
			if _, err := r.s.Apply(r.Context(), gone, []scheduler.Transition{tr}); err != nil {
				r.Fatal(err)
			}
		}
	}
	return tasks[0].ID, tasks[1].ID
}

func TestACallThatOutlivesItsNodeIsAdopted(t *testing.T) {
	network := &alive{lasts: time.Minute}
	inRig(t, rigOptions{adopter: network, limit: 2}, func(r *rig) {
		bridged, ringing := r.left()
		pass(2 * leaseLength)
		if got := r.task(ringing); got.Result != scheduler.Failure || got.Comment != scheduler.CommentLost || len(network.hungUp) != 1 {
			r.Errorf("the call that rang: %s %q, %d were hung up", got.Status, got.Comment, len(network.hungUp))
		}
		if got := r.task(bridged); got.Status != scheduler.Executed || r.running() != 1 {
			r.Errorf("the call that goes on: %s, running %d", got.Status, r.running())
		}
		pass(time.Minute)
		if got := r.task(bridged); got.Result != scheduler.Success || got.Comment != "" || got.Attempts != 1 || r.running() != 0 {
			r.Errorf("when it is over: %s %q after %d attempts, running %d", got.Status, got.Comment, got.Attempts, r.running())
		}
	})
}

func TestAnAdoptedCallCanBeCancelled(t *testing.T) {
	inRig(t, rigOptions{adopter: &alive{lasts: time.Hour}}, func(r *rig) {
		id, _ := r.left()
		pass(2 * leaseLength)
		if err := r.s.CancelTask(r.Context(), r.cl.ID, r.queue.ID, id, true, r.clock.Now()); err != nil {
			r.Fatal(err)
		}
		pass(2 * time.Second)
		if got := r.task(id); got.Result != scheduler.Success || got.Comment != scheduler.CommentCancelled {
			r.Errorf("the task is %s %q", got.Status, got.Comment)
		}
	})
}

func TestWithoutAnAdopterACallOfAnotherNodeIsLost(t *testing.T) {
	inRig(t, rigOptions{simulated: true}, func(r *rig) {
		bridged, ringing := r.left()
		pass(2 * leaseLength)
		calls, err := r.s.Calls(r.Context(), r.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 9})
		if err != nil || len(calls.Rows) != 2 || !calls.Rows[0].Simulated || !calls.Rows[1].Simulated {
			r.Errorf("the call history of a simulated carrier: %+v, %v", calls.Rows, err)
		}
		for id, want := range map[scheduler.TaskID]scheduler.Result{bridged: scheduler.Success, ringing: scheduler.Failure} {
			if got := r.task(id); got.Result != want || got.Comment != scheduler.CommentLost {
				r.Errorf("task %d is %s %q %q", id, got.Status, got.Result, got.Comment)
			}
		}
	})
}
