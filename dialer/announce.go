package dialer

import (
	"context"
	"fmt"
	"time"

	"ringback/scheduler"
)

// findSounds finds the announcements of the call, and reports whether they are
// there. Without them nobody is called, which costs no try: another node, or a
// new start, may have them.
func (c *call) findSounds() bool {
	for _, want := range []struct {
		id   string
		into **Sound
	}{{c.spec.AnnounceA, &c.soundA}, {c.spec.AnnounceBoth, &c.soundBoth}} {
		if want.id == "" {
			continue
		}
		s, ok := c.engine.sounds[want.id]
		if !ok {
			c.engine.log.Warn(fmt.Sprintf("there is no sound %q; the call is put off", want.id), "call", c.spec.ID)
			for i, n := range c.spec.A {
				c.close(c.newLeg(scheduler.LegA, i+1, n, nil), End{Disposition: scheduler.LocalError, By: scheduler.ByUs})
			}
			return false
		}
		*want.into = &s
	}
	return true
}

// greet plays A its announcement, and reports whether it is still there.
func (c *call) greet(ctx context.Context) bool {
	if c.soundA == nil {
		return true
	}
	c.play(c.a, c.soundA)
	return c.await(ctx, func() bool { return !c.a.busy || c.a.phase == ended }) && c.a.phase != ended
}

// pickUp sends B its digits, while A goes on hearing B's line, and plays both
// their announcement; it reports whether both are still there.
func (c *call) pickUp(ctx context.Context) bool {
	heard := func() bool { return !c.a.busy && !c.b.busy || c.over() }
	if c.spec.DigitsB != "" {
		c.perform(c.b, DigitsTime(c.spec.DigitsB), func(ctx context.Context) error {
			return c.b.trunk.Driver.Press(ctx, c.b.id, c.spec.DigitsB)
		})
		if !c.await(ctx, heard) || c.over() {
			return false
		}
	}
	if c.soundBoth != nil {
		c.ringback(false)
		c.play(c.a, c.soundBoth)
		c.play(c.b, c.soundBoth)
		if !c.await(ctx, heard) || c.over() {
			return false
		}
	}
	return true
}

func (c *call) play(l *leg, s *Sound) {
	c.perform(l, s.Length(), func(ctx context.Context) error { return l.trunk.Driver.Play(ctx, l.id, *s) })
}

// perform gives a leg something to hear, which takes so long. Who is on the
// line already is not let down if that fails.
func (c *call) perform(l *leg, takes time.Duration, order func(context.Context) error) {
	ctx, done := context.WithTimeout(c.ctx, c.engine.grace)
	defer done()
	l.busy, l.deadline = true, c.now().Add(takes+c.engine.grace)
	if err := order(ctx); err != nil {
		c.deliverAll()
		if l.phase != ended {
			c.warn("sound could not be played; the call goes on", l, err)
		}
		c.played(l)
	}
}

// played notes that a leg is through with what it was given to hear.
func (c *call) played(l *leg) {
	if !l.busy {
		return
	}
	l.busy = false
	if !l.leaving && l.phase != ended {
		l.deadline = time.Time{}
	}
}
