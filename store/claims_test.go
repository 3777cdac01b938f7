package store_test

import (
	"context"
	"testing"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// SQLite has an index of executed tasks instead.
func TestClaimsNameWhatIsExecutedAndLittleElse(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.PostgresURL(t)), 0)
	ctx := context.Background()
	w.addDue(6)
	gone, me := w.join("gone"), w.join("me")
	oversee := func(underWay ...scheduler.CallID) {
		t.Helper()
		if _, err := w.s.Oversee(ctx, gone, underWay); err != nil {
			t.Fatal(err)
		}
	}
	first, second := w.claim(gone, 4).Started, w.claim(gone, 2).Started
	stays := []scheduler.CallID{first[0].Call.ID, second[1].Call.ID}
	for _, s := range append(first[1:], second[0]) {
		w.apply(gone, s.Transition.Task.End(w.busy(), w.now))
	}
	oversee(stays...)
	if n := store.Count(w.s, "claims"); n != 1 {
		t.Errorf("%d claims name what is left of two", n)
	}
	w.now = w.now.Add(lease)
	if err := w.s.Renew(ctx, me, w.now.Add(lease)); err != nil {
		t.Fatal(err)
	}
	left, err := w.s.TakeOver(ctx, me, w.now)
	if err != nil || len(left) != 2 || left[0].CallID != stays[0] || left[1].CallID != stays[1] {
		t.Fatalf("took over %d tasks: %v", len(left), err)
	}
	for _, task := range left {
		w.apply(me, task.Lose(w.now))
	}
	if _, err := w.s.Oversee(ctx, me, nil); err != nil {
		t.Fatal(err)
	}
	if n := store.Count(w.s, "claims"); n != 0 {
		t.Errorf("%d claims are left of tasks that ended", n)
	}
}
