package webhooks_test

import (
	"fmt"
	"net/http"
	"slices"
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
		<-time.After(20 * time.Minute)
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

func TestADestinationThatNeverAnswersIsGivenUp(t *testing.T) {
	virtual(t, func(r *rig) {
		r.net.answer = always(http.StatusInternalServerError)
		for range 80 {
			r.owe(hook, hook, hook)
			r.during(10 * time.Second)
			<-time.After(time.Hour)
		}
		if turns := r.turns(); turns[len(turns)-1] != webhooks.DestinationDisabled {
			r.Errorf("after 80 hours it is %s", turns[len(turns)-1])
		}
	})
}
