package dialer

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ringback/scheduler"
)

// call is one call under way. It belongs to the goroutine of its Dial; drivers
// reach it through the mailbox alone.
type call struct {
	engine    *Engine
	ctx       context.Context // of the legs; ends with Dial
	spec      scheduler.Call
	ring      time.Duration
	skew      time.Duration        // from the machine's clock to the engine's
	changes   int                  // of the legs
	seen      atomic.Pointer[view] // what others see of them
	mail      mailbox
	timer     *time.Timer
	legs      []*leg
	a, b      *leg   // answered and kept
	soundA    *Sound // before B is called; nil: none
	soundBoth *Sound // at B's pick-up; nil: none
	bridgedAt time.Time
	lastsTill time.Time // the end of a bridged call at the latest; zero: none
	cut       scheduler.Cut
}

func newCall(legs context.Context, e *Engine, spec scheduler.Call) *call {
	c := &call{engine: e, ctx: legs, spec: spec, ring: spec.Ring, skew: time.Until(e.now())}
	if c.ring <= 0 {
		c.ring = scheduler.DefaultRing * time.Second
	}
	c.mail.arrived = make(chan struct{}, 1)
	return c
}

// now is the engine's clock. It goes on evenly through a call, whatever is
// done to the clock meanwhile.
func (c *call) now() time.Time { return time.Now().Add(c.skew) }

// at is when an event happened, by the engine's clock.
func (c *call) at(ev Event) time.Time {
	if ev.At.IsZero() {
		return c.now()
	}
	return ev.At.Add(c.skew)
}

// place takes the call from A to the end of the talk, as far as it gets.
func (c *call) place(ctx context.Context, bridged func(at time.Time)) {
	if c.findSounds() && c.dialA(ctx) && c.greet(ctx) && c.dialB(ctx) && c.pickUp(ctx) && c.bridge() {
		bridged(c.bridgedAt)
		c.await(ctx, func() bool { return c.over() || c.late() })
	}
}

// dialA rings A and the extended numbers, and reports whether one of them is
// on the line. A B that cannot be called is found before anyone is disturbed.
func (c *call) dialA(ctx context.Context) bool {
	if c.isCut(ctx) {
		return false
	}
	if !c.engine.reachable(c.spec.B, c.mayUse) {
		c.start(c.newLeg(scheduler.LegB, 1, c.spec.B, nil))
		return false
	}
	for i, n := range c.spec.A {
		c.start(c.newLeg(scheduler.LegA, i+1, n, c.engine.routeA(n, c.spec.B, c.mayUse)))
	}
	if !c.await(ctx, func() bool { return c.a != nil || c.quiet() }) || c.a == nil {
		return false
	}
	c.hangup(HangupElsewhere, c.beaten()...)
	return c.a.phase != ended
}

// mayUse reports whether the call may go by a trunk: a forced one is the only
// one.
func (c *call) mayUse(t *trunk) bool { return c.spec.Trunk == "" || t.Name == c.spec.Trunk }

// beaten marks and returns the legs that rang beside the one that was kept.
func (c *call) beaten() []*leg {
	var lost []*leg
	for _, l := range c.legs {
		if l != c.a && (l.phase != ended || !l.record.AnsweredAt.IsZero()) {
			l.record.Lost = true
			lost = append(lost, l)
		}
	}
	return lost
}

// dialB rings B while A hears ringback, and reports whether both are on the
// line.
func (c *call) dialB(ctx context.Context) bool {
	if c.isCut(ctx) {
		return false
	}
	c.ringback(true)
	b := c.newLeg(scheduler.LegB, 1, c.spec.B, c.engine.routeB(c.spec.B, c.a.trunk.Driver, c.mayUse))
	b.partner = c.a.id
	c.start(b)
	return c.await(ctx, func() bool { return c.b != nil || c.quietB() || c.a.phase == ended }) &&
		c.b != nil && !c.over()
}

// over reports whether a side of the call is gone.
func (c *call) over() bool { return c.a.phase == ended || c.b.phase == ended }

// late reports whether the call has lasted as long as it may.
func (c *call) late() bool { return !c.lastsTill.IsZero() && !c.now().Before(c.lastsTill) }

// quiet reports whether every leg has ended.
func (c *call) quiet() bool {
	for _, l := range c.legs {
		if l.phase != ended {
			return false
		}
	}
	return true
}

