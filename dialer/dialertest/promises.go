package dialertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// promises are what a driver owes beside the calls of an engine.
var promises = map[string]func(*testing.T, Peer){
	"a closed driver refuses legs and the attempt is free": closedIsFree,
	"a context that ends hangs its legs up":                endedContext,
	"hanging up a leg that is gone is no error":            hangupTwice,
	"closing a driver ends its legs first":                 closeEndsLegs,
	"a leg that was not answered plays nothing":            ringingPlaysNothing,
	"closing a driver ends what is played":                 closeEndsSounds,
	"calls made at the same time do not mix":               manyCalls,
}

func closedIsFree(t *testing.T, p Peer) {
	r, e := p.start(t)
	if err := r.Health(t.Context()); err != nil {
		t.Errorf("health of an open driver: %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := e.Dial(t.Context(), call{a: []Behaviour{Answers}, b: Answers}.spec(p), func(time.Time) { t.Error("bridged") })
	if !o.Free() || o.Comment() != string(scheduler.LocalError) || len(o.Legs) != 1 || o.Legs[0].Disposition != scheduler.LocalError {
		t.Errorf("free %t, %s, legs %+v", o.Free(), o.Comment(), o.Legs)
	}
	if err := r.Health(t.Context()); err == nil {
		t.Error("a closed driver is healthy")
	}
	if e.Room() != 0 {
		t.Errorf("room %d over a closed driver", e.Room())
	}
}

// events gathers the events of a leg made without an engine.
type events struct {
	mu   sync.Mutex
	kind map[dialer.EventKind]chan struct{}
	end  dialer.End
}

func newEvents() *events {
	e := &events{kind: map[dialer.EventKind]chan struct{}{}}
	for k := range kindNames {
		e.kind[k] = make(chan struct{})
	}
	return e
}

func (e *events) tell(ev dialer.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ev.Kind == dialer.Ended {
		e.end = ev.End
	}
	close(e.kind[ev.Kind])
}

func (e *events) wait(t *testing.T, p Peer, k dialer.EventKind) dialer.End {
	t.Helper()
	limit := time.NewTimer(p.Ring + 10*time.Second)
	defer limit.Stop()
	select {
	case <-e.kind[k]:
	case <-limit.C:
		t.Fatalf("%s did not come", kindNames[k])
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.end
}

func (p Peer) originate(ctx context.Context, t *testing.T, d dialer.Driver, b Behaviour, n int) (*events, dialer.LegID) {
	t.Helper()
	e := newEvents()
	id := dialer.LegID(fmt.Sprintf("%s-a%d", callID, n+1))
	err := d.Originate(ctx, dialer.Originate{
		ID: id, Trunk: "peer", Call: callID, Task: 41, Attempt: 1, Role: scheduler.LegA, Number: p.Number(scheduler.LegA, b, n),
	}, e.tell)
	if err != nil {
		t.Fatal(err)
	}
	return e, id
}

func endedContext(t *testing.T, p Peer) {
	r, _ := p.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rings, _ := p.originate(ctx, t, r, Silent, 0)
	talks, _ := p.originate(ctx, t, r, Answers, 1)
	rings.wait(t, p, dialer.Ringing)
	talks.wait(t, p, dialer.Answered)
	cancel()
	if end := rings.wait(t, p, dialer.Ended); end.Disposition != scheduler.Cancelled || end.By != scheduler.ByUs {
		t.Errorf("the leg that rang ended %+v", end)
	}
	if end := talks.wait(t, p, dialer.Ended); end.Disposition != scheduler.Answered || end.By != scheduler.ByUs {
		t.Errorf("the leg that was answered ended %+v", end)
	}
}

func hangupTwice(t *testing.T, p Peer) {
	r, _ := p.start(t)
	leg, id := p.originate(t.Context(), t, r, Answers, 0)
	leg.wait(t, p, dialer.Answered)
	for range 2 {
		if err := r.Hangup(t.Context(), id, dialer.HangupNormal); err != nil {
			t.Error(err)
		}
	}
	leg.wait(t, p, dialer.Ended)
	if err := r.Hangup(t.Context(), id, dialer.HangupNormal); err != nil {
		t.Error(err)
	}
}

func closeEndsLegs(t *testing.T, p Peer) {
	r, _ := p.start(t)
	rings, _ := p.originate(t.Context(), t, r, Silent, 0)
	talks, _ := p.originate(t.Context(), t, r, Answers, 1)
	rings.wait(t, p, dialer.Ringing)
	talks.wait(t, p, dialer.Answered)
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if open := r.open(); len(open) > 0 {
		t.Errorf("the driver is closed and legs %v have not ended", open)
	}
}

func ringingPlaysNothing(t *testing.T, p Peer) {
	r, _ := p.start(t)
	leg, id := p.originate(t.Context(), t, r, Silent, 0)
	leg.wait(t, p, dialer.Ringing)
	if err := r.Play(t.Context(), id, p.sounds(t)[shortSound]); err == nil {
		t.Error("a leg that rings is played a sound")
	}
	if err := r.Press(t.Context(), id, "1"); err == nil {
		t.Error("a leg that rings is sent digits")
	}
	if err := r.Hangup(t.Context(), id, dialer.HangupNormal); err != nil {
		t.Error(err)
	}
	leg.wait(t, p, dialer.Ended)
}

func closeEndsSounds(t *testing.T, p Peer) {
	r, _ := p.start(t)
	hears, heard := p.originate(t.Context(), t, r, Answers, 0)
	dials, dialled := p.originate(t.Context(), t, r, Answers, 1)
	hears.wait(t, p, dialer.Answered)
	dials.wait(t, p, dialer.Answered)
	if err := errors.Join(r.Play(t.Context(), heard, p.sounds(t)[longSound]), r.Press(t.Context(), dialled, "ppp")); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if open := r.open(); len(open) > 0 {
		t.Errorf("the driver is closed and legs %v have not ended", open)
	}
}

func manyCalls(t *testing.T, p Peer) {
	const n = 20
	_, e := p.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for a peer that is gone
	defer cancel()
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			spec := call{a: []Behaviour{Answers}, b: Leaves}.spec(p)
			busy := i%4 == 0
			if busy {
				spec.B = p.Number(scheduler.LegB, Busy, 0)
			}
			spec.ID, spec.Task = scheduler.CallID(fmt.Sprintf("%032x", i+1)), scheduler.TaskID(i+1)
			o := e.Dial(ctx, spec, func(time.Time) {})
			if got := o.BridgedAt.IsZero(); got != busy {
				t.Errorf("call %d to a busy B: %t; not bridged: %t (%s)", i, busy, got, o.Comment())
			}
		})
	}
	calls.Wait()
}
