package dialer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringback/dialer"
	"ringback/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network is a driver whose far ends do what a test says, and nothing else.
type network struct {
	down   error                                         // Health
	place  func(o dialer.Originate, l *line) error       // nil: it rings
	hangup func(l *line, reason dialer.HangupReason)     // nil: the leg ends as ordered
	bridge func(a, b *line) error                        // nil: it works
	ring   func(id dialer.LegID, on bool) (failed error) // nil: it works
	play   func(l *line) error                           // nil: it is over at once

	mu    sync.Mutex
	lines map[dialer.LegID]*line
	log   []string // what was ordered
}

// line is a leg on the network.
type line struct {
	dialer.Originate
	ctx      context.Context
	tell     func(dialer.Event)
	answered bool
}

func (l *line) event(k dialer.EventKind) {
	if k == dialer.Answered {
		l.answered = true
	}
	l.tell(dialer.Event{Kind: k, At: time.Now()})
}

func (l *line) end(d scheduler.Disposition, by scheduler.Party) {
	if l.answered {
		d = scheduler.Answered
	}
	l.tell(dialer.Event{Kind: dialer.Ended, At: time.Now(), End: dialer.End{Disposition: d, By: by}})
}

// later does something to a leg after a time.
func (l *line) later(wait time.Duration, do func()) { time.AfterFunc(wait, do) }

func (n *network) note(format string, args ...any) {
	n.log = append(n.log, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// orders is what the engine asked for, in order.
func (n *network) orders() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

func (n *network) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	l := &line{Originate: o, ctx: ctx, tell: events}
	n.mu.Lock()
	if n.lines == nil {
		n.lines = map[dialer.LegID]*line{}
	}
	n.lines[o.ID] = l
	n.note("call %s", short(o.ID))
	n.mu.Unlock()
	if n.place == nil {
		l.event(dialer.Ringing)
		return nil
	}
	return n.place(o, l)
}

func (n *network) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	n.mu.Lock()
	l := n.lines[id]
	n.note("%s %s", reasons[reason], short(id))
	n.mu.Unlock()
	switch {
	case n.hangup != nil:
		n.hangup(l, reason)
	case reason == dialer.HangupTimeout:
		l.end(scheduler.NoAnswer, scheduler.ByUs)
	default:
		l.end(scheduler.Cancelled, scheduler.ByUs)
	}
	return nil
}

func (n *network) Ringback(_ context.Context, id dialer.LegID, on bool) error {
	n.mu.Lock()
	n.note("ringback %s %t", short(id), on)
	n.mu.Unlock()
	if n.ring != nil {
		return n.ring(id, on)
	}
	return nil
}

func (n *network) Play(_ context.Context, id dialer.LegID, s dialer.Sound) error {
	return n.hear(id, "play "+s.ID)
}

func (n *network) Press(_ context.Context, id dialer.LegID, digits string) error {
	return n.hear(id, "press "+digits)
}

func (n *network) hear(id dialer.LegID, what string) error {
	n.mu.Lock()
	l := n.lines[id]
	n.note("%s %s", what, short(id))
	n.mu.Unlock()
	if n.play != nil {
		return n.play(l)
	}
	l.event(dialer.Played)
	return nil
}

func (n *network) Bridge(_ context.Context, a, b dialer.LegID) error {
	n.mu.Lock()
	la, lb := n.lines[a], n.lines[b]
	n.note("bridge %s %s", short(a), short(b))
	n.mu.Unlock()
	if n.bridge != nil {
		return n.bridge(la, lb)
	}
	return nil
}

func (n *network) Health(context.Context) error { return n.down }
func (n *network) Close(context.Context) error  { return nil }

var reasons = map[dialer.HangupReason]string{
	dialer.HangupNormal: "hangup", dialer.HangupTimeout: "timeout", dialer.HangupElsewhere: "elsewhere", dialer.HangupCancel: "cancel",
}

// short is a leg id without its call.
func short(id dialer.LegID) string { return string(id[strings.LastIndex(string(id), "-")+1:]) }

// answersAfter makes every leg ring at once and answer after a time.
func answersAfter(wait time.Duration) func(dialer.Originate, *line) error {
	return func(_ dialer.Originate, l *line) error {
		l.event(dialer.Ringing)
		l.later(wait, func() { l.event(dialer.Answered) })
		return nil
	}
}

// engine is an engine over trunks, and what it logs.
func engine(t *testing.T, trunks ...dialer.Trunk) (*dialer.Engine, *bytes.Buffer) {
	t.Helper()
	return engineWith(t, nil, trunks...)
}

// engineWith is an engine that knows sounds.
func engineWith(t *testing.T, sounds dialer.Sounds, trunks ...dialer.Trunk) (*dialer.Engine, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	e, err := dialer.New(dialer.Options{Trunks: trunks, Sounds: sounds, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return e, &log
}

func number(e164 string) scheduler.Number { return scheduler.Number{Given: e164, E164: e164} }

// spec is a call to one A and to B.
func spec(extended ...string) scheduler.Call {
	c := scheduler.Call{
		ID: "0123456789abcdef0123456789abcdef", Task: 41, Attempt: 1,
		A: []scheduler.Number{number("+390655500001")}, B: number("+390655500002"),
		Ring: 30 * time.Second, MaxDuration: time.Hour,
	}
	for _, x := range extended {
		c.A = append(c.A, number(x))
	}
	return c
}

// told is a leg in one line.
func told(o scheduler.Outcome) []string {
	var lines []string
	for _, l := range o.Legs {
		s := fmt.Sprintf("%s %s %s", l.Role, l.Disposition, l.By)
		if l.Lost {
			s += " lost"
		}
		lines = append(lines, s)
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func noBridge(t *testing.T) func(time.Time) {
	return func(time.Time) { t.Error("bridged") }
}

// dial places a call beside the test, which waits for it in the end.
func dial(t *testing.T, e *dialer.Engine, c scheduler.Call) {
	var wg sync.WaitGroup
	wg.Go(func() { e.Dial(t.Context(), c, func(time.Time) {}) })
	t.Cleanup(wg.Wait)
}
