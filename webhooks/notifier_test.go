package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

const (
	hook  = "https://receiver.example.com/hook"
	other = "https://other.example.com/hook"
)

func TestEventsOfATaskArriveInOrderAndAtOnce(t *testing.T) {
	virtual(t, func(r *rig) {
		began := time.Now()
		tasks := r.start(urls{hook, hook, hook}, urls{hook, hook, hook})
		r.finish(tasks...)
		r.during(500 * time.Millisecond)
		sequences := map[int64][]int{}
		for _, p := range r.net.arrived() {
			if p.At.Sub(began) > 100*time.Millisecond {
				r.Errorf("event %d came after %v", p.Event.Sequence, p.At.Sub(began))
			}
			sequences[p.Event.Data.TaskID] = append(sequences[p.Event.Data.TaskID], p.Event.Sequence)
		}
		for _, task := range tasks {
			if got := sequences[int64(task.ID)]; !slices.Equal(got, []int{1, 2, 3}) {
				r.Errorf("the events of task %d came as %v", task.ID, got)
			}
		}
		if n := r.left(); n != 0 {
			r.Errorf("%d are left", n)
		}
	})
}

func TestAWakeDoesNotWaitForTheTick(t *testing.T) {
	virtual(t, func(r *rig) {
		n, stop := r.run()
		r.s.OnEvents(n.Wake)
		<-time.After(10*time.Second + 100*time.Millisecond)
		began := time.Now()
		r.owe(hook)
		<-time.After(50 * time.Millisecond)
		stop()
		if got := r.net.arrived(); len(got) != 1 || got[0].At.Sub(began) > 10*time.Millisecond {
			r.Errorf("%d arrived", len(got))
		}
	})
}

func TestAFailingReceiverIsTriedOnTheSchedule(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = always(http.StatusInternalServerError)
		r.owe(hook)
		r.during(16 * time.Minute)
		posts := r.net.arrived()
		want := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
		if len(posts) != len(want)+1 {
			r.Fatalf("%d tries", len(posts))
		}
		for i, delay := range want {
			got := posts[i+1].At.Sub(posts[i].At)
			if got < delay*8/10 || got > delay*12/10+time.Second {
				r.Errorf("try %d came after %v, want %v", i+2, got, delay)
			}
			if posts[i+1].Event.ID != posts[0].Event.ID || string(posts[i+1].Body) != string(posts[0].Body) ||
				posts[i+1].Header.Get("webhook-id") != posts[0].Event.ID {
				r.Errorf("try %d sent something else", i+2)
			}
			if posts[i+1].Header.Get("webhook-timestamp") == posts[i].Header.Get("webhook-timestamp") {
				r.Errorf("try %d was signed with the time of the one before", i+2)
			}
		}
		if n := r.left(); n != 1 {
			r.Errorf("%d are left", n)
		}
	})
}

func TestHowAnAnswerEndsIt(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		retry  string
		during time.Duration
		tries  int
		state  scheduler.DeliveryState
	}{
		"200 is delivered":                 {200, "", 10 * time.Second, 1, scheduler.DeliveryDelivered},
		"410 is dead at once":              {410, "", 10 * time.Second, 1, scheduler.DeliveryDead},
		"404 is dead after three":          {404, "", 50 * time.Second, 3, scheduler.DeliveryDead},
		"429 goes on":                      {429, "", 200 * time.Second, 4, ""},
		"a redirect goes on":               {302, "", 20 * time.Second, 2, ""},
		"503 with Retry-After is obeyed":   {503, "100", 120 * time.Second, 2, ""},
		"which does not shorten the pause": {503, "1", 20 * time.Second, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			pure(t, func(r *rig) {
				r.net.answer = func(*http.Request, post) (int, http.Header) {
					return c.status, http.Header{"Retry-After": {c.retry}, "Location": {other}}
				}
				r.owe(hook)
				r.during(c.during)
				tried, _ := r.seen.counts()
				if got := len(r.net.arrived()); got != c.tries || c.state != "" && tried[c.state] != 1 {
					r.Errorf("%d requests, %v", got, tried)
				}
				if n := r.left(); (n == 0) != (c.state != "") {
					r.Errorf("%d are left", n)
				}
			})
		})
	}
}

