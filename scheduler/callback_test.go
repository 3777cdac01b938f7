package scheduler_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// callNow asks for a call without a task.
func (r *rig) callNow() (scheduler.CallID, error) {
	task := storetest.Task(r.ext, r.clock.Now())
	task.ClientID = r.cl.ID
	return r.disp.CallNow(r.ctx, task, r.ext)
}

// call returns a call of the history.
func (r *rig) call(id scheduler.CallID) scheduler.Attempt {
	r.Helper()
	a, err := r.s.CallByID(r.ctx, r.cl.ID, id)
	if err != nil {
		r.Fatal(err)
	}
	return a
}

// asked makes a call that must be taken.
func (r *rig) asked() scheduler.CallID {
	r.Helper()
	id, err := r.callNow()
	if err != nil {
		r.Fatal(err)
	}
	return id
}

func TestACallWithoutATask(t *testing.T) {
	inRig(t, rigOptions{dial: talk(20 * time.Second)}, func(r *rig) {
		id := r.asked()
		a := r.call(id)
		if a.TaskID != 0 || a.QueueID != 0 || a.ExtensionID != r.ext.ID || a.Number != 1 || a.Node != "n1" || !a.EndedAt.IsZero() || a.Result != "" {
			r.Fatalf("it begins as %+v", a)
		}
		pass(time.Second)
		if a := r.call(id); a.BridgedAt.IsZero() || !a.EndedAt.IsZero() {
			r.Errorf("it goes on as %+v", a)
		}
		pass(30 * time.Second)
		if a := r.call(id); a.Result != scheduler.CallBridged || a.EndedAt.IsZero() || r.disp.InProgress() != 0 {
			r.Errorf("it ends as %+v", a)
		}
	})
}

// Whatever becomes of it, it is dialled once and recorded.
func TestACallWithoutATaskIsMadeOnce(t *testing.T) {
	for claim, o := range map[string]scheduler.Outcome{
		"busy":                  outcome(scheduler.UserBusy),
		"nothing was signalled": outcome(scheduler.LocalError),
		"nothing was dialled":   {EndedAt: time.Now()},
		"no trunk takes A":      outcome(scheduler.NoRoute),
	} {
		t.Run(claim, func(t *testing.T) {
			var dials atomic.Int32
			dial := func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
				dials.Add(1)
				return o
			}
			inRig(t, rigOptions{dial: dial}, func(r *rig) {
				id := r.asked()
				pass(5 * time.Minute)
				if a := r.call(id); a.EndedAt.IsZero() || a.Result == "" || a.Result == scheduler.CallBridged || dials.Load() != 1 {
					r.Errorf("after %d calls it is %+v", dials.Load(), a)
				}
			})
		})
	}
}

func TestACallWithoutATaskIsRefusedOverALimit(t *testing.T) {
	none := func(*rig) error { return nil }
	for gate, set := range map[scheduler.Gate]func(*rig) error{
		scheduler.GateWorkers:    none,
		scheduler.GateTrunkLimit: none,
		scheduler.GateExtension: func(r *rig) error {
			_, err := r.s.UpdateExtension(r.ctx, r.cl.ID, r.ext.ID, func(e *scheduler.Extension) error { e.Limit = 1; return nil })
			return err
		},
		scheduler.GateClient: func(r *rig) error {
			_, err := r.s.UpdateSettings(r.ctx, storetest.MasterID, r.cl.ID, func(s *scheduler.Settings) error { s.MaxConcurrentCalls = 1; return nil })
			return err
		},
	} {
		t.Run(string(gate), func(t *testing.T) {
			o := rigOptions{dial: talk(20 * time.Second)}
			var disp atomic.Pointer[scheduler.Dispatcher] // once it runs
			switch gate {
			case scheduler.GateWorkers:
				o.workers = 1
			case scheduler.GateTrunkLimit:
				o.room = func() int {
					if d := disp.Load(); d != nil {
						return 1 - d.InProgress()
					}
					return 1
				}
			}
			inRig(t, o, func(r *rig) {
				disp.Store(r.disp)
				if err := set(r); err != nil {
					r.Fatal(err)
				}
				r.asked()
				_, err := r.callNow()
				if scheduler.KindOf(err) != scheduler.Busy || !strings.HasPrefix(err.Error(), string(gate)+": ") {
					r.Errorf("the second is refused with %v", err)
				}
				if calls, err := r.s.Calls(r.ctx, r.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 9}); err != nil || calls.Total != 1 {
					r.Errorf("%d calls are recorded, %v", calls.Total, err)
				}
				pass(time.Minute)
				r.asked()
			})
		})
	}
}

// Calls with and without tasks share the limits and the workers.
func TestACallWithoutATaskHoldsTheQueue(t *testing.T) {
	inRig(t, rigOptions{dial: talk(20 * time.Second)}, func(r *rig) {
		r.asked()
		_, err := r.s.UpdateExtension(r.ctx, r.cl.ID, r.ext.ID, func(e *scheduler.Extension) error { e.Limit = 1; return nil })
		if err != nil {
			r.Fatal(err)
		}
		id := r.add(1, 1, 0)[0].ID
		pass(10 * time.Second)
		if got := r.task(id); got.Status != scheduler.Scheduled {
			r.Fatalf("beside a call of its extension it is %s", got.Status)
		}
		pass(11 * time.Second)
		if got := r.task(id); got.Status != scheduler.Executed {
			r.Errorf("after it, it is %s", got.Status)
		}
	})
}

// A stop hangs it up, and its end is written.
func TestAStopEndsACallWithoutATask(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Hour)}, func(r *rig) {
		id := r.asked()
		pass(time.Minute)
		r.disp.Cut(scheduler.CutShutdown)
		pass(time.Second)
		if a := r.call(id); a.Result != scheduler.CallBridged || a.HangupBy != scheduler.InternalCancel {
			r.Errorf("it ended as %+v", a)
		}
	})
}

// lostAnswer stores a call and says that it failed.
type lostAnswer struct{ scheduler.Callbacks }

func (l lostAnswer) StartCallback(ctx context.Context, owner scheduler.Owner, c scheduler.Callback, a scheduler.Attempt) error {
	if err := l.Callbacks.StartCallback(ctx, owner, c, a); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

// What was stored and not dialled, because the answer to its commit was lost,
// is recorded as lost.
func TestACallWhoseCommitWasNotHeardOfIsLost(t *testing.T) {
	inRig(t, rigOptions{dial: talk(time.Hour), lostAnswer: true}, func(r *rig) {
		if _, err := r.callNow(); err == nil {
			r.Fatal("it was taken")
		}
		pass(time.Minute)
		calls, err := r.s.Calls(r.ctx, r.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 9})
		if err != nil || len(calls.Rows) != 1 || calls.Rows[0].Result != scheduler.CallFailed || calls.Rows[0].EndedAt.IsZero() {
			r.Errorf("the history is %+v, %v", calls.Rows, err)
		}
	})
}
