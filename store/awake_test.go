package store_test

import (
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// However many queues of a client are awake, and known to be, another client's
// task that is due for longer is started by the next claim.
func TestWhoComesNewIsStartedByTheNextClaim(t *testing.T) {
	each(t, 1, func(w *world) {
		for range 90 {
			q := storetest.Queue(w.T, w.s, w.cl, 1)
			if _, err := w.s.AddTasks(w.Context(), w.cl.ID, q.ID, []scheduler.Task{w.draft(0)}); err != nil {
				w.Fatal(err)
			}
		}
		owner := w.join("n1")
		if n := len(w.claim(owner, 1).Started); n != 1 {
			w.Fatalf("%d started", n)
		}
		other := newTenant(w.T, w.s, 1)
		task := other.add(w.T, w.s, w.now.Add(-time.Minute))[0]
		next := w.claim(owner, 1).Started
		if len(next) != 1 || next[0].Call.Task != task.ID {
			w.Errorf("%d started, not the other client's", len(next))
		}
	})
}
