package scheduler

import (
	"fmt"
	"time"
)

// Window is an interval with the zone that it is read in; the zero Window is
// always open.
type Window struct {
	Interval Interval
	Zone     *time.Location // nil: no interval
}

// hold returns what holds a queue with the window at now: the window, or what
// holds it already, whichever is longer. never reports that the window does not
// open within the Horizon.
func (w Window) hold(held Hold, now time.Time) (hold Hold, never bool) {
	if w.Zone != nil {
		open, next := w.Interval.Open(now, w.Zone)
		if never = !open && next.IsZero(); !open && !never {
			hold = Hold{Gate: GateInterval, Until: next, Detail: fmt.Sprintf("the calling window %q opens on %s",
				w.Interval.Name, next.In(w.Zone).Format("Mon 2 Jan 2006 15:04 MST"))}
		}
	}
	if held.Gate != GateInterval && held.Until.After(now) && held.Until.After(hold.Until) {
		hold = held
	}
	return hold, never
}

// WakeIn is Wake of a queue with a window. What waits for one that never opens
// is to be ended, however full the queue is.
func (r Runtime) WakeIn(w Window, q Queue, first, now time.Time) time.Time {
	wake := r.Wake(q, first)
	if !wake.IsZero() || !q.On || !q.DeletedAt.IsZero() || first.IsZero() {
		return wake
	}
	if _, never := w.hold(Hold{}, now); never {
		return later(first, r.Hold.Until)
	}
	return wake
}

// At returns the row as it is to be read at now: held by its queue's window,
// also when no claim has looked at it since the window closed.
func (r Runtime) At(w Window, now time.Time) Runtime {
	r.Closed, _ = w.hold(Hold{}, now)
	r.Hold, _ = w.hold(r.Hold, now)
	return r
}
