package dialer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"ringback/scheduler"
)

// Bounds of what an engine waits for.
const (
	// ChannelWait is how long a leg waits for a channel of its trunk.
	ChannelWait = 5 * time.Second
	// DefaultGrace is how long a leg that was hung up may take to end.
	DefaultGrace = 10 * time.Second
)

// Options are what an Engine works with.
type Options struct {
	Trunks []Trunk          // at least one; the earlier one wins a tie
	Now    func() time.Time // the clock of what is recorded; nil: time.Now
	Log    *slog.Logger     // nil: nothing is logged
	// Grace is how long the driver may take to end a leg that was hung up, and
	// to answer any order; then the leg is closed as failed. Zero: DefaultGrace.
	Grace time.Duration
	// Observer is told of legs; nil: nobody is.
	Observer Observer
	Sounds   Sounds // what calls may name as announcements; nil: none
	// Keeper keeps what it takes to end answered legs after a crash; nil:
	// nothing is kept.
	Keeper *Keeper
}

// Observer is told what becomes of legs.
type Observer interface {
	// LegEnded is called once for every leg of a trunk; it must not block.
	LegEnded(scheduler.Leg)
}

// Engine places calls over its trunks. It starts no goroutines of its own: a
// call lives in the one that dials it.
type Engine struct {
	trunks   []*trunk
	now      func() time.Time
	log      *slog.Logger
	grace    time.Duration
	observer Observer // nil: none
	keeper   *Keeper  // nil: none
	sounds   Sounds
	calls    atomic.Int64 // under way
	live     live
}

// New returns an engine over trunks whose drivers are up; the caller closes
// the drivers once the last Dial has returned. Every fault of the trunks is
// reported at once.
func New(o Options) (*Engine, error) {
	e := &Engine{now: o.Now, log: o.Log, grace: o.Grace, observer: o.Observer, keeper: o.Keeper, sounds: o.Sounds}
	if e.now == nil {
		e.now = time.Now
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.grace <= 0 {
		e.grace = DefaultGrace
	}
	faults := checkTrunks(o.Trunks)
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	e.trunks = newTrunks(o.Trunks)
	return e, nil
}

// Room is how many more calls the engine can take now: 0 while no trunk is
// healthy. A call needs two channels, one for A and one for B, so that nobody
// who answered waits for a channel to B; and no more calls are taken than the
// trunks may begin soon.
func (e *Engine) Room() int {
	channels, starts := 0, 0
	endless, fast := false, false
	for _, t := range e.trunks {
		if t.health(context.Background()) != nil {
			continue
		}
		channels += t.MaxChannels
		endless = endless || t.MaxChannels == 0
		n, limited := t.pace.room()
		starts += n
		fast = fast || !limited
	}
	room := math.MaxInt32
	if !endless {
		room = max(0, channels/2-int(e.calls.Load()))
	}
	if !fast {
		room = min(room, starts)
	}
	return room
}

// TrunkState is how a trunk is now.
type TrunkState struct {
	Name     string
	Up       bool
	Channels int // legs that are up, or about to be
}

// Trunks tells how every trunk is now, in their order.
func (e *Engine) Trunks() []TrunkState {
	states := make([]TrunkState, len(e.trunks))
	for i, t := range e.trunks {
		states[i] = TrunkState{Name: t.Name, Up: t.health(context.Background()) == nil, Channels: t.channels.inUse()}
	}
	return states
}

// Health is nil if a call can be placed over at least one trunk; else it says
// of every trunk why not.
func (e *Engine) Health(ctx context.Context) error {
	var down []error
	for _, t := range e.trunks {
		err := t.health(ctx)
		if err == nil {
			return nil
		}
		down = append(down, fmt.Errorf("trunk %s is down: %w", t.Name, err))
	}
	return errors.Join(down...)
}

// Dial makes a call and returns when every leg of it has ended: A and its
// extended numbers ring at the same time, the first to answer is kept and hears
// its announcement, then B is called and sent its digits, both hear theirs, and
// the two are bridged. bridged is called once, at that moment,
// and must not block. A cancelled ctx ends the call; a cause that is no
// scheduler.CutError counts as the process stopping.
func (e *Engine) Dial(ctx context.Context, spec scheduler.Call, bridged func(at time.Time)) scheduler.Outcome {
	e.calls.Add(1)
	defer e.calls.Add(-1)
	// Legs are hung up one by one and told why; their own context ends only
	// what the driver failed to end until then.
	legs, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	c := newCall(legs, e, spec)
	defer c.stopTimer()
	defer e.live.add(c)()
	c.place(ctx, bridged)
	c.clear()
	return c.outcome()
}
