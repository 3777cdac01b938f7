package scheduler

import (
	"context"
	"sync"
	"time"
)

// Adopter finds calls again that a node left which is gone.
type Adopter interface {
	// Adopt asks the network for a call. One that was bridged at bridgedAt and
	// still is belongs to the adopter from then on: see returns when every leg of
	// it has ended, as Dial does. Of any other it hangs up what is there, if that
	// can be done, and see is nil. A cancelled ctx, whose cause is a CutError,
	// ends the call.
	Adopt(ctx context.Context, c Call, bridgedAt time.Time) (see func() Outcome)
}

// adoptions is how many calls are asked for at one time.
const adoptions = 16

// Recover goes on with the calls of tasks that are this node's now and that
// another one, or a former life of this one, dialled: what can be adopted is
// seen through, and the others are lost. It does not wait; asked is closed once
// it is known which are which.
func (d *Dispatcher) Recover(tasks []Task) (asked <-chan struct{}) {
	known := make(chan struct{})
	var asking sync.WaitGroup
	asking.Add(len(tasks))
	turns := make(chan struct{}, adoptions)
	for _, task := range tasks {
		ctx, cancel := context.WithCancelCause(context.Background())
		d.mu.Lock()
		d.calls[task.CallID] = &underWay{cancel: cancel, bridged: !task.BridgedAt.IsZero(), client: task.ClientID}
		d.mu.Unlock()
		d.workers.Go(func() {
			turns <- struct{}{}
			see := d.adopt(ctx, task)
			<-turns
			asking.Done()
			d.see(task, see)
		})
	}
	d.workers.Go(func() {
		asking.Wait()
		close(known)
	})
	return known
}

// adopt asks for the call of a task; nil: it is lost.
func (d *Dispatcher) adopt(ctx context.Context, task Task) (see func() Outcome) {
	if d.o.Adopter == nil {
		return nil
	}
	// Whom it calls is over; for whom it does is not asked again.
	see = d.o.Adopter.Adopt(ctx, task.Call(Extension{}), task.BridgedAt)
	if see != nil {
		d.o.Log.Info("a call goes on that another node left", "task", task.ID, "call", task.CallID)
	}
	return see
}

// see sees an adopted call through and records its end.
func (d *Dispatcher) see(task Task, see func() Outcome) {
	written := func(bool) { d.done(task.CallID) }
	if see == nil {
		lost := task.Lose(d.o.Now())
		lost.Attempt.Simulated = d.o.Simulated
		d.o.Recorder.Record(lost, written)
		return
	}
	outcome := see()
	if outcome.Cut == CutFenced {
		written(false)
		return
	}
	d.o.Recorder.Record(task.End(outcome, d.o.Now()), written)
}
