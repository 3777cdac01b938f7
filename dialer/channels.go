package dialer

import (
	"slices"
	"sync"
)

// channels counts what is in use of a trunk. Who waits is served in order, but
// a B goes before every A: someone is on the line for it.
type channels struct {
	limit int // 0: none

	mu      sync.Mutex
	used    int
	waiting []waiter
}

// waiter is a leg that waits for a channel.
type waiter struct {
	leg   *leg
	grant func() // must not block
	first bool   // before those that are not
}

// take gives the leg a channel and returns true; or puts it in the queue, and
// grant is called once the channel is its own.
func (c *channels) take(w waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit == 0 || c.used < c.limit {
		c.used++
		return true
	}
	at := len(c.waiting)
	if w.first {
		at = slices.IndexFunc(c.waiting, func(o waiter) bool { return !o.first })
		if at < 0 {
			at = len(c.waiting)
		}
	}
	c.waiting = slices.Insert(c.waiting, at, w)
	return false
}

// occupy counts a channel that is in use already, limit or not.
func (c *channels) occupy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used++
}

// put gives a channel back, to who waits for one.
func (c *channels) put() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.used--
		return
	}
	w := c.waiting[0]
	c.waiting = slices.Delete(c.waiting, 0, 1)
	w.grant()
}

// inUse is how many legs have a channel.
func (c *channels) inUse() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// leave takes a leg out of the queue. A leg that was granted a channel
// meanwhile gives it back.
func (c *channels) leave(l *leg) {
	c.mu.Lock()
	at := slices.IndexFunc(c.waiting, func(w waiter) bool { return w.leg == l })
	if at >= 0 {
		c.waiting = slices.Delete(c.waiting, at, at+1)
	}
	c.mu.Unlock()
	if at < 0 {
		c.put()
	}
}
