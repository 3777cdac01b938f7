package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/webhooks"
)

const (
	hookA = "https://a.example.com/hook"
	hookB = "https://b.example.com/hook"
)

// event is the sequence-th event of a task, of a kind that does not go stale.
func (w *world) event(task scheduler.TaskID, sequence int, url string) scheduler.Event {
	return scheduler.Event{Kind: scheduler.EventSuccess, At: time.Now(), Sequence: sequence, URL: url, Task: scheduler.Task{
		ID: task, ClientID: w.cl.ID, QueueID: w.queue.ID, Attempts: sequence, Status: scheduler.Executed,
	}}
}

func (w *world) put(events ...scheduler.Event) {
	w.Helper()
	if err := store.InsertDeliveries(w.s, events, nil); err != nil {
		w.Fatal(err)
	}
}

func (w *world) lease(at time.Time, n, perOrigin int) []webhooks.Work {
	w.Helper()
	work, _, err := w.s.ClaimDeliveries(w.Context(), webhooks.Claim{Now: at, Room: n, PerOrigin: perOrigin})
	if err != nil {
		w.Fatal(err)
	}
	return work
}

// end settles a claimed delivery after a try.
func (w *world) end(at time.Time, claimed webhooks.Work, v webhooks.Verdict) {
	w.Helper()
	code := ""
	if v.State != scheduler.DeliveryDelivered {
		code = "http_5xx"
	}
	w.settle(at, webhooks.Settlement{Delivery: claimed.Delivery, Verdict: v, Try: &webhooks.Try{At: at, Error: code}})
}

func (w *world) settle(at time.Time, done ...webhooks.Settlement) {
	w.Helper()
	if _, err := w.s.SettleDeliveries(w.Context(), at, done); err != nil {
		w.Fatal(err)
	}
}

func (w *world) sweep(at time.Time) int {
	w.Helper()
	n, err := w.s.SweepDeliveries(w.Context(), at)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) outbox() []scheduler.Delivery {
	w.Helper()
	rows, err := store.Deliveries(w.s)
	if err != nil {
		w.Fatal(err)
	}
	return rows
}

// states returns the outbox as "task/sequence state", by id.
func (w *world) states() []string {
	w.Helper()
	var states []string
	for _, d := range w.outbox() {
		states = append(states, fmt.Sprintf("%d/%d %s", d.TaskID, d.Sequence, d.State))
	}
	return states
}

func (w *world) wantStates(when string, want ...string) {
	w.Helper()
	if got := w.states(); !slices.Equal(got, want) {
		w.Errorf("%s: %q, want %q", when, got, want)
	}
}

var delivered = webhooks.Verdict{State: scheduler.DeliveryDelivered}

func TestATransitionWritesItsEvents(t *testing.T) {
	each(t, 0, func(w *world) {
		owner := w.join("one")
		task := w.draft(0)
		task.URLBefore, task.URLSuccess, task.URLAfter = hookA, hookA, hookB
		w.add(task)
		started := w.claim(owner, 10).Started
		if len(started) != 1 {
			w.Fatal("nothing started")
		}
		end := started[0].Transition.Task.End(w.connected(), w.now)
		stale := end
		stale.From.Epoch++
		if w.apply(owner, stale) != 0 || len(w.outbox()) != 1 {
			w.Fatalf("what was overtaken wrote events: %q", w.states())
		}
		w.apply(owner, end)
		rows := w.outbox()
		if len(rows) != 3 {
			w.Fatalf("%q", w.states())
		}
		for i, want := range []struct {
			kind    scheduler.EventKind
			state   scheduler.DeliveryState
			origin  string
			expires bool
		}{
			{scheduler.EventBefore, scheduler.DeliveryReady, "https://a.example.com:443", true},
			{scheduler.EventSuccess, scheduler.DeliveryHeld, "https://a.example.com:443", false},
			{scheduler.EventAfter, scheduler.DeliveryReady, "https://b.example.com:443", false},
		} {
			d := rows[i]
			if d.Kind != want.kind || d.State != want.state || d.Origin != want.origin || d.Sequence != i+1 || d.Attempt != 1 ||
				d.ClientID != w.cl.ID || d.TaskID != started[0].Transition.Task.ID || d.ExpiresAt.IsZero() == want.expires || d.Tries != 0 {
				w.Errorf("event %d: %+v", i+1, d)
			}
			events := append(slices.Clone(started[0].Transition.Events), end.Events...)
			if string(d.Body) != string(webhooks.Body(events[i], d.EventID)) {
				w.Errorf("body %s", d.Body)
			}
		}
	})
}

