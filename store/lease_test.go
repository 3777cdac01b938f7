package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

func TestJoin(t *testing.T) {
	each(t, 1, func(w *world) {
		ctx := context.Background()
		first := w.join("n1")
		if err := w.s.Renew(ctx, first, w.now.Add(lease)); err != nil {
			w.Fatalf("renew: %v", err)
		}
		w.now = w.now.Add(lease)
		second := w.join("n1")
		if second.Epoch != first.Epoch+1 {
			w.Errorf("epoch %d follows %d", second.Epoch, first.Epoch)
		}
		if err := w.s.Renew(ctx, first, w.now.Add(lease)); !errors.Is(err, scheduler.ErrFenced) {
			w.Errorf("renew of the former epoch: %v", err)
		}
	})
}

func TestANameInUseIsWaitedFor(t *testing.T) {
	each(t, 1, func(w *world) {
		owner := w.join("n1")
		_, _, held, err := w.s.Join(context.Background(), "n1", w.now.Add(lease/2), lease)
		if err != nil {
			w.Fatal(err)
		}
		// The lock on a SQLite file says already that the former process is gone.
		if want := w.Name() != "TestANameInUseIsWaitedFor/sqlite"; held != want {
			w.Errorf("held is %v, want %v", held, want)
		}
		if err := w.s.Renew(context.Background(), owner, w.now); held && err != nil {
			w.Errorf("the holder lost its epoch: %v", err)
		}
	})
}

// A SQLite file has one node.
func TestTakeOverLeavesTheLivingAlone(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.PostgresURL(t)), 5)
	ctx := context.Background()
	w.addDue(2)
	gone, alive, me := w.join("gone"), w.join("alive"), w.join("me")
	mine := w.claim(gone, 1).Started[0].Call.Task
	w.claim(alive, 1)
	w.now = w.now.Add(lease)
	if err := w.s.Renew(ctx, alive, w.now.Add(lease)); err != nil {
		w.Fatal(err)
	}
	if err := w.s.Renew(ctx, me, w.now.Add(lease)); err != nil {
		w.Fatal(err)
	}
	left, err := w.s.TakeOver(ctx, me, w.now)
	if err != nil || len(left) != 1 || left[0].ID != mine {
		w.Fatalf("took over %d tasks: %v", len(left), err)
	}
	if again, err := w.s.TakeOver(ctx, me, w.now.Add(time.Second)); err != nil || len(again) != 0 {
		w.Errorf("took over %d tasks again: %v", len(again), err)
	}
}

func TestOverseeShowsWhatHasNoCall(t *testing.T) {
	each(t, 5, func(w *world) {
		w.addDue(2)
		owner := w.join("n1")
		started := w.claim(owner, 2).Started
		odd, err := w.s.Oversee(context.Background(), owner, []scheduler.CallID{started[0].Call.ID})
		if err != nil || len(odd) != 1 || odd[0].ID != started[1].Call.Task || odd[0].CalledBy != "n1" {
			w.Errorf("%d odd tasks: %v", len(odd), err)
		}
	})
}
