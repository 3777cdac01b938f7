package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// callback stores a call without a task, as a node.
func (w *world) callback(owner scheduler.Owner) (scheduler.Callback, error) {
	task := storetest.Task(w.ext, w.now)
	task.ClientID = w.cl.ID
	c, a := task.Callback(w.now, owner)
	return c, w.s.StartCallback(context.Background(), owner, c, a)
}

func (w *world) callbackOf(owner scheduler.Owner) scheduler.Callback {
	w.Helper()
	c, err := w.callback(owner)
	must(w.T, err)
	return c
}

func (w *world) attempt(id scheduler.CallID) scheduler.Attempt {
	w.Helper()
	a, err := w.s.CallByID(context.Background(), w.cl.ID, id)
	must(w.T, err)
	return a
}

func (w *world) odd(owner scheduler.Owner, underWay ...scheduler.CallID) []scheduler.Callback {
	w.Helper()
	odd, err := w.s.OverseeCallbacks(context.Background(), owner, underWay)
	must(w.T, err)
	return odd
}

func TestCallbacksCountForTheLimits(t *testing.T) {
	each(t, 0, func(w *world) {
		owner := w.join("n1")
		first := w.callbackOf(owner)
		w.setExtension(2)
		w.setClient(3)
		if l := w.limits(); l[w.ext.ID] != [2]int{1, 2} || l[0] != [2]int{1, 3} {
			w.Fatalf("with a call up the limits begin as %v", l)
		}
		second := w.callbackOf(owner)
		_, err := w.callback(owner)
		wantKind(w.T, "the third", err, scheduler.Busy)
		w.addDue(2)
		if n := len(w.claim(owner, 9).Started); n != 0 {
			w.Errorf("%d tasks start beside them", n)
		}
		if w.apply(owner, first.Connect(w.now), second.End(w.busy(), w.now)) != 2 || w.limits()[w.ext.ID] != [2]int{1, 2} {
			w.Errorf("with one over the limits are %v", w.limits())
		}
		w.now = w.now.Add(time.Second)
		started := w.claim(owner, 9).Started
		if len(started) != 1 {
			w.Fatalf("then %d tasks start", len(started))
		}
		// Calls with and without tasks end in one batch.
		if w.apply(owner, started[0].Transition.Task.End(w.connected(), w.now), first.End(w.connected(), w.now)) != 2 {
			w.Error("an end was overtaken")
		}
		if l := w.limits(); l[w.ext.ID] != [2]int{0, 2} || l[0] != [2]int{0, 3} {
			w.Errorf("at the end the limits are %v", l)
		}
		if a := w.attempt(first.CallID); a.Result != scheduler.CallBridged || a.BridgedAt.IsZero() || a.EndedAt.IsZero() || a.TaskID != 0 {
			w.Errorf("the first is told as %+v", a)
		}
		if n := w.apply(owner, first.End(w.busy(), w.now), second.Connect(w.now)); n != 0 {
			w.Errorf("%d steps were taken of calls that are over", n)
		}
	})
}

// What a node that is gone was calling is lost and recorded, once; what it
// writes later is overtaken or fenced; its slots come back.
func TestCallbacksOfADeadNodeAreLost(t *testing.T) {
	each(t, 0, func(w *world) {
		w.setExtension(3)
		first, second := w.join("n1"), w.join("n2")
		ringing, talking := w.callbackOf(first), w.callbackOf(first)
		w.apply(first, talking.Connect(w.now))
		mine := w.callbackOf(second)
		if odd := w.odd(second, mine.CallID); len(odd) != 0 {
			w.Fatalf("while both live %+v is odd", odd)
		}
		if odd := w.odd(second); len(odd) != 1 || odd[0].CallID != mine.CallID {
			w.Fatalf("of those not under way %+v is odd", odd)
		}
		later := w.now.Add(2 * lease)
		if _, err := w.s.TakeOver(context.Background(), second, later); err != nil {
			w.Fatal(err)
		}
		odd := w.odd(second, mine.CallID)
		if len(odd) != 2 {
			w.Fatalf("after the take-over %+v is odd", odd)
		}
		for range 2 {
			for _, c := range odd {
				w.apply(second, c.Lose(later))
			}
		}
		if a := w.attempt(ringing.CallID); a.Result != scheduler.CallFailed || !a.EndedAt.Equal(later) || a.HangupBy != scheduler.InternalCancel {
			w.Errorf("who rang is told as %+v", a)
		}
		if a := w.attempt(talking.CallID); a.Result != scheduler.CallBridged || a.BridgedAt.IsZero() {
			w.Errorf("who talked is told as %+v", a)
		}
		if _, err := w.s.Apply(context.Background(), first, []scheduler.Transition{ringing.End(w.busy(), later)}); !errors.Is(err, scheduler.ErrFenced) {
			w.Errorf("the dead node writes: %v", err)
		}
		if w.limits()[w.ext.ID] != [2]int{1, 3} || len(w.odd(second, mine.CallID)) != 0 {
			w.Errorf("left %v and %+v", w.limits(), w.odd(second, mine.CallID))
		}
	})
}

func TestClientOfExtension(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx := context.Background()
		c, err := w.s.ClientOfExtension(ctx, storetest.MasterID, w.ext.ID)
		if err != nil || c.ID != w.cl.ID {
			w.Errorf("it is %+v, %v", c, err)
		}
		_, err = w.s.ClientOfExtension(ctx, scheduler.AccountID(scheduler.NewGUID(w.now)), w.ext.ID)
		wantKind(w.T, "of another account", err, scheduler.NotFound)
		must(w.T, w.s.DeleteExtension(ctx, w.cl.ID, w.ext.ID, w.now))
		_, err = w.s.ClientOfExtension(ctx, storetest.MasterID, w.ext.ID)
		wantKind(w.T, "of a deleted one", err, scheduler.NotFound)
	})
}