func TestWhatIsHeld(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		w.put(w.event(1, 2, hookA), w.event(1, 3, hookB), w.event(2, 1, hookA))
		w.put(w.event(3, 1, hookA), w.event(3, 2, hookA), w.event(3, 3, hookB))
		w.wantStates("a later event of the same task and origin is held, and no other",
			"1/1 ready", "1/2 held", "1/3 ready", "2/1 ready", "3/1 ready", "3/2 held", "3/3 ready")
		for _, work := range w.lease(time.Now(), 10, 10) {
			w.end(time.Now(), work, delivered)
		}
		for _, work := range w.lease(time.Now(), 10, 10) {
			w.end(time.Now(), work, delivered)
		}
		w.put(w.event(1, 4, hookA))
		if states := w.states(); states[7] != "1/4 ready" {
			w.Errorf("behind delivered ones: %q", states)
		}
	})
}

func TestAnEndLetsTheNextOneGo(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		for i, state := range []scheduler.DeliveryState{
			scheduler.DeliveryDelivered, scheduler.DeliveryDead, scheduler.DeliveryExpired, scheduler.DeliveryReady,
		} {
			task := scheduler.TaskID(i + 1)
			w.put(w.event(task, 1, hookA), w.event(task, 2, hookA), w.event(task, 3, hookA))
			work := w.lease(at.Add(time.Second), 10, 10)
			if len(work) != 1 || work[0].Delivery.Sequence != 1 {
				w.Fatalf("%d claimed", len(work))
			}
			w.end(at.Add(time.Second), work[0], webhooks.Verdict{State: state, NextAt: at.Add(time.Hour)})
			next := "held"
			if state.Ended() {
				next = "ready"
			}
			got := w.states()[3*i:]
			want := []string{fmt.Sprintf("%d/1 %s", task, state), fmt.Sprintf("%d/2 %s", task, next), fmt.Sprintf("%d/3 held", task)}
			if !slices.Equal(got, want) {
				w.Errorf("%q, want %q", got, want)
			}
			for _, rest := range w.lease(at.Add(time.Second), 10, 10) {
				w.end(at, rest, webhooks.Verdict{State: scheduler.DeliveryReady, NextAt: at.Add(time.Hour)})
			}
		}
	})
}

func TestAnEndLetsGoWhatWaitsForItAlone(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookB), w.event(1, 3, hookB), w.event(1, 4, hookA))
		at := time.Now()
		for _, work := range w.lease(at, 10, 10) {
			if work.Delivery.Sequence == 2 {
				w.end(at, work, delivered)
			}
		}
		w.wantStates("when the one to the second receiver has ended", "1/1 ready", "1/2 delivered", "1/3 ready", "1/4 held")
	})
}

func TestNoEventWaitsLongerThanAMinute(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA), w.event(1, 3, hookA))
		if n := w.sweep(at.Add(59 * time.Second)); n != 0 {
			w.Errorf("%d let go after 59 s", n)
		}
		w.wantStates("after 59 s", "1/1 ready", "1/2 held", "1/3 held")
		if n := w.sweep(at.Add(61 * time.Second)); n != 2 {
			w.Errorf("%d overtook", n)
		}
		w.wantStates("after 61 s", "1/1 ready", "1/2 ready", "1/3 ready")
		var order []int
		for _, work := range w.lease(at.Add(61*time.Second), 10, 10) {
			order = append(order, work.Delivery.Sequence)
		}
		if !slices.Equal(order, []int{1, 2, 3}) {
			w.Errorf("claimed in the order %v", order)
		}
	})
}

