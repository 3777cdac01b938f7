package webhooks_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// away makes the receiver answer 503 between two moments after now.
func (r *rig) away(from, to time.Duration) {
	began := time.Now()
	r.net.answer = func(*http.Request, post) (int, http.Header) {
		if at := time.Since(began); at >= from && at < to {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	}
}

// turns returns the states that destinations came into so far.
func (r *rig) turns() []webhooks.DestinationState {
	r.seen.mu.Lock()
	defer r.seen.mu.Unlock()
	return slices.Clone(r.seen.turned)
}

func TestAReceiverThatWasAwayGetsEverythingInOrder(t *testing.T) {
	virtual(t, func(r *rig) {
		tasks := 60
		if soaks() {
			tasks = 300
		}
		r.away(0, 10*time.Minute)
		_, stop := r.run()
		for range tasks {
			r.finish(r.start(urls{"", hook, hook})...)
			<-time.After(5 * time.Minute / time.Duration(tasks))
		}
		for end := time.Now().Add(30 * time.Minute); r.owed() > 0 && time.Now().Before(end); {
			<-time.After(10 * time.Second)
		}
		stop()
		last := map[int64]int{}
		var tried, taken int
		for _, p := range r.net.arrived() {
			if p.At.Sub(r.began) < 10*time.Minute {
				tried++
				continue
			}
			taken++
			if before := last[p.Event.Data.TaskID]; p.Event.Sequence != before+1 {
				r.Errorf("task %d: event %d came after %d", p.Event.Data.TaskID, p.Event.Sequence, before)
			}
			last[p.Event.Data.TaskID] = p.Event.Sequence
		}
		if taken != 2*tasks {
			r.Errorf("%d of %d events arrived", taken, 2*tasks)
		}
		if tried > 20 {
			r.Errorf("%d requests to a receiver that is away", tried)
		}
		turns := r.turns()
		if n := len(turns); n < 3 || turns[0] != webhooks.DestinationOpen || turns[n-1] != webhooks.DestinationRamp ||
			slices.Contains(turns[:n-1], webhooks.DestinationRamp) {
			r.Errorf("the destination came to be %v", turns)
		}
	})
}

func TestTwoNodesProbeOnce(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = func(req *http.Request, p post) (int, http.Header) {
			if time.Since(r.began) < 4*time.Second {
				return http.StatusServiceUnavailable, nil
			}
			return hang(req, p)
		}
		r.owe(slices.Repeat([]string{hook}, 50)...)
		_, stopOne := r.run()
		_, stopTwo := r.run()
		<-time.After(4 * time.Second)
		before := len(r.net.arrived())
		<-time.After(12 * time.Second)
		stopOne()
		stopTwo()
		if n := len(r.net.arrived()) - before; n != 1 {
			r.Errorf("%d probes at once", n)
		}
	})
}

