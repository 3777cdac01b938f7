package store_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// know makes a destination known by a task that wants its events there, and
// returns it.
func (w *world) know(url string) webhooks.Destination {
	w.Helper()
	task := w.draft(time.Hour)
	task.URLAfter = url
	w.add(task)
	found, err := w.s.Destinations(w.Context(), w.cl.ID, scheduler.Page{Number: 1, Size: 100})
	must(w.T, err)
	i := slices.IndexFunc(found.Rows, func(d webhooks.Destination) bool { return d.Origin == webhooks.Origin(url) })
	if i < 0 {
		w.Fatalf("%s is not among %d destinations", url, len(found.Rows))
	}
	return found.Rows[i]
}

func (w *world) alter(d webhooks.Destination, change func(*webhooks.Destination)) webhooks.Destination {
	w.Helper()
	changed, err := w.s.UpdateDestination(w.Context(), w.cl.ID, d.ID, func(d *webhooks.Destination) error {
		change(d)
		return nil
	})
	must(w.T, err)
	return changed
}

func (w *world) owe(n int, url string) {
	w.Helper()
	var events []scheduler.Event
	for i := range n {
		events = append(events, w.event(scheduler.TaskID(100_000+i), 1, url))
	}
	w.put(events...)
}

func TestDestinationsAreKnownFromIntake(t *testing.T) {
	each(t, 0, func(w *world) {
		d := w.know(hookA)
		if again := w.know(hookA); again.ID != d.ID || d.Slots != 2 || d.Careful {
			w.Errorf("%+v, %+v", d, again)
		}
		task := w.add(w.draft(time.Hour))[0]
		_, err := w.s.UpdateTask(w.Context(), w.cl.ID, w.queue.ID, task.ID, func(t *scheduler.Task) error {
			t.URLSuccess = hookB
			return nil
		})
		must(w.T, err)
		if b := w.know(hookB); b.ID == d.ID {
			w.Error("both are one")
		}
	})
}

func TestADestinationKeepsItsBreakerInItsRow(t *testing.T) {
	each(t, 0, func(w *world) {
		d := w.know(hookA)
		w.owe(40, hookA)
		at := time.Now()
		var turns []webhooks.Turn
		for range 5 {
			work := w.lease(at, 1, 16)
			got, err := w.s.SettleDeliveries(w.Context(), at, []webhooks.Settlement{{
				Delivery: work[0].Delivery, Try: &webhooks.Try{At: at, Status: 503, Error: "http_5xx"},
				Verdict: webhooks.Verdict{State: scheduler.DeliveryReady, NextAt: at.Add(time.Hour)},
			}})
			must(w.T, err)
			turns = append(turns, got...)
		}
		if len(turns) != 1 || turns[0].From != webhooks.DestinationActive || turns[0].To != webhooks.DestinationOpen || turns[0].Destination.ID != d.ID {
			w.Errorf("%+v", turns)
		}
		if n := len(w.lease(at.Add(4*time.Second), 10, 16)); n != 0 {
			w.Errorf("%d claimed while it is open", n)
		}
		at = at.Add(6 * time.Second)
		probe := w.lease(at, 10, 16)
		if len(probe) != 1 || len(w.lease(at, 10, 16)) != 0 {
			w.Fatalf("%d probes at first", len(probe))
		}
		for range 2 {
			w.end(at, probe[0], delivered)
			probe = w.lease(at, 1, 16)
		}
		stored, err := w.s.Destination(w.Context(), w.cl.ID, d.ID)
		must(w.T, err)
		if got := stored.State(at); got != webhooks.DestinationRamp {
			w.Errorf("after two probes it is %s", got)
		}
		at = at.Add(time.Minute)
		// The five that failed are not left to their schedule.
		if n := len(w.lease(at, 100, 50)); n != 38 {
			w.Errorf("%d claimed after the ramp", n)
		}
	})
}

