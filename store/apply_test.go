package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ringback/scheduler"
)

func TestApplyIsGuarded(t *testing.T) {
	claims := map[string]struct {
		first, second func(w *world, task scheduler.Task) scheduler.Transition
		taken         int // of the second
		status        scheduler.Status
	}{
		"an end written twice counts once": {
			first:  func(w *world, task scheduler.Task) scheduler.Transition { return task.End(w.busy(), w.now) },
			second: func(w *world, task scheduler.Task) scheduler.Transition { return task.End(w.busy(), w.now) },
			taken:  0, status: scheduler.Delayed,
		},
		"an end after the attempt was lost is overtaken": {
			first:  func(w *world, task scheduler.Task) scheduler.Transition { return task.Lose(w.now) },
			second: func(w *world, task scheduler.Task) scheduler.Transition { return task.End(w.connected(), w.now) },
			taken:  0, status: scheduler.Delayed,
		},
		"a bridge written twice counts once": {
			first:  func(w *world, task scheduler.Task) scheduler.Transition { return task.Connect(w.now) },
			second: func(w *world, task scheduler.Task) scheduler.Transition { return task.Connect(w.now) },
			taken:  0, status: scheduler.Executed,
		},
		"an end follows a bridge": {
			first: func(w *world, task scheduler.Task) scheduler.Transition { return task.Connect(w.now) },
			second: func(w *world, task scheduler.Task) scheduler.Transition {
				return task.Connect(w.now).Task.End(w.connected(), w.now)
			},
			taken: 1, status: scheduler.Finished,
		},
		"another call's end is not this one's": {
			first: func(w *world, task scheduler.Task) scheduler.Transition { return task.Connect(w.now) },
			second: func(w *world, task scheduler.Task) scheduler.Transition {
				task.CallID = scheduler.NewCallID(w.now)
				return task.End(w.busy(), w.now)
			},
			taken: 0, status: scheduler.Executed,
		},
	}
	for claim, c := range claims {
		t.Run(claim, func(t *testing.T) {
			each(t, 1, func(w *world) {
				w.addDue(1)
				owner := w.join("n1")
				task := w.claim(owner, 1).Started[0].Transition.Task
				if n := w.apply(owner, c.first(w, task)); n != 1 {
					w.Fatalf("the first was not taken")
				}
				if n := w.apply(owner, c.second(w, task)); n != c.taken {
					w.Errorf("the second: %d taken, want %d", n, c.taken)
				}
				row := w.task(task.ID)
				if row.Status != c.status {
					w.Errorf("the task is %s, want %s", row.Status, c.status)
				}
				want := 0
				if c.status == scheduler.Executed {
					want = 1
				}
				if r := w.runtime(); r.Running != want {
					w.Errorf("running is %d, want %d", r.Running, want)
				}
			})
		})
	}
}

func TestApplyOfAFormerEpochIsFenced(t *testing.T) {
	each(t, 1, func(w *world) {
		w.addDue(1)
		old := w.join("n1")
		task := w.claim(old, 1).Started[0].Transition.Task
		w.now = w.now.Add(2 * lease)
		w.join("n1")
		if _, err := w.s.Apply(context.Background(), old, []scheduler.Transition{task.End(w.busy(), w.now)}); !errors.Is(err, scheduler.ErrFenced) {
			w.Fatalf("apply of the former epoch: %v", err)
		}
		if row := w.task(task.ID); row.Status != scheduler.Executed {
			w.Errorf("the task is %s", row.Status)
		}
	})
}

