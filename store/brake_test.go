package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// A brake is one for all nodes, is fed by what the nodes apply, and lives in
// the database alone.
func TestBrakeIsSharedByNodes(t *testing.T) {
	each(t, 20, func(w *world) {
		store.SetClock(w.s, func() time.Time { return w.now })
		w.setBrake(scheduler.BrakeSettings{MinPercent: 60, Basis: scheduler.BasisNER, Window: 600, MinAttempts: 4, Pause: 300})
		w.addDue(30)
		owners := []scheduler.Owner{w.join("n1"), w.join("n2")}
		begun := w.claim(owners[0], 6).Started
		for i, s := range begun[:4] {
			if i == 3 && w.runtime().Holds(w.queue, w.now).Gate != "" {
				w.Fatal("held by fewer than the least")
			}
			w.apply(owners[0], s.Transition.Task.End(w.congested(), w.now))
		}
		if n := len(w.claim(owners[1], 9).Started); n != 0 {
			w.Fatalf("%d started on another node", n)
		}
		queue, r, err := w.s.QueueNow(context.Background(), w.cl.ID, w.queue.ID)
		must(w.T, err)
		hold := r.Holds(queue, w.now)
		if until := w.now.Add(300 * time.Second); hold.Gate != scheduler.GateASR || !hold.Until.Equal(until) ||
			hold.Detail != "NER 0 % of 4 attempts in 10 min, needs 60 %" {
			w.Fatalf("held by %+v", hold)
		}
		w.checkShown(scheduler.DelayedASR, 24)

		w.now = w.now.Add(300 * time.Second)
		w.checkShown(scheduler.Scheduled, 24)
		probes := w.claim(owners[1], 9).Started
		if len(probes) != 2 {
			w.Fatalf("%d probes started, want a tenth of the limit", len(probes))
		}
		w.checkShown(scheduler.DelayedASR, 26) // those that failed are due again, too
		if n := len(w.claim(owners[0], 9).Started); n != 0 {
			w.Fatalf("%d started beside the probes", n)
		}
		// What was up before is no probe; a probe that is lost makes room.
		w.apply(owners[0], begun[4].Transition.Task.End(w.connected(), w.now), begun[5].Transition.Task.End(w.connected(), w.now))
		w.apply(owners[1], probes[0].Transition.Task.Lose(w.now))
		again := w.claim(owners[0], 9).Started
		if len(again) != 1 {
			w.Fatalf("%d probes for the one that was lost", len(again))
		}
		talks := again[0].Transition.Task.Connect(w.now)
		w.apply(owners[0], talks)
		w.apply(owners[1], probes[1].Transition.Task.End(w.busy(), w.now))
		if n := len(w.claim(owners[1], 9).Started); n != 9 {
			w.Errorf("%d started once the probes had passed", n)
		}
		if b := w.runtime().Brake; b.Kept() != nil {
			w.Errorf("the window was not cleared: %+v", b)
		}
	})
}

// checkShown counts and lists the waiting tasks of the queue by what they show.
func (w *world) checkShown(status scheduler.Status, want int) {
	w.Helper()
	ctx := context.Background()
	_, counts, err := w.s.QueueState(ctx, w.cl.ID, w.queue.ID)
	must(w.T, err)
	found, err := w.s.Tasks(ctx, w.cl.ID, w.queue.ID, scheduler.TaskFilter{Statuses: []scheduler.Status{status}},
		scheduler.Page{Number: 3, Size: 10})
	must(w.T, err)
	if counts[status] != want || found.Total != want || len(found.Rows) != want-20 {
		w.Errorf("%d %s are counted, %d listed in all, %d on page 3; want %d", counts[status], status, found.Total, len(found.Rows), want)
	}
}

func TestResetBrake(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, 4)
		w.addDue(9)
		owner := w.join("n1")
		w.setBrake(scheduler.BrakeSettings{MinPercent: 100, Basis: scheduler.BasisNER, Window: 600, MinAttempts: 1, Pause: 300})
		w.apply(owner, w.claim(owner, 1).Started[0].Transition.Task.End(w.congested(), w.now))
		if n := len(w.claim(owner, 9).Started); n != 0 {
			t.Fatalf("%d started past the brake", n)
		}
		err := s.ResetBrake(t.Context(), storetest.Client(t, s).ID, w.queue.ID)
		wantKind(t, "another client's", err, scheduler.NotFound)
		must(t, s.ResetBrake(t.Context(), w.cl.ID, w.queue.ID))
		if n := len(w.claim(owner, 9).Started); n != 4 {
			t.Errorf("%d started after the reset", n)
		}
		q, err := s.Queue(t.Context(), w.cl.ID, w.queue.ID)
		if err != nil || q.Brake.MinPercent != 100 || q.Brake.Basis != scheduler.BasisNER || q.Brake.MinAttempts != 1 {
			t.Errorf("the settings are %+v, %v", q.Brake, err)
		}
	})
}

// A queue without a brake writes nothing for it.
func TestNoBrakeRemembersNothing(t *testing.T) {
	each(t, 4, func(w *world) {
		w.addDue(1)
		owner := w.join("n1")
		w.apply(owner, w.claim(owner, 1).Started[0].Transition.Task.End(w.congested(), w.now))
		if b := w.runtime().Brake; b.Kept() != nil {
			w.Errorf("it remembers %+v", b)
		}
		if err := store.Exec(w.s, "UPDATE queues SET asr_min_percent = 101 WHERE id = ?", w.queue.ID); err == nil ||
			!strings.Contains(strings.ToLower(err.Error()), "check") {
			w.Errorf("a ratio of 101 %% is stored: %v", err)
		}
	})
}
