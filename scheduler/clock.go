package scheduler

import (
	"context"
	"sync/atomic"
	"time"
)

// clockTrust is the round trip beyond which a measurement says too little,
// where shorter ones are to be had.
const clockTrust = 20 * time.Millisecond

// clockSamples is how often the first measurement asks for a better answer: a
// node must not begin by its own clock, however slow its line.
const clockSamples = 5

// Clock is the node's clock: the process's, moved to agree with the
// database's, so that all nodes mean the same moment. The zero Clock is the
// process's own.
type Clock struct {
	offset  atomic.Int64     // nanoseconds
	best    time.Duration    // the shortest round trip of all; 0: none was measured
	machine func() time.Time // nil: time.Now
}

// Now is the time by the database's clock, as far as it was measured. It keeps
// the monotonic reading of time.Now.
func (c *Clock) Now() time.Time {
	return c.read().Add(time.Duration(c.offset.Load()))
}

// read is the machine's own clock.
func (c *Clock) read() time.Time {
	if c.machine == nil {
		return time.Now()
	}
	return c.machine()
}

// Measure asks the database for its time and keeps the offset to it, unless the
// answer took too long to be worth anything. The first time it keeps the best of
// what it can get. One goroutine at a time may call it.
func (c *Clock) Measure(ctx context.Context, ask func(context.Context) (time.Time, error)) error {
	for left := clockSamples; ; left-- {
		began, first := c.read(), c.best == 0 || left < clockSamples
		theirs, err := ask(ctx)
		if err != nil {
			return err
		}
		trip := max(c.read().Sub(began), 1)
		shortest := c.best == 0 || trip < c.best
		if shortest {
			c.best = trip
		}
		if shortest || !first && trip <= max(clockTrust, 2*c.best) {
			c.offset.Store(int64(theirs.Sub(began.Add(trip / 2))))
		}
		if !first || trip <= clockTrust || left == 1 {
			return nil
		}
	}
}
