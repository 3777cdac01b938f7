package scheduler

import (
	"context"
	"maps"
	"slices"
)

// LiveCall is the legs of a call under way, as they are told of it.
type LiveCall struct {
	CallID   CallID
	ClientID ClientID
	Legs     []Leg
}

// Progress tells how far calls have come.
type Progress interface {
	// Legs returns the legs of a call as they are now, and a number that grows
	// with every change of them; 0 if nothing is known.
	Legs(CallID) ([]Leg, int)
}

// LiveCalls is the store, as the dispatcher tells it of calls under way.
type LiveCalls interface {
	// SaveLive keeps how far calls have come, and forgets those that are over.
	SaveLive(ctx context.Context, calls []LiveCall, over []CallID) error
}

// tellLive tells of the calls whose legs changed since the last tick, in one
// write, and of those that are over; without either it costs nothing.
func (d *Dispatcher) tellLive(ctx context.Context) {
	if d.o.Progress == nil {
		return
	}
	changed, versions, over := d.changedLegs()
	if len(changed)+len(over) == 0 {
		return
	}
	err := d.o.Live.SaveLive(ctx, changed, over)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		for _, id := range over {
			delete(d.over, id)
		}
	case ctx.Err() == nil:
		d.o.Log.Error("tell of calls under way failed; the next tick tries again", "err", err)
		fallthrough
	default:
		for id := range versions {
			if call := d.calls[id]; call != nil {
				call.told = -1
			}
		}
	}
}

// changedLegs returns the calls whose legs are not as they were told, which
// from now on they are, and those to be forgotten.
func (d *Dispatcher) changedLegs() (changed []LiveCall, versions map[CallID]int, over []CallID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	versions = map[CallID]int{}
	for id, call := range d.calls {
		legs, version := d.o.Progress.Legs(id)
		if version == 0 || version == call.told {
			continue
		}
		call.told, versions[id] = version, version
		changed = append(changed, LiveCall{CallID: id, ClientID: call.client, Legs: legs})
	}
	return changed, versions, slices.Collect(maps.Keys(d.over))
}

// HangUp ends a call of this node because a client asked for it; one that is
// not this node's is left alone.
func (d *Dispatcher) HangUp(id CallID) { d.cut(id, CutAPI) }