func TestClaimersShareADestinationsRate(t *testing.T) {
	each(t, 0, func(w *world) {
		d := w.know(hookA)
		w.owe(100, hookA)
		w.alter(d, func(d *webhooks.Destination) { d.MaxRate, d.MaxInFlight, d.SucceededAt = 10, 64, time.Now() })
		at := time.Now().Add(time.Minute)
		var mu sync.Mutex
		var wg sync.WaitGroup
		total := 0
		for range 4 {
			wg.Go(func() {
				for range 5 {
					work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{Now: at, Room: 50, PerOrigin: 16})
					if err != nil {
						w.Error(err)
					}
					mu.Lock()
					total += len(work)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if total != 11 {
			w.Errorf("%d claimed at one moment at a rate of 10", total)
		}
	})
}

func TestLimitsOfADestination(t *testing.T) {
	for claim, c := range map[string]struct {
		change func(*webhooks.Destination)
		want   int
	}{
		"a new one has two slots":       {func(*webhooks.Destination) {}, 2},
		"one that took an event has 16": {func(d *webhooks.Destination) { d.SucceededAt = time.Now() }, 16},
		"its own limit counts":          {func(d *webhooks.Destination) { d.SucceededAt, d.MaxInFlight = time.Now(), 30 }, 30},
		"a paused one has none":         {func(d *webhooks.Destination) { d.SucceededAt, d.PausedAt = time.Now(), time.Now() }, 0},
		"a disabled one has none":       {func(d *webhooks.Destination) { d.SucceededAt, d.DisabledAt = time.Now(), time.Now() }, 0},
	} {
		t.Run(claim, func(t *testing.T) {
			each(t, 0, func(w *world) {
				d := w.know(hookA)
				w.owe(50, hookA)
				w.alter(d, c.change)
				at := time.Now()
				if n := len(w.lease(at, 100, 16)) + len(w.lease(at, 100, 16)); n != c.want {
					w.Errorf("%d claimed, want %d", n, c.want)
				}
			})
		})
	}
}

func TestAShareBoundsWhatOneDestinationTakes(t *testing.T) {
	each(t, 0, func(w *world) {
		w.owe(50, hookA)
		work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{Now: time.Now(), Room: 50, PerOrigin: 16, Share: 3})
		must(w.T, err)
		if len(work) != 3 {
			w.Errorf("%d claimed", len(work))
		}
	})
}

func TestEventsForADisabledDestinationEnd(t *testing.T) {
	each(t, 0, func(w *world) {
		d := w.know(hookA)
		w.alter(d, func(d *webhooks.Destination) { d.DisabledAt = time.Now() })
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA), w.event(2, 1, hookB))
		w.sweep(time.Now())
		want := []string{"1/1 dead", "1/2 dead", "2/1 ready"}
		if got := w.states(); !slices.Equal(got, want) {
			w.Errorf("%v, want %v", got, want)
		}
	})
}

func TestAHeldEventWaitsForAPausedDestination(t *testing.T) {
	each(t, 0, func(w *world) {
		d := w.know(hookA)
		w.alter(d, func(d *webhooks.Destination) { d.PausedAt = time.Now() })
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA))
		if n := w.sweep(time.Now().Add(2 * time.Minute)); n != 0 {
			w.Errorf("%d no longer wait", n)
		}
		if got := w.states(); !slices.Equal(got, []string{"1/1 ready", "1/2 held"}) {
			w.Errorf("%v", got)
		}
	})
}

