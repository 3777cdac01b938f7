package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// TestJournal has two carriers write one file, as two processes would.
func TestJournal(t *testing.T) {
	const calls = 50
	path := filepath.Join(t.TempDir(), "journal")
	began := time.Now()
	var all sync.WaitGroup
	for n := range 2 {
		e := newEngine(t, Options{AnswerPercent: 100, Journal: path})
		for i := range calls {
			all.Go(func() {
				c := spec("+390655510001", "+390655510002")
				c.ID, c.Task, c.Attempt = scheduler.CallID(fmt.Sprintf("%d-%d", n, i)), scheduler.TaskID(i), n+1
				e.Dial(t.Context(), c, func(time.Time) {})
			})
		}
	}
	all.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines) != 2*calls*4 {
		t.Fatalf("%d lines for %d calls of two legs", len(lines), 2*calls)
	}
	last := map[string]string{}
	for _, text := range lines {
		var l struct {
			T       float64 `json:"t"`
			Event   string  `json:"event"`
			Call    string  `json:"call"`
			Leg     string  `json:"leg"`
			Number  string  `json:"number"`
			Task    *int    `json:"task"`
			Attempt int     `json:"attempt"`
			PID     int     `json:"pid"`
		}
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		want := map[string]string{"": "originate", "originate": "end"}[last[l.Call+l.Leg]]
		if l.Event != want {
			t.Errorf("%s after %q", text, last[l.Call+l.Leg])
		}
		last[l.Call+l.Leg] = l.Event
		number := map[string]string{"a": "+390655510001", "b": "+390655510002"}[l.Leg]
		if l.Number != number || l.Task == nil || l.PID != os.Getpid() || l.Call != fmt.Sprintf("%d-%d", l.Attempt-1, *l.Task) {
			t.Errorf("line %s", text)
		}
		if at := time.UnixMilli(int64(l.T * 1000)); at.Before(began.Add(-time.Second)) || at.After(time.Now()) {
			t.Errorf("%s is at %v", text, at)
		}
	}
	for leg, event := range last {
		if event != "end" {
			t.Errorf("leg %s has no end", leg)
		}
	}
}

// TestJournalGoesFirst: whoever hears of a leg finds it in the journal.
func TestJournalGoesFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	d := newDriver(t, Options{Journal: path})
	defer d.Close(t.Context())
	seen := map[dialer.EventKind]int{}
	err := d.Originate(t.Context(), dialer.Originate{ID: "x", Number: number("+390655510603")}, func(ev dialer.Event) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		seen[ev.Kind] = bytes.Count(text, []byte("\n"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen[dialer.Ringing] != 1 || seen[dialer.Ended] != 2 {
		t.Errorf("lines in the journal when told: %v", seen)
	}
}

// TestJournalFails: a leg that cannot be written down is not made.
func TestJournalFails(t *testing.T) {
	if _, err := New(Options{Journal: t.TempDir()}); err == nil {
		t.Error("a directory as a journal")
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	d := newDriver(t, Options{Journal: "/dev/full"})
	err := d.Originate(t.Context(), dialer.Originate{ID: "x", Number: number("+390655510603")}, func(ev dialer.Event) {
		t.Errorf("event %d of a leg that was refused", ev.Kind)
	})
	if err == nil || len(d.legs) > 0 {
		t.Errorf("originated: %v, %d legs", err, len(d.legs))
	}
	d.journal.note(line{Event: "end"}, dialer.Originate{})
	if err := d.Close(t.Context()); err == nil {
		t.Error("the end that was not written is kept quiet")
	}
}
