package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestHistoryByTheNumberCalled(t *testing.T) {
	each(t, 0, func(w *world) {
		national := w.draft(0)
		national.BNumber, national.BNumberE164 = "06 1234 5601", "+390612345601"
		w.add(national, w.draft(0))
		w.claim(w.join("n1"), 9)
		for number, want := range map[string]int{"06 1234 5601": 1, "+390612345601": 1, "101": 1, "0612345601": 0} {
			found, err := w.s.Calls(context.Background(), w.cl.ID, scheduler.CallFilter{ToNumber: number}, firstPage)
			if err != nil || len(found.Rows) != want {
				w.Errorf("to %s there are %d calls, want %d, %v", number, len(found.Rows), want, err)
			}
		}
	})
}

// A long history is handed on in parts, each call once, in either order.
func TestEachCall(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, 0)
		const n = 2500
		w.addDue(n)
		owner := w.join("n1")
		var started []scheduler.Started
		for len(started) < n {
			started = append(started, w.claim(owner, 500).Started...)
			w.now = w.now.Add(time.Millisecond)
		}
		w.apply(owner, started[0].Transition.Task.End(w.busy(), w.now))
		other := newWorld(t, s, 0)
		other.addDue(1)
		other.claim(owner, 1)
		for _, descending := range []bool{false, true} {
			var ids []scheduler.CallID
			most := 0
			err := s.EachCall(context.Background(), w.cl.ID, scheduler.CallFilter{}, descending, func(rows []scheduler.Attempt) error {
				most = max(most, len(rows))
				for _, a := range rows {
					ids = append(ids, a.CallID)
				}
				return nil
			})
			distinct := slices.Compact(slices.Sorted(slices.Values(ids)))
			if err != nil || len(ids) != n || len(distinct) != n || most > 1000 {
				t.Errorf("told %d calls, %d of them distinct, %d at once, %v", len(ids), len(distinct), most, err)
			}
		}
		refused := errors.New("refused")
		if err := s.EachCall(context.Background(), w.cl.ID, scheduler.CallFilter{}, false, func([]scheduler.Attempt) error { return refused }); !errors.Is(err, refused) {
			t.Errorf("the refusal of who is told is %v", err)
		}
		only := 0
		err := s.EachCall(context.Background(), w.cl.ID, scheduler.CallFilter{Result: scheduler.CallBusy}, false, func(rows []scheduler.Attempt) error {
			only += len(rows)
			return nil
		})
		if err != nil || only != 1 {
			t.Errorf("filtered there are %d, %v", only, err)
		}
	})
}
