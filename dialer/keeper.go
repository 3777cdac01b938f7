package dialer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ringback/scheduler"
)

// Recoverer is a Driver whose answered legs do not end with the process. It
// puts into the State of Answered what it takes to end one later.
type Recoverer interface {
	// Recover ends a leg of a process that is gone, by its State, and waits
	// until the peer has heard of it, or cannot be expected to. An error: it is
	// not over, and trying again may help.
	Recover(ctx context.Context, trunk string, state []byte) error
}

// Recover ends a leg of a process that is gone; see Recoverer. A leg of a trunk
// that is no more, or of another driver now, cannot be ended: that is logged.
func (e *Engine) Recover(ctx context.Context, leg scheduler.KeptLeg) error {
	for _, t := range e.trunks {
		if driver, ok := t.Driver.(Recoverer); ok && t.Name == leg.Trunk {
			e.log.Warn("a leg is left of a call that is over; it is hung up", "leg", leg.ID, "trunk", leg.Trunk)
			return driver.Recover(ctx, leg.Trunk, leg.State)
		}
	}
	e.log.Warn("a leg is left of a call that is over, and its trunk is gone", "leg", leg.ID, "trunk", leg.Trunk)
	return nil
}

// LegStore is the store, as a Keeper needs it.
type LegStore interface {
	// KeepLegs notes legs and forgets others, in one transaction;
	// scheduler.ErrFenced if the owner's epoch was raised.
	KeepLegs(ctx context.Context, owner scheduler.Owner, kept []scheduler.KeptLeg, over []string) error
	// LeftLegs returns legs that others left to the owner to be ended: some of
	// them, if there are many.
	LeftLegs(ctx context.Context, owner scheduler.Owner) ([]scheduler.KeptLeg, error)
}

// KeeperOptions are what a Keeper works with.
type KeeperOptions struct {
	Legs  LegStore
	Lease *scheduler.Lease
	Log   *slog.Logger
}

// Keeper keeps what it takes to end the answered legs of this process, should
// it be killed, and ends those of processes that were. What is kept is written
// in batches: a leg that ended before its turn costs nothing, and a process
// that is killed before it leaves the leg to its session timer.
type Keeper struct {
	o     KeeperOptions
	nudge chan struct{} // holds a token while there is something to write

	mu      sync.Mutex
	pending map[string]*scheduler.KeptLeg // by leg; nil: it is over
}

// How a Keeper works: what is new is gathered for keepLinger, and what others
// left is looked for every keepLook; both again after keepAgain if they failed.
const (
	keepLinger = 100 * time.Millisecond
	keepLook   = 5 * time.Second
	keepAgain  = time.Second
	keepLast   = 5 * time.Second // for the last write
)

// NewKeeper returns a keeper that is not running yet.
func NewKeeper(o KeeperOptions) *Keeper {
	return &Keeper{o: o, nudge: make(chan struct{}, 1), pending: map[string]*scheduler.KeptLeg{}}
}

// keep notes an answered leg.
func (k *Keeper) keep(leg scheduler.KeptLeg) {
	k.mu.Lock()
	k.pending[leg.ID] = &leg
	k.mu.Unlock()
	k.wake()
}

// forget drops a leg that is over.
func (k *Keeper) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending[id] != nil { // not written yet
		delete(k.pending, id)
		return
	}
	k.pending[id] = nil
	k.wake()
}

func (k *Keeper) wake() {
	select {
	case k.nudge <- struct{}{}:
	default:
	}
}

// Run writes what is kept, and hands to end, one by one but many at a time,
// what others left, until ctx is over; then it writes once more.
func (k *Keeper) Run(ctx context.Context, end func(context.Context, scheduler.KeptLeg) error) {
	var looking sync.WaitGroup
	looking.Go(func() { k.endLeft(ctx, end) })
	for alive := true; alive; {
		select {
		case <-ctx.Done():
			alive = false
			continue
		case <-k.nudge:
		}
		alive = pause(ctx, keepLinger)
		if alive && !k.write(ctx) {
			alive = pause(ctx, keepAgain)
		}
	}
	looking.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLast)
	defer cancel()
	k.write(last)
}

// write writes what is pending; false if it is to be tried again.
func (k *Keeper) write(ctx context.Context) bool {
	k.mu.Lock()
	taken := k.pending
	k.pending = map[string]*scheduler.KeptLeg{}
	k.mu.Unlock()
	if len(taken) == 0 {
		return true
	}
	var kept []scheduler.KeptLeg
	var over []string
	for id, leg := range taken {
		if leg == nil {
			over = append(over, id)
		} else {
			kept = append(kept, *leg)
		}
	}
	err := k.o.Legs.KeepLegs(ctx, k.o.Lease.Owner(), kept, over)
	if err == nil || errors.Is(err, scheduler.ErrFenced) { // then they are the new owner's
		return true
	}
	k.o.Log.Error("note the legs of calls failed; trying again", "err", err)
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, leg := range taken {
		if _, newer := k.pending[id]; !newer {
			k.pending[id] = leg
		}
	}
	k.wake()
	return false
}

// endLeft ends what others left, again and again.
func (k *Keeper) endLeft(ctx context.Context, end func(context.Context, scheduler.KeptLeg) error) {
	for ctx.Err() == nil {
		left, err := k.o.Legs.LeftLegs(ctx, k.o.Lease.Owner())
		if err != nil && ctx.Err() == nil {
			k.o.Log.Error("look for legs that were left failed; trying again", "err", err)
		}
		ended := k.endAll(ctx, left, end)
		if ended == 0 || ended < len(left) {
			pause(ctx, keepLook)
		}
	}
}

// endAll ends legs, all at once, and forgets those that are over. It returns
// how many are.
func (k *Keeper) endAll(ctx context.Context, left []scheduler.KeptLeg, end func(context.Context, scheduler.KeptLeg) error) int {
	if len(left) == 0 {
		return 0
	}
	ended := make([]bool, len(left))
	var all sync.WaitGroup
	for i, leg := range left {
		all.Go(func() {
			err := end(ctx, leg)
			if ended[i] = err == nil; err != nil && ctx.Err() == nil {
				k.o.Log.Warn("a leg that was left could not be ended; trying again", "leg", leg.ID, "trunk", leg.Trunk, "err", err)
			}
		})
	}
	all.Wait()
	var over []string
	for i, leg := range left {
		if ended[i] {
			over = append(over, leg.ID)
		}
	}
	// They must be gone before the next look, or they would be ended again.
	err := k.o.Legs.KeepLegs(context.WithoutCancel(ctx), k.o.Lease.Owner(), nil, over)
	if err != nil && !errors.Is(err, scheduler.ErrFenced) {
		k.o.Log.Error("forget legs that were left failed; trying again", "err", err)
		return 0
	}
	return len(over)
}

// pause waits; false if ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