func TestALeaseIsAFence(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA))
		at := time.Now()
		first := w.lease(at, 10, 10)
		if len(first) != 1 || first[0].Delivery.LeaseToken == "" || len(first[0].Secrets) != 1 {
			w.Fatalf("%+v", first)
		}
		if again := w.lease(at.Add(44*time.Second), 10, 10); len(again) != 0 {
			w.Fatalf("leased twice: %+v", again)
		}
		// Its node was killed between the answer and the settling: it is sent again.
		second := w.lease(at.Add(46*time.Second), 10, 10)
		if len(second) != 1 || second[0].Delivery.LeaseToken == first[0].Delivery.LeaseToken ||
			second[0].Delivery.EventID != first[0].Delivery.EventID || string(second[0].Delivery.Body) != string(first[0].Delivery.Body) {
			w.Fatalf("after the lease: %+v", second)
		}
		w.end(at, first[0], webhooks.Verdict{State: scheduler.DeliveryDead})
		w.wantStates("a settling whose lease is gone writes nothing", "1/1 ready", "1/2 held")
		if tries, err := store.Tries(w.s); err != nil || len(tries) != 0 {
			w.Errorf("%+v, %v", tries, err)
		}
		w.end(at, second[0], delivered)
		w.wantStates("the holder's does", "1/1 delivered", "1/2 ready")
		w.end(at, second[0], webhooks.Verdict{State: scheduler.DeliveryDead})
		w.wantStates("once", "1/1 delivered", "1/2 ready")
	})
}

func TestTriesAreRecorded(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		at := time.Now().UTC().Truncate(time.Microsecond)
		work := w.lease(at, 1, 1)[0]
		try := webhooks.Try{
			At: at, Took: 1234567 * time.Microsecond, Remote: "192.0.2.1:443", Status: 503, Error: "http_5xx", Response: []byte{0, 0xff, 'x'},
		}
		again := webhooks.Verdict{State: scheduler.DeliveryReady, NextAt: at.Add(5 * time.Second)}
		w.settle(at, webhooks.Settlement{Delivery: work.Delivery, Verdict: again, Try: &try})
		if early := w.lease(at.Add(4*time.Second), 1, 1); len(early) != 0 {
			w.Fatal("tried before its time")
		}
		work = w.lease(at.Add(5*time.Second), 1, 1)[0]
		w.end(at.Add(5*time.Second), work, delivered)
		tries, err := store.Tries(w.s)
		if err != nil || len(tries) != 2 {
			w.Fatalf("%+v, %v", tries, err)
		}
		got := tries[0]
		if got.Number != 1 || !got.At.Equal(at) || got.TookUs != 1234567 || got.Remote != try.Remote || got.Status != 503 ||
			got.Error != try.Error || string(got.Response) != string(try.Response) || tries[1].Number != 2 {
			w.Errorf("%+v", tries)
		}
		d := w.outbox()[0]
		if d.State != scheduler.DeliveryDelivered || d.Tries != 2 || d.EndedAt.IsZero() || d.LeaseToken != "" || !d.LeaseUntil.IsZero() {
			w.Errorf("%+v", d)
		}
	})
}

func TestACancelledRequestCostsNoTry(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		at := time.Now()
		work := w.lease(at, 1, 1)[0]
		w.settle(at, webhooks.Settlement{
			Delivery: work.Delivery, Verdict: webhooks.Verdict{State: scheduler.DeliveryReady, NextAt: work.Delivery.NextAt},
		})
		again := w.lease(at, 1, 1)
		if len(again) != 1 || again[0].Delivery.Tries != 0 {
			w.Fatalf("%+v", again)
		}
		if tries, err := store.Tries(w.s); err != nil || len(tries) != 0 {
			w.Errorf("%+v, %v", tries, err)
		}
	})
}