func TestALaterEventWaitsForAnEarlierOneAMinute(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = func(_ *http.Request, p post) (int, http.Header) {
			if p.Event.Type == "task.success" {
				return http.StatusInternalServerError, nil
			}
			return http.StatusOK, nil
		}
		began := time.Now()
		r.finish(r.start(urls{success: hook, after: hook}, urls{success: hook, after: other})...)
		r.during(90 * time.Second)
		arrived := map[string]time.Duration{}
		for _, p := range r.net.arrived() {
			if p.Event.Type == "task.after" {
				arrived[p.Host] = p.At.Sub(began)
			}
		}
		if at := arrived["receiver.example.com"]; at < 59*time.Second || at > 62*time.Second {
			r.Errorf("the later event came after %v", at)
		}
		if at := arrived["other.example.com"]; at > time.Second {
			r.Errorf("the event to another receiver came after %v", at)
		}
		if _, overtook := r.seen.counts(); overtook != 1 {
			r.Errorf("%d are said to have overtaken", overtook)
		}
	})
}

func TestTheNextEventGoesWhenTheEarlierOneIsDead(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = func(_ *http.Request, p post) (int, http.Header) {
			if p.Event.Type == "task.success" {
				return http.StatusGone, nil
			}
			return http.StatusOK, nil
		}
		r.finish(r.start(urls{success: hook, after: hook})...)
		r.during(time.Second / 2)
		if got := r.net.arrived(); len(got) != 2 {
			r.Errorf("%d requests", len(got))
		}
	})
}

func TestABeforeEventIsNotSentWhenItIsStale(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = always(http.StatusInternalServerError)
		began := time.Now()
		r.start(urls{before: hook})
		r.during(16 * time.Minute)
		for _, p := range r.net.arrived() {
			if p.At.Sub(began) >= 15*time.Minute {
				r.Errorf("sent after %v", p.At.Sub(began))
			}
		}
		tried, _ := r.seen.counts()
		if tried[scheduler.DeliveryExpired] != 1 || r.left() != 0 {
			r.Errorf("%v", tried)
		}
		r.start(urls{before: hook})
		<-time.After(15 * time.Minute)
		before := len(r.net.arrived())
		r.during(10 * time.Second)
		if got := len(r.net.arrived()); got != before {
			r.Error("a notifier that starts late sends what is stale")
		}
	})
}

// unswept is an outbox that nobody sweeps.
type unswept struct{ webhooks.Outbox }

func (unswept) SweepDeliveries(context.Context, time.Time) (int, error) { return 0, nil }

// What went stale fills a claim, and nobody behind it waits for the next tick.
func TestWhatWentStaleTakesNobodysTurn(t *testing.T) {
	virtual(t, func(r *rig) {
		r.o.Outbox = unswept{r.s}
		r.start(slices.Repeat([]urls{{before: hook}}, 25)...)
		<-time.After(16 * time.Minute)
		began := time.Now()
		r.owe(hook)
		r.during(3 * time.Second)
		if got := r.net.arrived(); len(got) != 1 || got[0].At.Sub(began) > 100*time.Millisecond {
			r.Errorf("%d arrived, %v", len(got), got)
		}
	})
}