// quietB reports whether every try of B has ended.
func (c *call) quietB() bool {
	return !slices.ContainsFunc(c.legs, func(l *leg) bool { return l.record.Role == scheduler.LegB && l.phase != ended })
}

func (c *call) ringback(on bool) {
	ctx, done := context.WithTimeout(c.ctx, c.engine.grace)
	defer done()
	if err := c.a.trunk.Driver.Ringback(ctx, c.a.id, on); err != nil {
		c.warn("ringback could not be switched", c.a, err)
	}
}

// bridge connects A and B, and reports whether they are.
func (c *call) bridge() bool {
	c.ringback(false)
	ctx, done := context.WithTimeout(c.ctx, c.engine.grace)
	defer done()
	if err := c.a.trunk.Driver.Bridge(ctx, c.a.id, c.b.id); err != nil {
		if c.deliverAll(); !c.over() {
			c.warn("legs could not be bridged", c.b, err)
		}
		return false
	}
	c.bridgedAt = c.now()
	if c.spec.MaxDuration > 0 {
		c.lastsTill = c.bridgedAt.Add(c.spec.MaxDuration)
	}
	return true
}

// hangup ends legs; it does not wait for their end.
func (c *call) hangup(reason HangupReason, legs ...*leg) {
	if len(legs) == 0 {
		return
	}
	ctx, done := context.WithTimeout(c.ctx, c.engine.grace)
	defer done()
	for _, l := range legs {
		switch {
		case l.leaving, l.phase == ended:
		case l.phase == queued:
			l.trunk.channels.leave(l)
			l.phase, l.deadline, l.unused = ended, time.Time{}, true
		case l.phase == paced:
			l.trunk.channels.put()
			l.phase, l.deadline, l.unused = ended, time.Time{}, true
		default:
			l.leaving = true
			if err := l.trunk.Driver.Hangup(ctx, l.id, reason); err != nil {
				c.warn("leg could not be hung up", l, err)
			}
			l.deadline = c.now().Add(c.engine.grace)
		}
	}
}

// clear hangs up what is left and collects every end.
func (c *call) clear() {
	reason := HangupNormal
	if c.cut != scheduler.CutNone {
		reason = HangupCancel
	}
	c.hangup(reason, c.legs...)
	c.lastsTill = time.Time{}
	c.await(context.Background(), c.quiet)
}

// await handles what happens until the condition holds; false: the call was
// cut before.
func (c *call) await(ctx context.Context, until func() bool) bool {
	for {
		c.deliverAll()
		if until() {
			return true
		}
		c.show()
		select {
		case <-c.mail.arrived:
		case <-c.alarm():
			c.expire()
		case <-ctx.Done():
			return !c.isCut(ctx)
		}
	}
}

// alarm fires at the next deadline.
func (c *call) alarm() <-chan time.Time {
	next := c.lastsTill
	for _, l := range c.legs {
		if !l.deadline.IsZero() && (next.IsZero() || l.deadline.Before(next)) {
			next = l.deadline
		}
	}
	if next.IsZero() {
		return nil
	}
	wait := next.Sub(c.now())
	if c.timer == nil {
		c.timer = time.NewTimer(wait)
	} else {
		c.timer.Reset(wait)
	}
	return c.timer.C
}

func (c *call) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// isCut reports whether the call was ended from outside, and remembers why.
func (c *call) isCut(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	c.cut = scheduler.CutShutdown
	var cut scheduler.CutError
	if errors.As(context.Cause(ctx), &cut) {
		c.cut = cut.Cut
	}
	return true
}

// outcome is what became of the call.
func (c *call) outcome() scheduler.Outcome {
	o := scheduler.Outcome{BridgedAt: c.bridgedAt, EndedAt: c.now(), Cut: c.cut}
	dialled, simulated := 0, 0
	for _, l := range c.legs {
		if l.unused {
			continue
		}
		o.Legs = append(o.Legs, l.record)
		if l.trunk != nil {
			dialled++
			if l.trunk.Simulated {
				simulated++
			}
		}
	}
	o.Simulated = dialled > 0 && simulated == dialled
	return o
}

// warn logs what went wrong with a leg; err may be nil.
func (c *call) warn(msg string, l *leg, err error) {
	args := []any{"call", c.spec.ID, "leg", l.id, "trunk", l.trunk.Name}
	if err != nil {
		args = append(args, "err", err)
	}
	c.engine.log.Warn(msg, args...)
}
