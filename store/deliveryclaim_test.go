package store_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestOneReceiverDoesNotTakeAllSlots(t *testing.T) {
	each(t, 0, func(w *world) {
		const slots, perOrigin = 64, 16
		var sick []scheduler.Event
		for i := range 20 * slots {
			sick = append(sick, w.event(scheduler.TaskID(i+1), 1, hookA))
		}
		w.put(sick...)
		w.put(w.event(9001, 1, hookB), w.event(9002, 1, hookB), w.event(9003, 1, hookB))
		at := time.Now()
		count := func(work []webhooks.Work) (sick, well int) {
			for _, wk := range work {
				if wk.Delivery.URL == hookA {
					sick++
				} else {
					well++
				}
			}
			return sick, well
		}
		first := w.lease(at, slots, perOrigin)
		if s, well := count(first); s != perOrigin || well != 3 {
			w.Fatalf("claimed %d for the sick receiver and %d for the other", s, well)
		}
		w.put(w.event(9004, 1, hookB))
		if s, well := count(w.lease(time.Now(), slots, perOrigin)); s != 0 || well != 1 {
			w.Errorf("with %d in flight, claimed %d more for the sick receiver and %d for the other", perOrigin, s, well)
		}
		w.end(at, first[0], delivered)
		if s, _ := count(w.lease(time.Now(), slots, perOrigin)); s != 1 {
			w.Errorf("with one slot free, claimed %d", s)
		}
	})
}

func TestClaimsGoRoundTheReceivers(t *testing.T) {
	each(t, 0, func(w *world) {
		var events []scheduler.Event
		for i := range 30 {
			events = append(events, w.event(scheduler.TaskID(i+1), 1, fmt.Sprintf("https://r%d.example.com/", i/10)))
		}
		w.put(events...)
		var turns []string
		var last webhooks.Receiver
		for range 4 {
			work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{Now: time.Now(), Room: 5, PerOrigin: 4, After: last})
			must(w.T, err)
			for _, wk := range work {
				if d := wk.Delivery; last.Origin != d.Origin {
					last = webhooks.Receiver{Client: d.ClientID, Origin: d.Origin}
					turns = append(turns, d.Origin[len("https://"):len("https://r0")])
				}
			}
		}
		if want := []string{"r0", "r1", "r2", "r1"}; !slices.Equal(turns, want) {
			w.Errorf("the receivers had their turns as %v, want %v", turns, want)
		}
		if work := w.lease(time.Now(), 50, 4); len(work) != 0 {
			w.Errorf("every receiver has four in flight, and there are %d more", len(work))
		}
	})
}

func TestAReceiverIsAClientsOwn(t *testing.T) {
	each(t, 0, func(w *world) {
		other := storetest.Client(w.T, w.s)
		must(w.T, w.s.AddSecret(w.Context(), other.ID, webhooks.NewSecret(w.now), w.now))
		theirs := w.event(2, 1, hookA)
		theirs.Task.ClientID = other.ID
		w.put(w.event(1, 1, hookA), theirs)
		work := w.lease(time.Now(), 10, 1)
		if len(work) != 2 {
			w.Fatalf("%d claimed", len(work))
		}
		for _, wk := range work {
			own, err := w.s.Secrets(w.Context(), wk.Delivery.ClientID)
			must(w.T, err)
			if len(wk.Secrets) != len(own) {
				w.Errorf("%d secrets sign for a client that has %d", len(wk.Secrets), len(own))
			}
			for i, secret := range wk.Secrets {
				if secret.String() != own[len(own)-1-i].String() {
					w.Errorf("a secret that is not the client's signs")
				}
			}
		}
	})
}

func TestAnExpiredSecretIsLeftOut(t *testing.T) {
	each(t, 0, func(w *world) {
		must(w.T, w.s.AddSecret(w.Context(), w.cl.ID, webhooks.NewSecret(w.now), w.now))
		w.put(w.event(1, 1, hookA))
		at := time.Now().Add(25 * time.Hour)
		if work := w.lease(at, 1, 1); len(work) != 1 || len(work[0].Secrets) != 1 {
			w.Errorf("%+v", work)
		}
	})
}