// alter changes the only destination that there is.
func (r *rig) alter(change func(*webhooks.Destination)) {
	r.Helper()
	found, err := r.s.Destinations(r.Context(), r.cl.ID, scheduler.Page{Number: 1, Size: 2})
	if err != nil || len(found.Rows) != 1 {
		r.Fatalf("%d destinations, %v", len(found.Rows), err)
	}
	_, err = r.s.UpdateDestination(r.Context(), r.cl.ID, found.Rows[0].ID, func(d *webhooks.Destination) error {
		change(d)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

func TestAPausedDestinationLosesNothing(t *testing.T) {
	virtual(t, func(r *rig) {
		r.owe(slices.Repeat([]string{hook}, 20)...)
		r.alter(func(d *webhooks.Destination) { d.PausedAt = time.Now() })
		_, stop := r.run()
		<-time.After(5 * time.Minute)
		if n := len(r.net.arrived()); n != 0 {
			r.Errorf("%d requests to a paused destination", n)
		}
		r.alter(func(d *webhooks.Destination) { d.PausedAt = time.Time{} })
		<-time.After(5 * time.Second)
		stop()
		if n := len(r.net.arrived()); n != 20 {
			r.Errorf("%d of 20 arrived", n)
		}
	})
}

func TestEventsOfADisabledDestinationAreDead(t *testing.T) {
	virtual(t, func(r *rig) {
		r.finish(r.start(urls{hook, hook, hook}, urls{hook, hook, hook})...)
		r.alter(func(d *webhooks.Destination) { d.DisabledAt = time.Now() })
		r.during(5 * time.Second)
		all, err := r.s.Deliveries(r.Context(), r.cl.ID, webhooks.Filter{}, scheduler.Page{Number: 1, Size: 10})
		if err != nil || len(all.Rows) != 6 {
			r.Fatalf("%d deliveries, %v", len(all.Rows), err)
		}
		for _, d := range all.Rows {
			if d.State != scheduler.DeliveryDead || d.LastError != webhooks.ErrDisabled {
				r.Errorf("delivery %d is %s, %q", d.ID, d.State, d.LastError)
			}
		}
		if n := len(r.net.arrived()); n != 0 {
			r.Errorf("%d requests to a disabled destination", n)
		}
	})
}

func TestARatedDestination(t *testing.T) {
	virtual(t, func(r *rig) {
		r.owe(slices.Repeat([]string{hook}, 200)...)
		r.alter(func(d *webhooks.Destination) { d.MaxRate = 5 })
		r.during(20 * time.Second)
		seconds := map[int]int{}
		for _, p := range r.net.arrived() {
			seconds[int(p.At.Sub(r.began)/time.Second)]++
		}
		total := len(r.net.arrived())
		if total < 90 || total > 107 {
			r.Errorf("%d in 20 s at 5 a second: %v", total, fmt.Sprint(seconds))
		}
	})
}

// Three days and more of receivers that never answer, answer now and then, find
// fault with every event, or are away for six hours: every state is come to,
// and nobody is disabled but who never answers.
func TestWhatBecomesOfReceiversInDays(t *testing.T) {
	const never, sometimes, gone, away = "never.example.com", "sometimes.example.com", "gone.example.com", "away.example.com"
	hours, wake := 4, 10*time.Second // the notifier is up for a while every so many hours
	if soaks() {
		hours, wake = 1, time.Hour
	}
	virtual(t, func(r *rig) {
		r.o.Luck = func() float64 { return 0.5 } // the same each time
		asked := 0
		r.net.answer = func(_ *http.Request, p post) (int, http.Header) {
			switch {
			case p.Host == sometimes:
				asked++
			case p.Host == away && time.Since(r.began) > 6*time.Hour:
				return http.StatusOK, nil
			}
			switch {
			case p.Host == gone:
				return http.StatusGone, nil
			case p.Host == sometimes && asked%8 == 0:
				return http.StatusOK, nil
			}
			return http.StatusInternalServerError, nil
		}
		came, stood := map[scheduler.DeliveryState]bool{}, map[string]map[webhooks.DestinationState]bool{}
		look := func() {
			for _, state := range webhooks.States {
				if came[state] {
					continue
				}
				of := webhooks.Filter{States: []scheduler.DeliveryState{state}}
				events, err := r.s.Deliveries(r.Context(), r.cl.ID, of, scheduler.Page{Number: 1, Size: 1})
				if err != nil {
					r.Fatal(err)
				}
				came[state] = len(events.Rows) > 0
			}
			found, err := r.s.Destinations(r.Context(), r.cl.ID, scheduler.Page{Number: 1, Size: 10})
			if err != nil {
				r.Fatal(err)
			}
			for _, d := range found.Rows {
				host := strings.TrimSuffix(strings.TrimPrefix(d.Origin, "https://"), ":443")
				if stood[host] == nil {
					stood[host] = map[webhooks.DestinationState]bool{}
				}
				stood[host][d.State(time.Now())] = true
			}
		}
		for hour := 0; hour < 80; hour += hours {
			var hooks []urls
			for _, host := range []string{never, sometimes, sometimes, gone, away} {
				u := "https://" + host + "/"
				hooks = append(hooks, urls{before: u, success: u, after: u})
			}
			r.finish(r.start(hooks...)...)
			look()
			_, stop := r.run()
			for range 4 {
				<-time.After(wake / 4)
				look()
			}
			stop()
			<-time.After(time.Duration(hours)*time.Hour - wake)
			if hour == 40 {
				found, _ := r.s.Destinations(r.Context(), r.cl.ID, scheduler.Page{Number: 1, Size: 10})
				for _, d := range found.Rows {
					if d.State(time.Now()) == webhooks.DestinationDisabled {
						r.Errorf("%s is disabled after 40 hours", d.Origin)
					}
				}
			}
		}
		for _, state := range webhooks.States {
			if !came[state] {
				r.Errorf("no delivery was ever %s", state)
			}
		}
		for host, states := range stood {
			if states[webhooks.DestinationDisabled] != (host == never) {
				r.Errorf("%s came to be %v", host, states)
			}
		}
		turns := r.turns() // some last too short to be met
		for _, state := range []webhooks.DestinationState{webhooks.DestinationOpen, webhooks.DestinationRamp, webhooks.DestinationDisabled} {
			if !slices.Contains(turns, state) {
				r.Errorf("no destination came to be %s", state)
			}
		}
		if !soaks() && !stood[never][webhooks.DestinationHalfOpen] {
			r.Errorf("no destination waited for its probe: %v", stood)
		}
		if !stood[away][webhooks.DestinationActive] || !stood[gone][webhooks.DestinationActive] {
			r.Errorf("%v", stood)
		}
		r.Logf("%d requests; destinations came to be %v", len(r.net.arrived()), stood)
	})
}
