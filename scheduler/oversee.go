package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// overseeCalls hangs up what a client asked to be cancelled, and releases what
// this node started without knowing: the answer to a commit was lost, and
// nothing was dialled.
func (d *Dispatcher) overseeCalls(ctx context.Context) {
	odd, err := d.o.Tasks.Oversee(ctx, d.o.Lease.Owner(), d.ids())
	if errors.Is(err, ErrFenced) {
		d.o.Lease.fence()
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			d.o.Log.Error("look at executed tasks failed; the next tick tries again", "err", err)
		}
		return
	}
	now := d.o.Now()
	for _, task := range odd {
		switch {
		case task.CancelRequested && d.cut(task.CallID, CutAPI), d.has(task.CallID):
		case now.Sub(task.UpdatedAt) <= d.o.Stray || !d.o.Lease.Valid():
		case task.CalledBy != task.Node:
			// Taken over, and nobody was told: the answer was lost. It was dialled.
			d.o.Log.Warn("a task taken over was not lost yet", "task", task.ID, "call", task.CallID)
			d.Recover([]Task{task})
		default:
			d.o.Log.Warn("release a task that was started and not dialled", "task", task.ID, "call", task.CallID)
			d.settle(task.CallID, task.Release(now))
		}
	}
}

// settle records the end of a task that has no worker.
func (d *Dispatcher) settle(id CallID, tr Transition) {
	d.mu.Lock()
	d.calls[id] = &underWay{} // so that it is not settled twice
	d.mu.Unlock()
	d.o.Recorder.Record(tr, func(bool) { d.done(id) })
}

// Overdue is for how long something that may start, by all that is known, has
// not been started.
func (d *Dispatcher) Overdue() time.Duration {
	next := d.next.Load()
	if next == 0 {
		return 0
	}
	return max(0, d.o.Now().Sub(time.Unix(0, next)))
}

// Holding returns what keeps this node from starting anything that is due, in
// the order of Gates. No time ends any of it.
func (d *Dispatcher) Holding(health error) []Hold {
	var holds []Hold
	if health == nil && d.o.Dialer.Room() <= 0 {
		holds = append(holds, Hold{Gate: GateTrunkLimit, Detail: "the trunks of this node take no more calls now"})
	}
	if n := d.InProgress(); n >= d.o.Workers {
		holds = append(holds, Hold{Gate: GateWorkers, Detail: fmt.Sprintf("this node has %d of %d calls in progress", n, d.o.Workers)})
	}
	if !d.o.Lease.Valid() {
		holds = append(holds, Hold{Gate: GateDialer, Detail: "this node may not start calls: it could not renew its lease"})
	}
	if health != nil {
		holds = append(holds, Hold{Gate: GateDialer, Detail: "this node cannot call: " + strings.ReplaceAll(health.Error(), "\n", "; ")})
	}
	return holds
}

// tellOverdue logs once when a queue is overdue for longer than a lease, and
// once when it is not any more.
func (d *Dispatcher) tellOverdue() {
	over := d.Overdue()
	late := over > d.o.Lease.Length()
	switch {
	case d.late.Swap(late) == late:
	case late:
		d.o.Log.Warn("a queue is overdue: workers or the dialer are full, or the database is slow", "took", over)
	default:
		d.o.Log.Info("no queue is overdue any more")
	}
}
