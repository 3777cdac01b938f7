package dialer

import (
	"sync"
	"time"
)

// Bounds of the wait for a trunk's calls per second. An A waits less than a B:
// someone is on the line for B.
const (
	paceWaitA = 2 * time.Second
	paceRoom  = time.Second // of what Room hands out in advance
)

// pace spaces the legs of a trunk.
type pace struct {
	interval time.Duration // between two legs; 0: no limit

	mu   sync.Mutex
	next time.Time // the earliest start of the next leg
}

// newPace allows perSecond legs a second; 0: no limit.
func newPace(perSecond int) pace {
	if perSecond == 0 {
		return pace{}
	}
	return pace{interval: time.Second / time.Duration(perSecond)}
}

// reserve takes the next turn and returns how long it is away; ok is false if
// that is longer than limit, and nothing is taken.
func (p *pace) reserve(limit time.Duration) (wait time.Duration, ok bool) {
	if p.interval == 0 {
		return 0, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if wait = max(p.next.Sub(now), 0); wait > limit {
		return 0, false
	}
	p.next = now.Add(wait + p.interval)
	return wait, true
}

// room is how many calls may be taken on now: half of the legs of the next
// second, because each call needs two, and at least one while it is not full.
func (p *pace) room() (calls int, limited bool) {
	if p.interval == 0 {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := paceRoom - max(time.Until(p.next), 0)
	if left <= 0 {
		return 0, true
	}
	return max(int(left/p.interval)/2, 1), true
}
