package scheduler_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
)

// progress is how far calls have come, as the test says.
type progress struct {
	mu      sync.Mutex
	legs    []scheduler.Leg
	version int
}

func (p *progress) Legs(scheduler.CallID) ([]scheduler.Leg, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.legs, p.version
}

func (p *progress) set(legs ...scheduler.Leg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.legs = legs
	p.version++
}

// writes counts what is told of live calls.
type writes struct {
	scheduler.LiveCalls
	mu sync.Mutex
	n  int
}

func (w *writes) SaveLive(ctx context.Context, calls []scheduler.LiveCall, over []scheduler.CallID) error {
	w.mu.Lock()
	w.n++
	fail := w.n == 2
	w.mu.Unlock()
	if fail {
		return context.DeadlineExceeded
	}
	return w.LiveCalls.SaveLive(ctx, calls, over)
}

func (w *writes) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// Legs are written when they changed, once a second for all calls, and again
// if that failed; nothing is written when nobody is calling.
func TestLiveCallsAreToldOnceASecond(t *testing.T) {
	p, told := &progress{}, &writes{}
	inRig(t, rigOptions{dial: talk(20 * time.Second), progress: p, live: told}, func(r *rig) {
		pass(10 * time.Second)
		if told.count() != 0 {
			r.Fatalf("%d writes without a call", told.count())
		}
		p.set(scheduler.Leg{Role: scheduler.LegA, Try: 1, Number: "101"})
		first := r.asked()
		pass(time.Millisecond)
		second := r.asked()
		pass(5 * time.Second)
		if told.count() != 1 {
			r.Errorf("%d writes for two calls that stay as they are", told.count())
		}
		p.set(scheduler.Leg{Role: scheduler.LegA, Try: 1, Number: "101", AnsweredAt: time.Now().UTC()})
		pass(5 * time.Second)
		if told.count() != 3 {
			r.Errorf("%d writes with a change and a failure", told.count())
		}
		live, err := r.s.LiveCalls(r.ctx, r.cl.ID, scheduler.Page{Size: 9})
		if err != nil || len(live.Rows) != 2 || live.Rows[0].CallID != first || live.Rows[1].CallID != second || live.Rows[1].AnsweredAt.IsZero() {
			r.Errorf("told are %+v, %v", live.Rows, err)
		}
		pass(15 * time.Second)
		if live, err := r.s.LiveCalls(r.ctx, r.cl.ID, scheduler.Page{Size: 9}); err != nil || live.Total != 0 || told.count() != 4 {
			r.Errorf("after them there are %d, %v, and %d writes", live.Total, err, told.count())
		}
	})
}

// A hang-up that was asked for in the rows reaches the call at once, and with
// the next tick if nobody told.
func TestAHangUpReachesTheCall(t *testing.T) {
	for claim, told := range map[string]bool{"told": true, "not told": false} {
		t.Run(claim, func(t *testing.T) {
			inRig(t, rigOptions{dial: talk(time.Hour)}, func(r *rig) {
				if told {
					r.s.OnHangUp(r.disp.HangUp)
				}
				now, task := r.asked(), r.add(1, 3, 0)[0].ID
				pass(10*time.Second + 500*time.Millisecond) // between two ticks
				for _, id := range []scheduler.CallID{now, r.task(task).CallID} {
					if err := r.s.HangUp(r.ctx, r.cl.ID, id, r.clock.Now()); err != nil {
						r.Fatal(err)
					}
				}
				pass(100 * time.Millisecond)
				if over := !r.call(now).EndedAt.IsZero(); over != told {
					r.Errorf("at once the call without a task is over: %v", over)
				}
				if over := r.task(task).Status == scheduler.Finished; over != told {
					r.Errorf("at once the task is over: %v", over)
				}
				pass(time.Second)
				if got := r.task(task); got.Status != scheduler.Finished || got.Comment != scheduler.CommentCancelled || r.call(now).EndedAt.IsZero() {
					r.Errorf("the task is %s %q, the call %+v", got.Status, got.Comment, r.call(now))
				}
			})
		})
	}
}