func TestClaimersNeverShareADelivery(t *testing.T) {
	each(t, 0, func(w *world) {
		const events, claimers = 400, 4
		var all []scheduler.Event
		for i := range events {
			all = append(all, w.event(scheduler.TaskID(i+1), 1, fmt.Sprintf("https://r%d.example.com/", i%8)))
		}
		w.put(all...)
		var mu sync.Mutex
		times := map[scheduler.DeliveryID]int{}
		inFlight, most := map[string]int{}, 0
		var wg sync.WaitGroup
		for range claimers {
			wg.Go(func() {
				for {
					work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{Now: time.Now(), Room: 20, PerOrigin: 5})
					if err != nil {
						w.Error(err)
						return
					}
					mu.Lock()
					taken := len(times)
					for _, wk := range work {
						times[wk.Delivery.ID]++
						inFlight[wk.Delivery.Origin]++
						most = max(most, inFlight[wk.Delivery.Origin])
					}
					mu.Unlock()
					if taken == events {
						return
					}
					var done []webhooks.Settlement
					mu.Lock()
					for _, wk := range work {
						done = append(done, webhooks.Settlement{Delivery: wk.Delivery, Verdict: delivered, Try: &webhooks.Try{At: w.now}})
						inFlight[wk.Delivery.Origin]--
					}
					mu.Unlock()
					if _, err := w.s.SettleDeliveries(w.Context(), time.Now(), done); err != nil {
						w.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for id, n := range times {
			if n != 1 {
				w.Errorf("delivery %d was claimed %d times", id, n)
			}
		}
		if len(times) != events || most > 5 {
			w.Errorf("%d of %d claimed, %d in flight to one receiver", len(times), events, most)
		}
	})
}

// The event and the end of its predecessor pass each other: the one does not
// see that it waits for nothing, the other not that something waits for it.
func TestASweepFindsWhatWaitsForNothing(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		w := newWorld(t, storetest.Open(t, storetest.PostgresURL(t)), 0)
		w.put(w.event(1, 1, hookA))
		at := time.Now()
		work := w.lease(at, 1, 1)
		must(t, store.InsertDeliveries(w.s, []scheduler.Event{w.event(1, 2, hookA)}, func() { w.end(at, work[0], delivered) }))
		w.wantStates("both missed each other", "1/1 delivered", "1/2 held")
		if n := w.sweep(time.Now().Add(2 * time.Second)); n != 0 {
			t.Errorf("%d are said to have waited a minute", n)
		}
		w.wantStates("after the sweep", "1/1 delivered", "1/2 ready")
	})
}

func TestASweepLeavesWhatWaits(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA))
		for age := range 60 {
			w.sweep(at.Add(time.Duration(age) * time.Second))
		}
		w.wantStates("after a sweep", "1/1 ready", "1/2 held")
	})
}

// A node that comes back under its name does not wait for the leases that its
// former life took; those of others, and its own, are left alone.
func TestANodeTakesItsDeliveriesBack(t *testing.T) {
	each(t, 0, func(w *world) {
		for i := range 4 {
			w.put(w.event(scheduler.TaskID(i+1), 1, hookA))
		}
		at := time.Now()
		claim := func(node string, epoch int64, room int) []webhooks.Work {
			w.Helper()
			work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{
				Now: at, Room: room, PerOrigin: 16, Share: 16, Owner: scheduler.Owner{Node: node, Epoch: epoch},
			})
			if err != nil {
				w.Fatal(err)
			}
			return work
		}
		former := claim("n1", 1, 1)
		claim("n1", 2, 1)
		claim("n1/2", 1, 1)
		claim("n", 1, 1)
		freed, err := w.s.FreeDeliveries(w.Context(), scheduler.Owner{Node: "n1", Epoch: 2}, at)
		if err != nil || freed != 1 {
			w.Fatalf("%d were freed: %v", freed, err)
		}
		again := claim("n1", 2, 9)
		if len(again) != 1 || again[0].Delivery.ID != former[0].Delivery.ID {
			w.Errorf("claimed %d, want what the former life was sending", len(again))
		}
	})
}