func TestAHangingReceiverDelaysNobodyElse(t *testing.T) {
	virtual(t, func(r *rig) {
		const slots = 32
		r.o.Slots, r.o.PerOrigin = slots, 8
		r.net.answer = func(req *http.Request, p post) (int, http.Header) {
			if p.Host == "receiver.example.com" {
				return hang(req, p)
			}
			return http.StatusOK, nil
		}
		hooks := slices.Repeat([]string{hook}, 20*slots)
		r.owe(hooks...)
		_, stop := r.run()
		<-time.After(3 * time.Second)
		began := time.Now()
		r.owe(slices.Repeat([]string{other}, 3*slots)...)
		<-time.After(40 * time.Second)
		stop()
		taken, late := 0, time.Duration(0)
		for _, p := range r.net.arrived() {
			if p.Host == "other.example.com" {
				taken++
				late = max(late, p.At.Sub(began))
			}
		}
		if taken != 3*slots || late > 2*time.Second {
			r.Errorf("the other receiver got %d of %d, the last after %v", taken, 3*slots, late)
		}
		if r.net.most["receiver.example.com"] != 2 || r.net.most[""] > slots { // it never took one
			r.Errorf("requests in flight at most: %v", r.net.most)
		}
	})
}

func TestSlotsAreTheLimitOfRequestsInFlight(t *testing.T) {
	virtual(t, func(r *rig) {
		r.o.Slots, r.o.PerOrigin = 10, 4
		r.net.answer = func(*http.Request, post) (int, http.Header) {
			<-time.After(50 * time.Millisecond)
			return http.StatusOK, nil
		}
		var hooks []string
		for i := range 120 {
			hooks = append(hooks, fmt.Sprintf("https://r%d.example.com/", i%6))
		}
		r.owe(hooks...)
		r.during(900 * time.Millisecond)
		if n := len(r.net.arrived()); n != 120 || r.net.most[""] != 10 || r.net.most["r0.example.com"] > 4 {
			r.Errorf("%d requests, in flight at most %v", n, r.net.most)
		}
	})
}

func TestReceiversTakeTurns(t *testing.T) {
	virtual(t, func(r *rig) {
		r.o.Slots, r.o.PerOrigin = 4, 4
		r.net.answer = func(*http.Request, post) (int, http.Header) {
			<-time.After(100 * time.Millisecond)
			return http.StatusOK, nil
		}
		r.owe(slices.Repeat([]string{"https://a.example.com/"}, 100)...)
		r.owe(slices.Repeat([]string{"https://b.example.com/"}, 4)...)
		r.during(time.Second)
		got := map[string]int{}
		for _, p := range r.net.arrived() {
			got[p.Host]++
		}
		if got["b.example.com"] != 4 || got["a.example.com"] < 20 {
			r.Errorf("requests %v", got)
		}
	})
}

// With fewer slots than receivers each claim goes on behind the one before.
func TestMoreReceiversThanSlotsTakeTurns(t *testing.T) {
	pure(t, func(r *rig) {
		r.o.Slots = 2
		r.net.answer = func(*http.Request, post) (int, http.Header) {
			<-time.After(100 * time.Millisecond)
			return http.StatusOK, nil
		}
		for i := range 5 {
			r.owe(slices.Repeat([]string{fmt.Sprintf("https://r%d.example.com/", i)}, 40)...)
		}
		r.during(2 * time.Second)
		got := map[string]int{}
		for _, p := range r.net.arrived() {
			got[p.Host]++
		}
		for i := range 5 {
			if n := got[fmt.Sprintf("r%d.example.com", i)]; n < 5 {
				r.Errorf("requests %v", got)
			}
		}
	})
}

