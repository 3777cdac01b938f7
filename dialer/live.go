package dialer

import (
	"sync"
	"sync/atomic"

	"ringback/scheduler"
)

// live is the calls under way, as others may see them.
type live struct {
	mu    sync.Mutex
	calls map[scheduler.CallID]*atomic.Pointer[view]
}

// view is the legs of a call at a moment; nobody changes it.
type view struct {
	legs    []scheduler.Leg
	version int
}

// add makes a call one of those that are seen, until remove is called.
func (l *live) add(c *call) (remove func()) {
	id := c.spec.ID
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[scheduler.CallID]*atomic.Pointer[view]{}
	}
	l.calls[id] = &c.seen
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calls, id)
	}
}

// Legs returns the legs of a call under way as they are now, and a number that
// grows with every change of them; 0 if nothing is known of it.
func (e *Engine) Legs(id scheduler.CallID) ([]scheduler.Leg, int) {
	e.live.mu.Lock()
	seen := e.live.calls[id]
	e.live.mu.Unlock()
	if seen == nil {
		return nil, 0
	}
	if v := seen.Load(); v != nil {
		return v.legs, v.version
	}
	return nil, 0
}

// show lets others see the legs as they are, if they are not as they were.
func (c *call) show() {
	if was := c.seen.Load(); was != nil && was.version == c.changes {
		return
	}
	v := &view{version: c.changes, legs: make([]scheduler.Leg, 0, len(c.legs))}
	for _, l := range c.legs {
		if !l.unused {
			v.legs = append(v.legs, l.record)
		}
	}
	c.seen.Store(v)
}
