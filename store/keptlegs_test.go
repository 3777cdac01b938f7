package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"ringback/scheduler"
	"ringback/store/storetest"
)

func (w *world) left(owner scheduler.Owner) []scheduler.KeptLeg {
	w.Helper()
	left, err := w.s.LeftLegs(context.Background(), owner)
	if err != nil {
		w.Fatalf("legs that were left: %v", err)
	}
	return left
}

func (w *world) keep(owner scheduler.Owner, kept []scheduler.KeptLeg, over ...string) {
	w.Helper()
	if err := w.s.KeepLegs(context.Background(), owner, kept, over); err != nil {
		w.Fatalf("keep legs: %v", err)
	}
}

func TestLegsAreLeftToTheNextEpoch(t *testing.T) {
	each(t, 1, func(w *world) {
		a := scheduler.KeptLeg{ID: "c1-a1", Call: "c1", Trunk: "carrier", State: []byte("BYE\x00\xff")}
		b := scheduler.KeptLeg{ID: "c1-b1", Call: "c1", Trunk: "second", State: []byte("BYE")}
		first := w.join("n1")
		w.keep(first, []scheduler.KeptLeg{a, b})
		w.keep(first, []scheduler.KeptLeg{a}, "c1-b1", "never kept") // the answer to a commit was lost
		if left := w.left(first); len(left) != 0 {
			w.Errorf("the legs of its own calls are left: %+v", left)
		}
		w.now = w.now.Add(lease)
		second := w.join("n1")
		if left := w.left(second); !reflect.DeepEqual(left, []scheduler.KeptLeg{a}) {
			w.Errorf("left are %+v, want %+v", left, a)
		}
		if err := w.s.KeepLegs(context.Background(), first, nil, []string{"c1-a1"}); !errors.Is(err, scheduler.ErrFenced) {
			w.Errorf("a former epoch forgets a leg: %v", err)
		}
		w.keep(second, nil, "c1-a1")
		if left := w.left(second); len(left) != 0 {
			w.Errorf("still left: %+v", left)
		}
	})
}

func TestLegsAreTakenOver(t *testing.T) {
	w := newWorld(t, storetest.Open(t, storetest.PostgresURL(t)), 5)
	leg := scheduler.KeptLeg{ID: "c1-a1", Call: "c1", Trunk: "carrier", State: []byte("BYE")}
	gone, me := w.join("gone"), w.join("me")
	for range 3 {
		w.now = w.now.Add(lease)
		gone = w.join("gone") // its epochs are ahead of ours
	}
	w.keep(gone, []scheduler.KeptLeg{leg}) // of a call without a task, say
	w.now = w.now.Add(lease)
	if err := w.s.Renew(context.Background(), me, w.now.Add(lease)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.TakeOver(context.Background(), me, w.now); err != nil {
		t.Fatal(err)
	}
	if left := w.left(me); !reflect.DeepEqual(left, []scheduler.KeptLeg{leg}) {
		t.Errorf("left are %+v, want %+v", left, leg)
	}
	if err := w.s.KeepLegs(context.Background(), gone, nil, []string{leg.ID}); !errors.Is(err, scheduler.ErrFenced) {
		t.Errorf("the node that is gone still writes: %v", err)
	}
}
