package scheduler

import (
	"fmt"
	"slices"
	"time"
)

// Gates returns everything that holds a waiting task back at now, in the order
// of the contract: the queue being off, the task not being due and, once it is
// due, its window, brake, limit and start rate, what else holds the queue, and
// its node. It is empty for a task that does not wait, and for one that starts with the
// next claim.
func (t Task) Gates(q Queue, r Runtime, now time.Time) []Hold {
	if !t.Status.Waiting() {
		return nil
	}
	var holds []Hold
	if !q.On {
		holds = append(holds, Hold{Gate: GateOff, Detail: "the scheduler is switched off"})
	}
	if t.ReadyAt.After(now) {
		detail := "waits for its start time"
		if t.Status == Delayed {
			detail = "waits for its next attempt"
		}
		return append(holds, Hold{Gate: GateNotDue, Until: t.ReadyAt, Detail: detail})
	}
	if closed := r.closed(now); closed.Gate != "" {
		holds = append(holds, closed)
	}
	if braked := r.Brake.Hold(q, r.Running, now); braked.Gate != "" {
		holds = append(holds, braked)
	}
	if r.full(q) {
		holds = append(holds, Hold{Gate: GateConcurrent, Detail: fmt.Sprintf("%d of %d tasks are executed", r.Running, q.Limit)})
	}
	if q.StartRate > 0 && r.NextStart.After(now) {
		holds = append(holds, Hold{Gate: GateStartRate, Until: r.NextStart, Detail: fmt.Sprintf("at most %g starts a second", q.StartRate)})
	}
	full := r.fullFor(t.ExtensionID)
	holds = append(holds, full...)
	if r.Hold.Gate != GateInterval && r.Hold.Until.After(now) && !slices.ContainsFunc(full, func(h Hold) bool { return h.Gate == r.Hold.Gate }) {
		holds = append(holds, r.Hold)
	}
	return append(holds, r.Node...)
}

// Shown returns the status that a task is told with: its own, or what holds it
// back once it is due. A queue that is off, and a hold of our own, leave the
// status as it is.
func (t Task) Shown(q Queue, r Runtime, now time.Time) Status {
	switch {
	case !t.Status.Waiting() || t.ReadyAt.After(now) || !q.On:
	case r.closed(now).Gate != "":
		return DelayedInterval
	case r.Brake.Hold(q, r.Running, now).Gate != "":
		return DelayedASR
	case r.full(q):
		return DelayedConcurrent
	}
	return t.Status
}

// Holds returns what holds a queue as a whole at now, the first in the order of
// Gates; the zero Hold if nothing does. Being full is no hold: it ends with the
// next call.
func (r Runtime) Holds(q Queue, now time.Time) Hold {
	switch {
	case !q.On:
		return Hold{Gate: GateOff, Detail: "the scheduler is switched off"}
	case r.closed(now).Gate != "":
		return r.closed(now)
	}
	if braked := r.Brake.Hold(q, r.Running, now); braked.Gate != "" {
		return braked
	}
	if full := r.fullFor(r.Head); len(full) > 0 {
		return full[0]
	}
	if r.Hold.Until.After(now) {
		return r.Hold
	}
	return Hold{}
}

// closed is how the window holds the queue at now; the zero Hold if it does not.
func (r Runtime) closed(now time.Time) Hold {
	switch {
	case r.Closed.Until.After(now):
		return r.Closed
	case r.Hold.Gate == GateInterval && r.Hold.Until.After(now):
		return r.Hold
	}
	return Hold{}
}

func (r Runtime) full(q Queue) bool { return q.Limit > 0 && r.Running >= q.Limit }
