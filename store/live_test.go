package store_test

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

func TestLiveCalls(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx := context.Background()
		owner := w.join("n1")
		w.addDue(1)
		task := w.claim(owner, 1).Started[0].Transition.Task
		w.now = w.now.Add(time.Millisecond)
		now := w.callbackOf(owner)
		list := func(client scheduler.ClientID) []scheduler.Attempt {
			w.Helper()
			found, err := w.s.LiveCalls(ctx, client, firstPage)
			if err != nil || found.Total != len(found.Rows) {
				w.Fatalf("total %d of %d, %v", found.Total, len(found.Rows), err)
			}
			return found.Rows
		}
		if got := list(w.cl.ID); len(got) != 2 || got[0].CallID != task.CallID || got[1].CallID != now.CallID || len(got[0].Legs) != 0 ||
			got[0].TaskID != task.ID || got[0].Node != "n1" || !got[0].StartedAt.Equal(task.CalledAt) || !got[0].EndedAt.IsZero() {
			w.Fatalf("before anything is told there is %+v", got)
		}
		rings := scheduler.Leg{Role: scheduler.LegA, Try: 1, Number: "101", Trunk: "t", StartedAt: w.now, RangAt: w.now}
		answers := rings
		answers.AnsweredAt = w.now.Add(time.Second)
		tell := func(leg scheduler.Leg, over ...scheduler.CallID) {
			must(w.T, w.s.SaveLive(ctx, []scheduler.LiveCall{{CallID: task.CallID, ClientID: w.cl.ID, Legs: []scheduler.Leg{leg}}}, over))
		}
		tell(rings)
		tell(answers)
		got := list(w.cl.ID)
		if len(got) != 2 || got[0].CallID != task.CallID || len(got[0].Legs) != 1 || got[0].Legs[0] != answers || !got[0].AnsweredAt.Equal(answers.AnsweredAt) {
			w.Errorf("told of it is %+v", got)
		}
		for what, read := range map[string]func() (scheduler.Attempt, error){
			"alone":          func() (scheduler.Attempt, error) { return w.s.LiveCall(ctx, w.cl.ID, task.CallID) },
			"in the history": func() (scheduler.Attempt, error) { return w.s.CallByID(ctx, w.cl.ID, task.CallID) },
		} {
			if a, err := read(); err != nil || len(a.Legs) != 1 || !a.EndedAt.IsZero() {
				w.Errorf("%s it is %+v, %v", what, a, err)
			}
		}
		other := storetest.Client(w.T, w.s)
		_, err := w.s.LiveCall(ctx, other.ID, task.CallID)
		wantKind(w.T, "another client's", err, scheduler.NotFound)
		if got := list(other.ID); len(got) != 0 {
			w.Errorf("another client has %+v", got)
		}
		w.apply(owner, task.End(w.connected(), w.now))
		if got := list(w.cl.ID); len(got) != 1 {
			w.Errorf("with one over there is %+v", got)
		}
		_, err = w.s.LiveCall(ctx, w.cl.ID, task.CallID)
		wantKind(w.T, "one that is over", err, scheduler.NotFound)
		if a, err := w.s.CallByID(ctx, w.cl.ID, task.CallID); err != nil || len(a.Legs) != 2 {
			w.Errorf("in the history it is %+v, %v", a, err)
		}
		if _, err := w.s.Tidy(ctx, w.now); err != nil {
			w.Fatal(err)
		}
		tell(rings, now.CallID, task.CallID)
	})
}

// A hang-up is told to whoever listens, on every node.
func TestHangUpIsToldToEveryNode(t *testing.T) {
	for claim, ask := range map[string]func(w *world, task scheduler.Task, now scheduler.Callback) (scheduler.CallID, error){
		"of a task's call": func(w *world, task scheduler.Task, _ scheduler.Callback) (scheduler.CallID, error) {
			return task.CallID, w.s.HangUp(context.Background(), w.cl.ID, task.CallID, w.now)
		},
		"of a task": func(w *world, task scheduler.Task, _ scheduler.Callback) (scheduler.CallID, error) {
			return task.CallID, w.s.CancelTask(context.Background(), w.cl.ID, w.queue.ID, task.ID, true, w.now)
		},
		"of a call without a task": func(w *world, _ scheduler.Task, now scheduler.Callback) (scheduler.CallID, error) {
			return now.CallID, w.s.HangUp(context.Background(), w.cl.ID, now.CallID, w.now)
		},
	} {
		t.Run(claim, func(t *testing.T) {
			url := storetest.PostgresURL(t)
			w := newWorld(t, storetest.Open(t, url), 0)
			other := storetest.Open(t, url)
			heard, here := make(chan scheduler.CallID, 9), make(chan scheduler.CallID, 9)
			other.OnHangUp(func(id scheduler.CallID) { heard <- id })
			w.s.OnHangUp(func(id scheduler.CallID) { here <- id })
			ctx, stop := context.WithCancel(context.Background())
			listening, done := make(chan struct{}, 9), make(chan struct{})
			go func() {
				if err := other.Listen(ctx, func() { listening <- struct{}{} }); err != nil {
					t.Error(err)
				}
				close(done)
			}()
			defer func() { stop(); <-done }()
			<-listening
			owner := w.join("n1")
			w.addDue(1)
			task := w.claim(owner, 1).Started[0].Transition.Task
			now := w.callbackOf(owner)
			id, err := ask(w, task, now)
			must(t, err)
			if got := <-heard; got != id {
				t.Errorf("the other node hears of %s, not %s", got, id)
			}
			if got := <-here; got != id {
				t.Errorf("this one hears of %s, not %s", got, id)
			}
			if id == task.CallID {
				if !w.task(task.ID).CancelRequested {
					t.Error("the task is not to be cancelled")
				}
			} else if odd := w.odd(owner, now.CallID); len(odd) != 1 || !odd[0].CancelRequested {
				t.Errorf("the tick finds %+v", odd)
			}
		})
	}
}

func TestHangUpIsRefused(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx, owner := context.Background(), w.join("n1")
		w.addDue(1)
		task := w.claim(owner, 1).Started[0].Transition.Task
		now := w.callbackOf(owner)
		other := storetest.Client(w.T, w.s)
		for _, id := range []scheduler.CallID{task.CallID, now.CallID} {
			wantKind(w.T, "another client's", w.s.HangUp(ctx, other.ID, id, w.now), scheduler.NotFound)
		}
		w.apply(owner, task.End(w.busy(), w.now), now.End(w.busy(), w.now))
		for _, id := range []scheduler.CallID{task.CallID, now.CallID, "none"} {
			wantKind(w.T, "one that is over", w.s.HangUp(ctx, w.cl.ID, id, w.now), scheduler.NotFound)
		}
		if got := w.task(task.ID); got.CancelRequested || got.Status != scheduler.Delayed {
			w.Errorf("the task is %+v", got)
		}
		if len(w.odd(owner)) != 0 {
			w.Error("a call is left")
		}
	})
}