func TestBeforeEventsGoStale(t *testing.T) {
	each(t, 0, func(w *world) {
		before, again := w.event(1, 1, hookA), w.event(1, 2, hookA)
		before.Kind, again.Kind = scheduler.EventBefore, scheduler.EventBeforeAgain
		again.At = again.At.Add(time.Hour)
		w.put(before, w.event(2, 1, hookA))
		w.put(again, w.event(1, 3, hookA))
		at := time.Now().Add(15 * time.Minute)
		if work := w.lease(at.Add(-time.Second), 1, 1); len(work) != 1 {
			w.Fatal("stale too soon")
		}
		work := w.lease(at.Add(time.Minute), 10, 10)
		if len(work) != 1 || work[0].Delivery.TaskID != 2 {
			w.Fatalf("%+v", work)
		}
		w.wantStates("a quarter of an hour later", "1/1 expired", "2/1 ready", "1/2 ready", "1/3 held")
		if d := w.outbox()[0]; d.Tries != 0 || d.EndedAt.IsZero() {
			w.Errorf("%+v", d)
		}
	})
}

// However many events of a receiver went stale, those behind them need not wait.
func TestASweepExpiresAllThatWentStale(t *testing.T) {
	each(t, 0, func(w *world) {
		var events []scheduler.Event
		for task := range scheduler.TaskID(3000) {
			e := w.event(task+1, 1, hookA)
			e.Kind = scheduler.EventBefore
			events = append(events, e)
		}
		events = append(events, w.event(1, 2, hookA))
		w.put(events...)
		at := time.Now().Add(20 * time.Minute)
		w.sweep(time.Now().Add(14 * time.Minute))
		if d := w.outbox(); d[1].State != scheduler.DeliveryReady {
			w.Fatalf("expired too soon: %+v", d[1])
		}
		w.sweep(at)
		for _, d := range w.outbox() {
			if want := scheduler.DeliveryExpired; d.Kind == scheduler.EventBefore && d.State != want {
				w.Fatalf("%s %d is %s", d.Kind, d.TaskID, d.State)
			}
		}
		if work := w.lease(at, 10, 10); len(work) != 1 || work[0].Delivery.Kind != scheduler.EventSuccess {
			w.Errorf("%d to be sent, want the fresh one", len(work))
		}
	})
}

func TestAnEventIsWrittenOnce(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		first := w.outbox()[0].EventID
		w.put(w.event(1, 1, hookA), w.event(2, 1, hookA))
		w.wantStates("after the same once more", "1/1 ready", "2/1 ready")
		if w.outbox()[0].EventID != first {
			w.Error("it was replaced")
		}
	})
}

func TestTheSchemaRefusesIllegalDeliveries(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		for name, statement := range map[string]string{
			"an unknown state":         "UPDATE deliveries SET state = 'lost'",
			"an end without a time":    "UPDATE deliveries SET state = 'dead'",
			"a time without an end":    "UPDATE deliveries SET ended_at = created_at",
			"a lease without an end":   "UPDATE deliveries SET lease_token = 'x'",
			"an unknown kind":          "UPDATE deliveries SET kind = 'during'",
			"a sequence below one":     "UPDATE deliveries SET sequence = 0",
			"a client that is none":    "UPDATE deliveries SET client_id = '0190c0de-0000-7000-8000-00000000dead'",
			"a try of nothing":         "INSERT INTO delivery_tries (delivery_id, number, at, took_us) SELECT 99, 1, created_at, 0 FROM deliveries",
			"a try before the first":   "INSERT INTO delivery_tries (delivery_id, number, at, took_us) SELECT id, 0, created_at, 0 FROM deliveries",
			"the same event once more": "INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body, state, next_at, created_at) SELECT client_id, task_id, 'x', kind, attempt, 2, origin, url, body, state, next_at, created_at FROM deliveries",
		} {
			if err := store.Exec(w.s, statement); err == nil {
				w.Errorf("%s is stored", name)
			}
		}
	})
}

func TestEventsAreEncodedAsTheClientReadsThem(t *testing.T) {
	each(t, 0, func(w *world) {
		w.put(w.event(1, 1, hookA))
		_, err := w.s.UpdateSettings(w.Context(), w.cl.AccountID, w.cl.ID, func(s *scheduler.Settings) error {
			s.WebhookFormat = scheduler.WebhookForm
			return nil
		})
		must(w.T, err)
		w.put(w.event(2, 1, hookA))
		rows := w.outbox()
		if !strings.HasPrefix(string(rows[0].Body), "{") || !strings.Contains(string(rows[1].Body), "&task_id=2") {
			w.Errorf("%s\n%s", rows[0].Body, rows[1].Body)
		}
	})
}
