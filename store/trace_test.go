package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// A task that is changed, held, released, busy, cancelled and lost: its
// timeline tells all of it in order.
func TestTimeline(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx, owner := context.Background(), w.join("n1")
		draft := w.draft(0)
		draft.URLBefore, draft.URLBeforeAgain, draft.URLAfter = "https://r.example/b", "https://r.example/a", "https://r.example/e"
		task := w.add(draft)[0]
		tick := func() { w.now = w.now.Add(time.Minute) }
		started := func() scheduler.Task {
			tick()
			return w.claim(owner, 9).Started[0].Transition.Task
		}
		change := func() {
			_, err := w.s.UpdateTask(ctx, w.cl.ID, w.queue.ID, task.ID, func(t *scheduler.Task) error { t.Name = "other"; return nil })
			must(w.T, err)
		}
		change()
		for _, on := range []bool{false, true} {
			_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.On = on; return nil })
			must(w.T, err)
		}
		for range 3 {
			call := started()
			tick()
			w.apply(owner, call.Release(w.now))
		}
		call := started()
		tick()
		w.apply(owner, call.End(w.busy(), w.now))
		call = started()
		must(w.T, w.s.CancelTask(ctx, w.cl.ID, w.queue.ID, task.ID, true, w.now))
		tick()
		w.apply(owner, call.Lose(w.now))
		must(w.T, store.Exec(w.s, `INSERT INTO delivery_tries (delivery_id, number, at, took_us, status, error)
			SELECT id, 1, ?, 1500, 503, 'http_5xx' FROM deliveries WHERE kind = 'after'`, w.now.Add(time.Second)))

		trace, err := w.s.Trace(ctx, w.cl.ID, w.queue.ID, task.ID)
		must(w.T, err)
		var kinds []scheduler.MomentKind
		var holds, events []string // at the clock of the store, not the test's
		var last scheduler.Moment
		for _, m := range trace.Timeline() {
			if m.At.Before(last.At) {
				w.Errorf("%s stands after %s", m.Kind, last.Kind)
			}
			switch last = m; m.Kind {
			case scheduler.MomentHold:
				holds = append(holds, m.Result)
			case scheduler.MomentEvent:
				events = append(events, m.Result)
			default:
				kinds = append(kinds, m.Kind)
			}
		}
		want := []scheduler.MomentKind{
			"created", "changed", "released", "released", "started", "leg_dialled", "leg_ended", "ended",
			"started", "cancel_requested", "lost", "ended", "finished", "delivery",
		}
		if !slices.Equal(kinds, want) {
			w.Errorf("it tells\n%v, not\n%v", kinds, want)
		}
		if !slices.Equal(holds, []string{"scheduler_off", ""}) || !slices.Equal(events, []string{"before", "before_again", "after"}) {
			w.Errorf("it was held by %q, and owed %q", holds, events)
		}
		if last.Result != "after" || last.Detail != "try 1 to https://r.example:443: http_5xx, HTTP 503 after 2ms" {
			w.Errorf("the last is %+v", last)
		}
		_, err = w.s.Trace(ctx, storetest.Client(w.T, w.s).ID, w.queue.ID, task.ID)
		wantKind(w.T, "another client's", err, scheduler.NotFound)
	})
}
