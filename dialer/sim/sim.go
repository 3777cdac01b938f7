// Package sim is a carrier that exists in the process alone: the default for
// trying ringback out, for demos and for load. What a number does is known
// from its last digits, or decided by a seed.
package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// Options are how the simulated carrier behaves.
type Options struct {
	AnswerPercent int           // of the numbers without a meaning of their own, 0–100
	Ring          time.Duration // from the request to the answer
	Talk          time.Duration // from the bridge until B hangs up
	Seed          uint64        // the same seed, the same outcomes
	Journal       string        // file that every leg's start and end is appended to; "": none
	Outage        Outage        // when every number is congested
}

// Outage is a time in which the carrier takes no call, told from when the
// driver was made; the zero Outage is none.
type Outage struct{ After, For time.Duration }

// Driver is the simulated carrier. It keeps no goroutine: a leg is a timer.
type Driver struct {
	o       Options
	journal *journal // nil: none
	made    time.Time

	mu     sync.Mutex
	legs   map[dialer.LegID]*leg
	closed bool

	work sync.WaitGroup // timers and contexts that may still fire
}

var _ dialer.Driver = (*Driver)(nil)

var errClosed = errors.New("simulated carrier is closed")

// New returns a carrier; Close ends it.
func New(o Options) (*Driver, error) {
	switch {
	case o.AnswerPercent < 0 || o.AnswerPercent > 100:
		return nil, fmt.Errorf("answer percentage %d is not between 0 and 100", o.AnswerPercent)
	case o.Ring < 0 || o.Talk < 0:
		return nil, errors.New("ring and talk times of the simulated carrier must not be negative")
	case o.Outage.After < 0 || o.Outage.For < 0:
		return nil, errors.New("the outage of the simulated carrier must not be negative")
	}
	d := &Driver{o: o, made: time.Now(), legs: map[dialer.LegID]*leg{}}
	if o.Journal != "" {
		var err error
		if d.journal, err = openJournal(o.Journal); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Originate starts a leg. With a journal its line is written before anything
// else happens; a leg that cannot be written down is refused.
func (d *Driver) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l := &leg{driver: d, originate: o, does: d.behaviourOf(o), events: events}
	// The lock is held until the leg stands, so that Close finds it whole.
	l.mu.Lock()
	if err := d.add(l); err != nil {
		l.mu.Unlock()
		return err
	}
	if err := d.journal.write(line{Event: "originate"}, o); err != nil {
		d.remove(o.ID)
		l.ended = true
		l.mu.Unlock()
		return err
	}
	d.work.Add(1)
	l.forget = context.AfterFunc(ctx, func() {
		defer d.work.Done()
		l.hangup(dialer.HangupCancel)
	})
	l.begin(d.leg(o.Partner))
	l.mu.Unlock()
	return nil
}

// Ringback needs nothing done: nobody listens.
func (d *Driver) Ringback(context.Context, dialer.LegID, bool) error { return nil }

// Play takes as long as the sound.
func (d *Driver) Play(_ context.Context, id dialer.LegID, s dialer.Sound) error {
	return d.perform(id, s.Length(), line{Event: "play", Sound: s.ID})
}

// Press takes as long as sending the digits would.
func (d *Driver) Press(_ context.Context, id dialer.LegID, digits string) error {
	return d.perform(id, dialer.DigitsTime(digits), line{Event: "dtmf", Digits: digits})
}

// perform writes down what an answered leg hears, and lets it take so long.
func (d *Driver) perform(id dialer.LegID, takes time.Duration, note line) error {
	l := d.leg(id)
	if l == nil {
		return fmt.Errorf("leg %s is not answered", id)
	}
	return l.perform(takes, note)
}

// Bridge starts the talk of two answered legs: B hangs up when it is over.
func (d *Driver) Bridge(_ context.Context, a, b dialer.LegID) error {
	if la := d.leg(a); la == nil || !la.isAnswered() {
		return fmt.Errorf("leg %s is not answered", a)
	}
	lb := d.leg(b)
	if lb == nil {
		return fmt.Errorf("leg %s is not answered", b)
	}
	return lb.talk()
}

// Hangup ends a leg.
func (d *Driver) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	if l := d.leg(id); l != nil {
		l.hangup(reason)
	}
	return nil
}

// Health is nil until the carrier is closed.
func (d *Driver) Health(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	return nil
}

// Close ends every leg and waits for what was started.
func (d *Driver) Close(context.Context) error {
	d.mu.Lock()
	again := d.closed
	d.closed = true
	left := make([]*leg, 0, len(d.legs))
	for _, l := range d.legs {
		left = append(left, l)
	}
	d.mu.Unlock()
	for _, l := range left {
		l.hangup(dialer.HangupCancel)
	}
	d.work.Wait()
	if again {
		return nil
	}
	return d.journal.close()
}

func (d *Driver) add(l *leg) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	if d.legs[l.originate.ID] != nil {
		return fmt.Errorf("leg %s is there already", l.originate.ID)
	}
	d.legs[l.originate.ID] = l
	return nil
}

func (d *Driver) remove(id dialer.LegID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.legs, id)
}

// leg returns a leg that has not ended, or nil.
func (d *Driver) leg(id dialer.LegID) *leg {
	if id == "" {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.legs[id]
}

// causeOf is what a carrier answers for what a number does.
var causeOf = map[behaviour]scheduler.Cause{
	busy:      {SIP: 486, Q850: scheduler.CauseUserBusy},
	rejects:   {SIP: 603, Q850: scheduler.CauseRejected},
	invalid:   {SIP: 404, Q850: scheduler.CauseUnallocated},
	congested: {SIP: 503, Q850: scheduler.CauseNoCircuit},
}
