package webhooks_test

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringback/scheduler"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// deed is one thing that happens in a history, some time after the one before.
type deed struct {
	after time.Duration
	what  string // task, resend, pause, go on, ill, well
	which int    // of the tasks, deliveries or destinations there are
}

// history is what a model test tells an outbox.
type history struct {
	deeds    []deed
	failures map[string]bool // tries that fail, as "event type/task/number of the try"
}

func drawHistory(t *rapid.T) history {
	h := history{failures: map[string]bool{}}
	for range rapid.IntRange(3, 20).Draw(t, "deeds") {
		h.deeds = append(h.deeds, deed{
			after: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 5, 20, 61}).Draw(t, "after")) * time.Second,
			what:  rapid.SampledFrom([]string{"task", "task", "task", "resend", "pause", "go on", "ill", "well"}).Draw(t, "what"),
			which: rapid.IntRange(0, 1000).Draw(t, "which"),
		})
	}
	for range rapid.IntRange(0, 20).Draw(t, "failures") {
		h.failures[fmt.Sprintf("%s/%d/%d", rapid.SampledFrom([]string{"before", "success", "after"}).Draw(t, "kind"),
			rapid.IntRange(1, 8).Draw(t, "task"), rapid.IntRange(1, 3).Draw(t, "try"))] = true
	}
	return h
}

// arrival is a try as the receiver saw it.
type arrival struct {
	at   time.Time
	line string // task and origin: what order is kept for
	seq  int
	id   string
	took bool // it was taken
}

// play plays a history in virtual time and returns what arrived, which events
// were sent again on demand, and how many are said to have overtaken another.
func play(t *testing.T, url string, h history) (seen []arrival, again map[string]bool, overtook, left int) {
	again = map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, storetest.Open(t, url))
		var mu sync.Mutex
		tries, ill := map[string]int{}, map[string]bool{}
		r.net.answer = func(_ *http.Request, p post) (int, http.Header) {
			mu.Lock()
			defer mu.Unlock()
			tries[p.Event.ID]++
			key := fmt.Sprintf("%s/%d/%d", strings.TrimPrefix(p.Event.Type, "task."), p.Event.Data.TaskID, tries[p.Event.ID])
			fails := ill[p.Host] || h.failures[key]
			seen = append(seen, arrival{time.Now(), fmt.Sprint(p.Event.Data.TaskID, p.Host), p.Event.Sequence, p.Event.ID, !fails})
			if fails {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		}
		n, stop := r.run()
		r.s.OnEvents(n.Wake)
		hosts := []string{"receiver.example.com", "other.example.com"}
		var started []scheduler.Task
		for _, d := range h.deeds {
			<-time.After(d.after)
			switch d.what {
			case "task":
				if len(started) > 0 && d.which%2 == 0 {
					r.finish(started[0])
					started = started[1:]
					continue
				}
				started = append(started, r.start([]urls{{hook, hook, hook}, {hook, other, hook}, {other, hook, other}}[d.which%3])...)
			case "resend":
				rows, err := r.s.Deliveries(t.Context(), r.cl.ID, webhooks.Filter{}, scheduler.Page{Number: 1, Size: 1000})
				if err != nil || len(rows.Rows) == 0 {
					continue
				}
				one := rows.Rows[d.which%len(rows.Rows)]
				if _, err := r.s.Resend(t.Context(), r.cl.ID, one.ID, time.Now()); err == nil {
					again[one.EventID] = true
				}
			case "pause", "go on":
				found, err := r.s.Destinations(t.Context(), r.cl.ID, scheduler.Page{Number: 1, Size: 2})
				if err != nil || len(found.Rows) == 0 {
					continue
				}
				_, err = r.s.UpdateDestination(t.Context(), r.cl.ID, found.Rows[d.which%len(found.Rows)].ID, func(to *webhooks.Destination) error {
					*to = to.Pause(d.what == "pause", time.Now())
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			case "ill", "well":
				mu.Lock()
				ill[hosts[d.which%2]] = d.what == "ill"
				mu.Unlock()
			}
		}
		r.finish(started...)
		mu.Lock()
		clear(ill)
		mu.Unlock()
		found, err := r.s.Destinations(t.Context(), r.cl.ID, scheduler.Page{Number: 1, Size: 2})
		if err != nil {
			t.Error(err)
		}
		for _, to := range found.Rows {
			_, _ = r.s.UpdateDestination(t.Context(), r.cl.ID, to.ID, func(to *webhooks.Destination) error {
				*to = to.Pause(false, time.Now())
				return nil
			})
		}
		for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); {
			<-time.After(10 * time.Second)
			if r.owed() == 0 {
				break
			}
		}
		stop()
		left = r.left()
		_, overtook = r.seen.counts()
	})
	return seen, again, overtook, left
}

// inversions counts events that were sent before an earlier one of their task
// and origin was done with, and were not sent again on demand.
func inversions(seen []arrival, again map[string]bool) (inverted map[string]bool) {
	inverted = map[string]bool{}
	for i, late := range seen {
		for _, early := range seen[:i] {
			if early.line == late.line && early.seq > late.seq && !again[late.id] && !again[early.id] {
				inverted[early.id] = true
			}
		}
	}
	return inverted
}

// Events of a task to one origin come in their order, whatever fails, is paused
// or sent again; one that goes before an earlier one is counted.
func TestOrderIsKeptInEveryHistory(t *testing.T) {
	checks := "6"
	if soaks() {
		checks = "500"
	}
	was := flag.Lookup("rapid.checks").Value.String()
	if err := flag.Set("rapid.checks", checks); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = flag.Set("rapid.checks", was) }()
	both(t, func(t *testing.T, empty func(testing.TB) string) {
		sequences, overtaking := 0, 0
		rapid.Check(t, func(rt *rapid.T) {
			h := drawHistory(rt)
			var seen []arrival
			var again map[string]bool
			var overtook, left int
			t.Run("history", func(t *testing.T) { seen, again, overtook, left = play(t, empty(t), h) })
			inverted := inversions(seen, again)
			lines := map[string]bool{}
			for _, a := range seen {
				lines[a.line] = true
			}
			sequences += len(lines)
			overtaking += len(inverted)
			if len(inverted) > overtook {
				rt.Fatalf("%d events came before an earlier one, %d are said to have: %+v\n%+v", len(inverted), overtook, inverted, seen)
			}
			if left > 0 {
				rt.Fatalf("%d events are left after three hours", left)
			}
		})
		t.Logf("%d sequences checked, %d events went before an earlier one, all of them counted", sequences, overtaking)
	})
}