// Two receivers that took events and then are slow leave slots to a third one.
func TestTheLastSlotsAreForThoseThatHaveNone(t *testing.T) {
	pure(t, func(r *rig) {
		const third = "https://third.example.com/"
		r.o.Slots = 32
		slow := time.Now().Add(time.Minute)
		r.net.answer = func(req *http.Request, p post) (int, http.Header) {
			if p.Host != "third.example.com" && time.Now().After(slow) {
				return hang(req, p)
			}
			return http.StatusOK, nil
		}
		n, stop := r.run()
		defer stop()
		r.s.OnEvents(n.Wake)
		r.owe(hook, other)
		<-time.After(2 * time.Minute)
		for _, url := range []string{hook, other} {
			r.owe(slices.Repeat([]string{url}, 50)...)
			<-time.After(100 * time.Millisecond)
		}
		began := time.Now()
		r.owe(third)
		<-time.After(100 * time.Millisecond)
		if got := r.net.arrived(); got[len(got)-1].Host != "third.example.com" {
			r.Errorf("after %v the third got nothing; in flight %v", time.Since(began), r.net.most)
		}
	})
}

func TestAStopLetsShortRequestsEndAndCancelsTheRest(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = func(req *http.Request, p post) (int, http.Header) {
			if p.Host == "other.example.com" {
				<-time.After(time.Second)
				return http.StatusOK, nil
			}
			return hang(req, p)
		}
		r.owe(hook, other)
		_, stop := r.run()
		<-time.After(500 * time.Millisecond)
		began := time.Now()
		stop()
		if took := time.Since(began); took != 2*time.Second {
			r.Errorf("it stopped after %v", took)
		}
		tried, _ := r.seen.counts()
		if len(tried) != 1 || tried[scheduler.DeliveryDelivered] != 1 {
			r.Errorf("tries %v", tried)
		}
		work, _, err := r.s.ClaimDeliveries(r.Context(), webhooks.Claim{Now: time.Now(), Room: 10, PerOrigin: 10})
		if err != nil || len(work) != 1 || work[0].Delivery.Tries != 0 || work[0].Delivery.URL != hook {
			r.Errorf("a cancelled request: %+v, %v", work, err)
		}
	})
}

// breaking is an outbox whose database is away when down says so.
type breaking struct {
	webhooks.Outbox
	down func() bool
}

func (b breaking) SettleDeliveries(ctx context.Context, now time.Time, done []webhooks.Settlement) ([]webhooks.Turn, error) {
	if b.down() {
		return nil, errors.New("the database is away")
	}
	return b.Outbox.SettleDeliveries(ctx, now, done)
}

// refusing is an outbox whose database takes nothing that a receiver said, for
// one of its deliveries.
type refusing struct {
	webhooks.Outbox
	bad scheduler.DeliveryID
}

func (f refusing) SettleDeliveries(ctx context.Context, now time.Time, done []webhooks.Settlement) ([]webhooks.Turn, error) {
	for _, s := range done {
		if s.Delivery.ID == f.bad && s.Try != nil && len(s.Try.Response) > 0 {
			return nil, fmt.Errorf("%w: for this test", scheduler.ErrData)
		}
	}
	return f.Outbox.SettleDeliveries(ctx, now, done)
}

// One answer that the database refuses keeps no other from being settled, and
// is settled itself without the receiver's words.
func TestASettlementThatIsRefused(t *testing.T) {
	virtual(t, func(r *rig) {
		r.o.Outbox = refusing{r.s, 3}
		r.owe(slices.Repeat([]string{hook}, 8)...)
		r.during(10 * time.Second)
		if n := len(r.net.arrived()); n != 8 {
			r.Errorf("%d requests for 8 events", n)
		}
		if n := r.left(); n != 0 {
			r.Errorf("%d are left", n)
		}
	})
}

func TestAKillBetweenAnswerAndSettlingSendsTwice(t *testing.T) {
	virtual(t, func(r *rig) {
		r.owe(hook)
		r.o.Outbox = breaking{r.s, func() bool { return true }}
		r.during(500 * time.Millisecond) // as good as killed: nothing was written
		r.o.Outbox = r.s
		_, stop := r.run()
		<-time.After(40 * time.Second)
		if n := len(r.net.arrived()); n != 1 {
			r.Errorf("%d requests while the lease lasts", n)
		}
		<-time.After(10 * time.Second)
		stop()
		posts := r.net.arrived()
		if len(posts) != 2 || posts[0].Event.ID != posts[1].Event.ID || string(posts[0].Body) != string(posts[1].Body) {
			r.Errorf("%d requests", len(posts))
		}
		if n := r.left(); n != 0 {
			r.Errorf("%d are left", n)
		}
	})
}

