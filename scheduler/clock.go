package scheduler

import (
	"context"
	"sync/atomic"
	"time"
)

// clockTrust is the round trip beyond which a measurement says too little.
const clockTrust = 20 * time.Millisecond

// Clock is the node's clock: the process's, moved to agree with the
// database's, so that all nodes mean the same moment. The zero Clock is the
// process's own.
type Clock struct {
	offset  atomic.Int64     // nanoseconds
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

// Measure asks the database for its time and keeps the offset to it, unless
// the answer took too long to be worth anything.
func (c *Clock) Measure(ctx context.Context, ask func(context.Context) (time.Time, error)) error {
	began := c.read()
	theirs, err := ask(ctx)
	if err != nil {
		return err
	}
	if trip := c.read().Sub(began); trip <= clockTrust {
		c.offset.Store(int64(theirs.Sub(began.Add(trip / 2))))
	}
	return nil
}