// A cancel that was asked for while the call was up is honoured by whatever
// would let the task wait again, and is not forgotten over a bridge.
func TestApplyHonoursACancel(t *testing.T) {
	ends := map[string]func(w *world, task scheduler.Task) []scheduler.Transition{
		"end": func(w *world, task scheduler.Task) []scheduler.Transition {
			return []scheduler.Transition{task.End(w.busy(), w.now)}
		},
		"release": func(w *world, task scheduler.Task) []scheduler.Transition {
			return []scheduler.Transition{task.Release(w.now)}
		},
		"lose": func(w *world, task scheduler.Task) []scheduler.Transition {
			return []scheduler.Transition{task.Lose(w.now)}
		},
	}
	for step, end := range ends {
		t.Run(step, func(t *testing.T) {
			each(t, 1, func(w *world) {
				w.addDue(1)
				owner := w.join("n1")
				task := w.claim(owner, 1).Started[0].Transition.Task
				if err := w.s.CancelTask(context.Background(), w.cl.ID, w.queue.ID, task.ID, true, w.now); err != nil {
					w.Fatal(err)
				}
				if odd, err := w.s.Oversee(context.Background(), owner, []scheduler.CallID{task.CallID}); err != nil || len(odd) != 1 {
					w.Fatalf("the owner is shown %d tasks to hang up: %v", len(odd), err)
				}
				w.apply(owner, end(w, task)...)
				row := w.task(task.ID)
				if row.Status != scheduler.Finished || row.Comment != scheduler.CommentCancelled {
					w.Errorf("the task is %s %q", row.Status, row.Comment)
				}
			})
		})
	}
}

func TestConnectKeepsACancel(t *testing.T) {
	each(t, 1, func(w *world) {
		w.addDue(1)
		owner := w.join("n1")
		task := w.claim(owner, 1).Started[0].Transition.Task
		if err := w.s.CancelTask(context.Background(), w.cl.ID, w.queue.ID, task.ID, true, w.now); err != nil {
			w.Fatal(err)
		}
		w.apply(owner, task.Connect(w.now))
		if row := w.task(task.ID); !row.CancelRequested || row.BridgedAt.IsZero() {
			w.Errorf("cancel requested %v, bridged at %s", row.CancelRequested, row.BridgedAt)
		}
	})
}

// A node that died between the bridge and the end leaves a success.
func TestLoseAfterConnect(t *testing.T) {
	each(t, 1, func(w *world) {
		w.addDue(1)
		owner := w.join("n1")
		task := w.claim(owner, 1).Started[0].Transition.Task
		w.apply(owner, task.Connect(w.now))
		w.now = w.now.Add(2 * lease)
		next, left, held, err := w.s.Join(context.Background(), "n1", w.now, lease)
		if err != nil || held || len(left) != 1 {
			w.Fatalf("join again: %d left, held %v, %v", len(left), held, err)
		}
		w.apply(next, left[0].Lose(w.now))
		row := w.task(task.ID)
		if row.Result != scheduler.Success || row.Comment != scheduler.CommentLost || w.runtime().Running != 0 {
			w.Errorf("the task is %s %q, running %d", row.Result, row.Comment, w.runtime().Running)
		}
		calls, err := w.s.Calls(context.Background(), w.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 10})
		if err != nil || len(calls.Rows) != 1 || calls.Rows[0].Result != scheduler.CallBridged || calls.Rows[0].BridgedAt.IsZero() {
			w.Errorf("call history %+v: %v", calls.Rows, err)
		}
	})
}

func TestReleaseTakesTheAttemptBack(t *testing.T) {
	each(t, 1, func(w *world) {
		w.addDue(1)
		owner := w.join("n1")
		task := w.claim(owner, 1).Started[0].Transition.Task
		w.apply(owner, task.Release(w.now))
		row := w.task(task.ID)
		if row.Status != scheduler.Scheduled || row.Attempts != 0 || row.CallID != "" || !row.ReadyAt.Equal(w.now.Add(time.Second)) {
			w.Errorf("the task is %s after %d attempts, call %q, ready at %s", row.Status, row.Attempts, row.CallID, row.ReadyAt)
		}
		calls, err := w.s.Calls(context.Background(), w.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 10})
		if err != nil || len(calls.Rows) != 0 {
			w.Errorf("%d calls in the history: %v", len(calls.Rows), err)
		}
	})
}
