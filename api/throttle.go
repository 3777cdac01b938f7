package api

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// Failures of one identity from one address: the first ones are slowed, more
// are answered 429 for a while that doubles.
const (
	freeFailures  = 5
	slowStep      = 100 * time.Millisecond // per failure
	maxBlock      = time.Minute
	forgetFailure = 15 * time.Minute
	maxThrottled  = 10_000 // pairs that are remembered
)

// throttle counts failures to sign in, per identity and address: nobody locks
// another out.
type throttle struct {
	now   func() time.Time
	mu    sync.Mutex
	pairs map[[sha256.Size]byte]failures
}

type failures struct {
	n    int
	last time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, pairs: map[[sha256.Size]byte]failures{}}
}

func pairOf(identity, address string) [sha256.Size]byte {
	return sha256.Sum256([]byte(identity + "\x00" + address))
}

// wait returns how long the pair must wait before it is heard; 0: not at all.
func (t *throttle) wait(identity, address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.pairs[pairOf(identity, address)]
	if !ok || f.n < freeFailures {
		return 0
	}
	block := min(time.Second<<min(f.n-freeFailures, 6), maxBlock)
	return max(block-t.now().Sub(f.last), 0)
}

// failed counts a failure and returns how long its answer waits.
func (t *throttle) failed(identity, address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if len(t.pairs) >= maxThrottled {
		t.forget(now)
	}
	pair := pairOf(identity, address)
	f := t.pairs[pair]
	if now.Sub(f.last) > forgetFailure {
		f.n = 0
	}
	f.n, f.last = f.n+1, now
	t.pairs[pair] = f
	return time.Duration(min(f.n, freeFailures)) * slowStep
}

// pause waits for d, or until nobody waits for the answer.
func pause(ctx context.Context, d time.Duration) {
	slow := time.NewTimer(d)
	defer slow.Stop()
	select {
	case <-slow.C:
	case <-ctx.Done():
	}
}

// forget makes room for a tenth: what is old goes, and if that is not enough,
// anything.
func (t *throttle) forget(now time.Time) {
	for pair, f := range t.pairs {
		if now.Sub(f.last) > forgetFailure {
			delete(t.pairs, pair)
		}
	}
	for pair := range t.pairs {
		if len(t.pairs) < maxThrottled*9/10 {
			return
		}
		delete(t.pairs, pair)
	}
}

// passed forgets the failures of the pair.
func (t *throttle) passed(identity, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pairs, pairOf(identity, address))
}
