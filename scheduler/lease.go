package scheduler

import (
	"sync"
	"time"
)

// Lease is this process's right to start calls. It is judged by the monotonic
// clock, so that a process that slept past it knows at once.
type Lease struct {
	mu     sync.Mutex
	owner  Owner
	until  time.Time // when it runs out
	length time.Duration
	margin time.Duration // how long before its end nothing is started any more
	since  time.Time     // unbroken since
	fenced chan struct{}
	over   bool
}

// NewLease returns a lease that is not held yet.
func NewLease() *Lease { return &Lease{fenced: make(chan struct{})} }

// Owner is the node and its epoch.
func (l *Lease) Owner() Owner {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner
}

// Length is for how long the lease is taken at a time.
func (l *Lease) Length() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length
}

// Valid reports whether calls may be started: the lease is held, and does not
// run out before a claim that begins now could commit and dial.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && time.Now().Before(l.until.Add(-l.margin))
}

// Fenced is closed when another process took over the epoch, for good.
func (l *Lease) Fenced() <-chan struct{} { return l.fenced }

// hold records that the lease was taken or renewed: asked for at began, for
// the length of it.
func (l *Lease) hold(owner Owner, began time.Time, length time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !time.Now().Before(l.until) {
		l.since = began // it had lapsed, or is the first
	}
	l.owner, l.until, l.length, l.margin = owner, began.Add(length), length, length/6
}

// unbroken is for how long the lease has been held without a gap.
func (l *Lease) unbroken() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !time.Now().Before(l.until) {
		return 0
	}
	return time.Since(l.since)
}

func (l *Lease) fence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.fenced)
	}
}
