package store_test

import (
	"maps"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestTheBacklogIsToldByState(t *testing.T) {
	each(t, 0, func(w *world) {
		at := time.Now()
		if b, err := w.s.Backlog(w.Context(), at); err != nil || b.Ready != 0 || b.Held != 0 || b.Oldest != 0 || b.OldestMail != 0 || len(b.Destinations) != 0 {
			w.Errorf("without events: %+v, %v", b, err)
		}
		for n, m := range []struct {
			state scheduler.MailState
			end   any
		}{{scheduler.MailSent, at}, {scheduler.MailReady, nil}, {scheduler.MailReady, nil}} {
			must(w.T, store.Exec(w.s, `INSERT INTO mails (account_id, message_id, recipient, subject, text_body, html_body, state, next_at, created_at, ended_at)
				VALUES (?, '', 'x@example.com', '', '', '', ?, ?, ?, ?)`, storetest.MasterID, m.state, at, at.Add(time.Duration(n)*time.Minute), m.end))
		}
		a, b := w.know(hookA), w.know(hookB)
		w.alter(b, func(d *webhooks.Destination) { d.PausedAt = at })
		w.put(w.event(1, 1, hookA), w.event(1, 2, hookA), w.event(2, 1, hookB))
		told, err := w.s.Backlog(w.Context(), at.Add(time.Hour))
		must(w.T, err)
		if told.Ready != 2 || told.Held != 1 || told.Oldest < 59*time.Minute || told.Oldest > 61*time.Minute || told.OldestMail.Round(time.Second) != 59*time.Minute {
			w.Errorf("%+v", told)
		}
		if want := map[webhooks.DestinationState]int{webhooks.DestinationActive: 1, webhooks.DestinationPaused: 1}; !maps.Equal(told.Destinations, want) {
			w.Errorf("destinations %v", told.Destinations)
		}
		w.alter(a, func(d *webhooks.Destination) { d.PausedAt = at })
		if told, err = w.s.Backlog(w.Context(), at.Add(time.Hour)); err != nil || told.Oldest != 0 {
			w.Errorf("what is paused is said to be late: %+v, %v", told, err)
		}
	})
}