func TestADatabaseThatIsAwayCostsNoDuplicates(t *testing.T) {
	virtual(t, func(r *rig) {
		began := time.Now()
		r.o.Slots = 4
		r.o.Outbox = breaking{r.s, func() bool { return time.Since(began) < 20*time.Second }}
		var hooks []string // each with slots of its own
		for i := range 10 {
			hooks = append(hooks, fmt.Sprintf("https://r%d.example.com/", i))
		}
		r.owe(hooks...)
		_, stop := r.run()
		<-time.After(15 * time.Second)
		if n := len(r.net.arrived()); n != 4 {
			r.Errorf("%d requests, and nothing could be written", n)
		}
		<-time.After(15 * time.Second)
		stop()
		if n := len(r.net.arrived()); n != 10 || r.left() != 0 {
			r.Errorf("%d requests", n)
		}
	})
}

// unsigned is an outbox of a client whose secrets cannot be read.
type unsigned struct{ webhooks.Outbox }

func (u unsigned) ClaimDeliveries(ctx context.Context, c webhooks.Claim) ([]webhooks.Work, bool, error) {
	work, more, err := u.Outbox.ClaimDeliveries(ctx, c)
	for i := range work {
		work[i].Secrets = nil
	}
	return work, more, err
}

func TestNothingIsSentUnsigned(t *testing.T) {
	virtual(t, func(r *rig) {
		r.owe(hook)
		r.o.Outbox = unsigned{r.s}
		r.during(time.Second)
		if tried, _ := r.seen.counts(); len(r.net.arrived()) != 0 || tried[scheduler.DeliveryReady] != 1 {
			r.Errorf("%d requests, %v", len(r.net.arrived()), tried)
		}
	})
}

// Real receivers on real sockets, and both databases.
func TestDelivery(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		t.Parallel()
		r := newRig(t, s)
		secrets, err := s.Secrets(t.Context(), r.cl.ID)
		if err != nil {
			t.Fatal(err)
		}
		v := verifier(t, secrets[0].String())
		var mu sync.Mutex
		got := map[int64][]int{}
		failed := map[string]bool{}
		all := make(chan struct{})
		const tasks = 40
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			p := readPost(t, req)
			if err := v.Verify(p.Body, req.Header); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if p.Event.Type == "task.success" && !failed[p.Event.ID] && p.Event.Data.TaskID%20 == 0 {
				failed[p.Event.ID] = true
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			list := append(got[p.Event.Data.TaskID], p.Event.Sequence)
			got[p.Event.Data.TaskID] = list
			if len(got) == tasks && !slices.ContainsFunc(slices.Collect(maps.Values(got)), func(l []int) bool { return len(l) != 3 }) {
				close(all)
			}
		}))
		defer receiver.Close()
		r.o.Transport, r.o.Guard = nil, loopback
		n, stop := r.run()
		s.OnEvents(n.Wake)
		started := r.start(slices.Repeat([]urls{{receiver.URL, receiver.URL, receiver.URL}}, tasks)...)
		r.finish(started...)
		select {
		case <-all:
		case <-time.After(2 * time.Minute):
			t.Error("not all arrived")
		}
		stop()
		mu.Lock()
		defer mu.Unlock()
		for task, sequence := range got {
			if !slices.Equal(sequence, []int{1, 2, 3}) {
				t.Errorf("the events of task %d came as %v", task, sequence)
			}
		}
		if len(failed) == 0 {
			t.Error("no receiver failed")
		}
		if n := r.left(); n != 0 {
			t.Errorf("%d are left", n)
		}
	})
}