func TestResend(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA), w.event(2, 1, hookA), w.event(3, 1, hookB))
		at := time.Now()
		for range 3 {
			for _, work := range w.lease(at, 10, 16) {
				v := webhooks.Verdict{State: scheduler.DeliveryDead}
				if work.Delivery.TaskID == 2 {
					v.State = scheduler.DeliveryDelivered
				}
				w.end(at, work, v)
			}
		}
		f := webhooks.Filter{States: webhooks.Unsent}
		counted, err := w.s.ResendAll(w.Context(), w.cl.ID, f, at, true)
		must(w.T, err)
		if got := w.states(); !slices.Equal(got, []string{"1/1 dead", "1/2 dead", "2/1 delivered", "3/1 dead"}) {
			w.Fatalf("a dry run changed them to %v", got)
		}
		sent, err := w.s.ResendAll(w.Context(), w.cl.ID, f, at, false)
		must(w.T, err)
		if counted != 3 || sent != 3 {
			w.Errorf("%d counted, %d sent", counted, sent)
		}
		if got := w.states(); !slices.Equal(got, []string{"1/1 ready", "1/2 held", "2/1 delivered", "3/1 ready"}) {
			w.Errorf("sent again they are %v", got)
		}
		other := storetest.Client(w.T, w.s)
		for _, dry := range []bool{true, false} {
			if n, err := w.s.ResendAll(w.Context(), other.ID, webhooks.Filter{}, at, dry); n != 0 || err != nil {
				w.Errorf("another client sent %d, %v", n, err)
			}
		}
		if seen, err := w.s.Deliveries(w.Context(), other.ID, webhooks.Filter{}, scheduler.Page{Number: 1, Size: 10}); len(seen.Rows) != 0 || err != nil {
			w.Errorf("another client sees %d deliveries, %v", len(seen.Rows), err)
		}
		rows := w.outbox()
		if _, err := w.s.Resend(w.Context(), w.cl.ID, rows[1].ID, at); scheduler.KindOf(err) != scheduler.Conflict {
			w.Errorf("a held one was sent again: %v", err)
		}
		d, err := w.s.Resend(w.Context(), w.cl.ID, rows[2].ID, at)
		must(w.T, err)
		if d.State != scheduler.DeliveryReady || d.EventID != rows[2].EventID || d.TriesBefore != 1 {
			w.Errorf("%+v", d)
		}
		w.end(at, w.lease(at, 1, 1)[0], delivered) // the first of task 1
		for _, work := range w.lease(at, 10, 16) {
			w.end(at, work, webhooks.Judge(work.Delivery, webhooks.Try{Status: 404, Error: "http_4xx"}, at, 0.5))
		}
		_, tries, err := w.s.Delivery(w.Context(), w.cl.ID, rows[2].ID)
		must(w.T, err)
		if len(tries) != 2 || tries[0].Error != "http_5xx" && tries[0].Error != "" {
			w.Errorf("%+v", tries)
		}
		if got := w.states(); got[2] != "2/1 ready" {
			w.Errorf("one 404 after it was sent again ended it: %v", got)
		}
	})
}

// The claim that finds that a ramp is over meets the destination twice: among
// those that need care, and then among the others.
func TestAClaimTakesADeliveryOnce(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		w.alter(w.know(hookA), func(d *webhooks.Destination) { d.RampFrom, d.SucceededAt = at, at })
		w.owe(3, hookA)
		var got []scheduler.DeliveryID
		for _, work := range w.lease(at.Add(time.Minute), 16, 16) {
			got = append(got, work.Delivery.ID)
		}
		slices.Sort(got)
		if len(got) != 3 || len(slices.Compact(got)) != 3 {
			w.Errorf("claimed %v", got)
		}
	})
}

// One probe at a time goes to a destination that is half open: an event that
// waits for an earlier one of its task waits for that, a minute or more, unless
// there is no other probe.
func TestAHeldEventWaitsForAHalfOpenDestination(t *testing.T) {
	for name, c := range map[string]struct {
		open time.Duration // for how long
		due  time.Duration // when the earlier one is tried again
		want string
	}{
		"the earlier one is the probe":                 {5 * time.Second, 0, "1/2 held"},
		"nothing else is due: the later one may be it": {5 * time.Second, 10 * time.Minute, "1/2 ready"},
		"nobody probes while it is open":               {5 * time.Minute, 10 * time.Minute, "1/2 held"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, 0, func(w *world) {
				at := time.Now()
				shut := w.know(hookA)
				w.put(w.event(1, 1, hookA))
				if c.due > 0 {
					w.end(at, w.lease(at.Add(time.Second), 1, 1)[0], webhooks.Verdict{State: scheduler.DeliveryReady, NextAt: at.Add(c.due)})
				}
				w.alter(shut, func(d *webhooks.Destination) { d.OpenUntil, d.OpenFor = at.Add(c.open), c.open })
				w.put(w.event(1, 2, hookA))
				w.sweep(at.Add(2 * time.Minute))
				w.wantStates("after two minutes", "1/1 ready", c.want)
			})
		})
	}
}
