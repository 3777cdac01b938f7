package dialer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/scheduler"
)

// Adopter is a Driver whose legs live on when their process is gone, and go on
// hearing each other.
type Adopter interface {
	Driver
	// Adopt makes an answered leg that another process made, or a former life of
	// this one, the driver's own: events tells its end, as if Originate had made
	// it under ctx. It returns when the leg was begun and the trunk it is on, ""
	// if nobody knows; or ErrNoLeg.
	Adopt(ctx context.Context, leg LegID, events func(Event)) (begun time.Time, trunk string, err error)
	// Discard hangs up a leg that another process made; one that is not there is
	// no error.
	Discard(ctx context.Context, leg LegID) error
	// Sweep lets the driver hang up what its former life left and nobody adopted;
	// until then such legs stay.
	Sweep(ctx context.Context) error
}

// ErrNoLeg says that a leg to be adopted is not there, or not answered.
var ErrNoLeg = errors.New("there is no such leg")

// Adopt asks the drivers for a call that a process left which is gone; see
// scheduler.Adopter.
func (e *Engine) Adopt(ctx context.Context, spec scheduler.Call, bridgedAt time.Time) (see func() scheduler.Outcome) {
	for driver, trunks := range e.adopters() {
		legs, release := context.WithCancel(context.WithoutCancel(ctx))
		c := newCall(legs, e, spec)
		if !bridgedAt.IsZero() && c.adopt(driver, trunks) {
			c.bridgedAt = bridgedAt
			c.b.record.AnsweredAt = bridgedAt
			if spec.MaxDuration > 0 {
				c.lastsTill = bridgedAt.Add(spec.MaxDuration)
			}
			e.calls.Add(1)
			return func() scheduler.Outcome {
				defer e.calls.Add(-1)
				defer release()
				defer c.stopTimer()
				defer e.live.add(c)()
				c.await(ctx, func() bool { return c.over() || c.late() })
				c.clear()
				return c.outcome()
			}
		}
		c.clear()
		release()
		c.discard(driver, len(trunks))
	}
	return nil
}

// Sweep lets the drivers hang up what nobody adopted.
func (e *Engine) Sweep(ctx context.Context) {
	for driver := range e.adopters() {
		if err := driver.Sweep(ctx); err != nil {
			e.log.Warn("what a former life left could not be hung up; it is tried again with the next connection", "err", err)
		}
	}
}

// adopters are the drivers that can adopt, with their trunks.
func (e *Engine) adopters() map[Adopter][]*trunk {
	found := map[Adopter][]*trunk{}
	for _, t := range e.trunks {
		if driver, ok := t.Driver.(Adopter); ok {
			found[driver] = append(found[driver], t)
		}
	}
	return found
}

// adopt looks for an A and a B of the call, and reports whether both are there.
func (c *call) adopt(driver Adopter, trunks []*trunk) bool {
	for i, n := range c.spec.A {
		if c.a = c.find(driver, trunks, place{scheduler.LegA, i + 1, n}); c.a != nil {
			break
		}
	}
	if c.a == nil {
		return false
	}
	if c.b = c.find(driver, trunks, place{scheduler.LegB, 1, c.spec.B}); c.b == nil {
		return false
	}
	// B is called at once when A has answered, and connected when B has.
	c.a.record.AnsweredAt = c.b.record.StartedAt
	return true
}

// place is where a leg stands in its call.
type place struct {
	role   scheduler.Role
	at     int // among the numbers of the role, from 1
	number scheduler.Number
}

// find adopts the leg of a place, whichever try it was; nil: there is none.
func (c *call) find(driver Adopter, trunks []*trunk, p place) *leg {
	for try := range len(trunks) {
		l := &leg{
			id: legID(c.spec.ID, p.role, p.at, try+1), place: p.at, number: p.number, trunk: trunks[0], phase: answered,
			record: scheduler.Leg{Role: p.role, Try: try + 1, Number: p.number.Dial()},
		}
		begun, name, err := driver.Adopt(c.ctx, l.id, func(ev Event) { c.mail.put(message{leg: l, event: ev}) })
		if err != nil {
			if !errors.Is(err, ErrNoLeg) {
				c.warn("leg could not be adopted", l, err)
			}
			continue
		}
		for _, t := range trunks {
			if t.Name == name {
				l.trunk = t
			}
		}
		l.record.Trunk = l.trunk.Name
		l.record.StartedAt, l.record.AnsweredAt = begun.Add(c.skew), begun.Add(c.skew)
		l.trunk.channels.occupy()
		c.legs = append(c.legs, l)
		return l
	}
	return nil
}

// discard hangs up whatever there is of the call.
func (c *call) discard(driver Adopter, tries int) {
	ctx, done := context.WithTimeout(context.WithoutCancel(c.ctx), c.engine.grace)
	defer done()
	end := func(role scheduler.Role, at int) error {
		for try := range tries {
			if err := driver.Discard(ctx, legID(c.spec.ID, role, at, try+1)); err != nil {
				return fmt.Errorf("discard a leg: %w", err)
			}
		}
		return nil
	}
	err := end(scheduler.LegB, 1)
	for i := range c.spec.A {
		if err == nil {
			err = end(scheduler.LegA, i+1)
		}
	}
	if err != nil {
		c.engine.log.Warn("what is left of a call could not be hung up", "call", c.spec.ID, "err", err)
	}
}