func TestAQuestionIsClaimedByItself(t *testing.T) {
	each(t, 0, func(w *world) {
		asked := w.event(1, 1, hookA)
		asked.Kind, asked.Wait = scheduler.EventBefore, time.Second
		again := w.event(1, 2, hookA)
		again.Kind, again.Wait = scheduler.EventBeforeAgain, time.Second
		w.put(asked, again)
		now := time.Now()
		if n := len(w.lease(now, 10, 16)); n != 0 {
			w.Fatalf("%d are sent like every other", n)
		}
		claim := func(kind scheduler.EventKind, attempt int) bool {
			work, ok, err := w.s.ClaimQuestion(w.Context(), scheduler.Question{Task: 1, Kind: kind, Attempt: attempt}, webhooks.Claim{Now: now, PerOrigin: 16})
			must(w.T, err)
			if ok && (len(work.Secrets) == 0 || work.Delivery.Kind != kind) {
				w.Errorf("%+v", work)
			}
			return ok
		}
		if claim(scheduler.EventBeforeAgain, 2) {
			w.Error("one that waits for an earlier one was claimed")
		}
		if claim(scheduler.EventBefore, 2) {
			w.Error("one that is not there was claimed")
		}
		if !claim(scheduler.EventBefore, 1) || claim(scheduler.EventBefore, 1) {
			w.Error("it is not claimed once")
		}
		if n := len(w.lease(now.Add(2*time.Second), 10, 16)); n != 0 {
			w.Errorf("%d are sent a second time", n)
		}
	})
}

func TestAQuestionTakesASlot(t *testing.T) {
	each(t, 0, func(w *world) {
		ask := func(task scheduler.TaskID, url string) bool {
			e := w.event(task, 1, url)
			e.Kind, e.Wait = scheduler.EventBefore, time.Second
			w.put(e)
			_, ok, err := w.s.ClaimQuestion(w.Context(), scheduler.Question{Task: task, Kind: scheduler.EventBefore, Attempt: 1}, webhooks.Claim{Now: time.Now(), PerOrigin: 2})
			must(w.T, err)
			return ok
		}
		if !ask(1, hookA) || !ask(2, hookA) || ask(3, hookA) {
			w.Error("a receiver with two slots is not asked twice at a time")
		}
		w.alter(w.know(hookB), func(d *webhooks.Destination) { d.PausedAt = time.Now() })
		if ask(4, hookB) {
			w.Error("a paused receiver is asked")
		}
	})
}

// What is owed to a destination that is shut is not walked through.
func TestAClaimIsAsQuickBesideADeadDestination(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		w.know(hookB)
		shut := w.know(hookA)
		claims := func() time.Duration {
			var took []time.Duration
			for range 15 {
				began := time.Now()
				work := w.lease(at.Add(time.Minute), 16, 16)
				took = append(took, time.Since(began))
				for _, one := range work {
					if one.Delivery.URL != hookB {
						w.Fatalf("claimed %s", one.Delivery.URL)
					}
				}
			}
			slices.Sort(took)
			return took[len(took)/4]
		}
		w.put(w.event(1, 1, hookB))
		alone := claims()
		w.alter(shut, func(d *webhooks.Destination) { d.OpenUntil, d.OpenFor = at.Add(time.Hour), time.Hour })
		w.owe(20_000, hookA)
		if beside := claims(); beside > 5*alone+2*time.Millisecond {
			w.Errorf("a claim takes %v, %v beside a destination that is owed 20,000 events", alone, beside)
		} else {
			w.Logf("a claim takes %v, %v beside a destination that is owed 20,000 events", alone, beside)
		}
	})
}
