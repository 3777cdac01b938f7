package dialertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ringback/dialer"
	"ringback/scheduler"
)

// Recorder is a driver that keeps what another one tells, to see whether it
// keeps its promises.
type Recorder struct {
	dialer.Driver

	mu     sync.Mutex
	legs   map[dialer.LegID]*recorded
	order  []dialer.LegID
	notify func(dialer.Originate, dialer.Event)
	onPlay func(dialer.LegID)
}

// recorded is what was told of a leg.
type recorded struct {
	originate dialer.Originate
	refused   error
	events    []dialer.Event
	telling   atomic.Bool
	overlap   atomic.Bool
	hangups   []dialer.HangupReason
	plays     int // sounds and digits that were ordered, and not refused
}

// NewRecorder records a driver.
func NewRecorder(d dialer.Driver) *Recorder {
	return &Recorder{Driver: d, legs: map[dialer.LegID]*recorded{}}
}

// Notify makes f hear every event once it was passed on; it must not block.
func (r *Recorder) Notify(f func(dialer.Originate, dialer.Event)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify = f
}

// Originate passes the leg on and records its events.
func (r *Recorder) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	rec := &recorded{originate: o}
	r.mu.Lock()
	r.legs[o.ID] = rec
	r.order = append(r.order, o.ID)
	r.mu.Unlock()
	err := r.Driver.Originate(ctx, o, func(ev dialer.Event) {
		if rec.telling.Swap(true) {
			rec.overlap.Store(true)
		}
		r.mu.Lock()
		rec.events = append(rec.events, ev)
		notify := r.notify
		r.mu.Unlock()
		events(ev)
		if notify != nil {
			notify(o, ev)
		}
		rec.telling.Store(false)
	})
	r.mu.Lock()
	rec.refused = err
	r.mu.Unlock()
	return err
}

// NotifyPlay makes f hear of every sound that a leg was given.
func (r *Recorder) NotifyPlay(f func(dialer.LegID)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onPlay = f
}

// Play passes the order on and counts it.
func (r *Recorder) Play(ctx context.Context, leg dialer.LegID, s dialer.Sound) error {
	return r.played(leg, func() error { return r.Driver.Play(ctx, leg, s) })
}

// Press passes the order on and counts it.
func (r *Recorder) Press(ctx context.Context, leg dialer.LegID, digits string) error {
	return r.played(leg, func() error { return r.Driver.Press(ctx, leg, digits) })
}

// played counts an order before Played can be told of it.
func (r *Recorder) played(leg dialer.LegID, order func() error) error {
	count := func(by int) func(dialer.LegID) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if rec := r.legs[leg]; rec != nil {
			rec.plays += by
		}
		return r.onPlay
	}
	told := count(1)
	if err := order(); err != nil {
		count(-1)
		return err
	}
	if told != nil {
		told(leg)
	}
	return nil
}

// Plays is how many sounds, or digits, a leg was given.
func (r *Recorder) Plays(leg dialer.LegID) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.legs[leg]; rec != nil {
		return rec.plays
	}
	return 0
}

// Hangup passes the order on and records its reason.
func (r *Recorder) Hangup(ctx context.Context, leg dialer.LegID, reason dialer.HangupReason) error {
	r.mu.Lock()
	if rec := r.legs[leg]; rec != nil {
		rec.hangups = append(rec.hangups, reason)
	}
	r.mu.Unlock()
	return r.Driver.Hangup(ctx, leg, reason)
}

// Faults says which promises were broken so far, with every leg taken to be
// over.
func (r *Recorder) Faults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var faults []string
	for _, id := range r.order {
		for _, f := range r.legs[id].faults() {
			faults = append(faults, fmt.Sprintf("leg %s (%s): %s", id, r.legs[id].story(), f))
		}
	}
	return faults
}

// open returns the legs that have not ended.
func (r *Recorder) open() []dialer.LegID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var open []dialer.LegID
	for _, id := range r.order {
		l := r.legs[id]
		if l.refused == nil && !slices.ContainsFunc(l.events, isEnd) {
			open = append(open, id)
		}
	}
	return open
}

// hangups returns why the engine hung a leg up.
func (r *Recorder) hangups(id dialer.LegID) []dialer.HangupReason {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.legs[id]; l != nil {
		return slices.Clone(l.hangups)
	}
	return nil
}

func isEnd(ev dialer.Event) bool { return ev.Kind == dialer.Ended }

var kindNames = map[dialer.EventKind]string{
	dialer.Ringing: "ringing", dialer.EarlyMedia: "early media", dialer.Answered: "answered", dialer.Played: "played", dialer.Ended: "ended",
}

// story is the leg's events in words.
func (l *recorded) story() string {
	words := make([]string, len(l.events))
	for i, ev := range l.events {
		words[i] = kindNames[ev.Kind]
	}
	return strings.Join(words, ", ")
}

// faults says which promises of a driver the leg breaks.
func (l *recorded) faults() []string {
	var faults []string
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if l.refused != nil {
		if len(l.events) > 0 {
			add("was refused (%v) and told of all the same", l.refused)
		}
		return faults
	}
	if l.overlap.Load() {
		add("two events were told at one time")
	}
	count := map[dialer.EventKind]int{}
	for i, ev := range l.events {
		count[ev.Kind]++
		if kindNames[ev.Kind] == "" {
			add("an event of unknown kind %d", ev.Kind)
		}
		if i > 0 {
			before := l.events[i-1]
			if isEnd(before) {
				add("%s came after the end", kindNames[ev.Kind])
			}
			if count[dialer.Answered] > 0 && before.Kind >= dialer.Answered && ev.Kind < dialer.Played {
				add("%s came after the answer", kindNames[ev.Kind])
			}
			if ev.At.Before(before.At) {
				add("%s happened before what came first", kindNames[ev.Kind])
			}
		}
		if isEnd(ev) {
			faults = append(faults, endFaults(ev.End, count[dialer.Answered] > 0)...)
		}
	}
	for _, k := range []dialer.EventKind{dialer.Ringing, dialer.EarlyMedia, dialer.Answered} {
		if count[k] > 1 {
			add("%s came %d times", kindNames[k], count[k])
		}
	}
	if count[dialer.Played] > l.plays {
		add("played came %d times of %d orders", count[dialer.Played], l.plays)
	}
	if count[dialer.Ended] != 1 {
		add("ended came %d times", count[dialer.Ended])
	}
	return faults
}

func endFaults(end dialer.End, wasAnswered bool) []string {
	var faults []string
	if wasAnswered != (end.Disposition == scheduler.Answered) {
		faults = append(faults, fmt.Sprintf("ended as %q, answered: %t", end.Disposition, wasAnswered))
	}
	if end.By != scheduler.ByPeer && end.By != scheduler.ByUs {
		faults = append(faults, fmt.Sprintf("ended by %q", end.By))
	}
	return faults
}
