package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// RunWork is a run that is to be done now, with all that it takes to do it.
type RunWork struct {
	Task    AccountTask
	Run     AccountTaskRun
	Account Account
	Client  Client // that it acts as
	// Lapsed is how it ends without being done, and Detail why; "": it is to be done.
	Lapsed RunState
	Detail string
	// Passed are runs that the look for this one recorded as missed or skipped, also
	// if it found none.
	Passed []RunEnd
}

// RunEnd is how runs ended, of whichever task.
type RunEnd struct {
	Job   JobID
	State RunState
	Times int // how many
}

// RunObserver is told how runs ended, once that is stored. It must not block.
type RunObserver interface {
	Ran(RunEnd)
}

// RunOutcome is what a run comes to: what is written in the transaction that ends
// it, so that it is done exactly once.
type RunOutcome struct {
	State  RunState // succeeded or failed
	Detail string   // what was done, or what was wrong
	Queue  QueueID  // that Tasks go to, or that is switched
	Tasks  []Task   // to be added, but for those whose external id is there already
	Switch *bool    // nil: no queue is switched
	Report json.RawMessage
	// Mail makes the e-mail that tells of the run as it ended; nil: none is sent.
	Mail func(AccountTaskRun) Mail
}

// RunEvent tells the NotificationURL of a task that a run of it has ended.
type RunEvent struct {
	Task   AccountTask
	Run    AccountTaskRun
	Name   string          // of its entry in the catalogue
	Report json.RawMessage // of CALL_REPORT; nil: none
}

// Runs keeps the runs of recurring tasks.
type Runs interface {
	// ClaimRun returns a run that is to be done, for whoever is the first to ask:
	// of a task whose time has come, of one that somebody wants run now, or one that
	// its node left undone. ok is false if there is none.
	ClaimRun(ctx context.Context, owner Owner, now time.Time) (work RunWork, ok bool, err error)
	// KeepRun keeps a run from being claimed by another; ok is false if it was.
	KeepRun(ctx context.Context, r AccountTaskRun, until time.Time) (ok bool, err error)
	// FinishRun does what a run comes to, and ends it, in one transaction. ok is
	// false if another has it meanwhile: then nothing is done. A fault of what is to
	// be done has a kind.
	FinishRun(ctx context.Context, work RunWork, o RunOutcome, now time.Time) (ok bool, err error)
}

// Performer finds out what a run comes to; one that has lapsed comes to just that.
// What it writes itself must be the same when it is done twice.
type Performer interface {
	Perform(ctx context.Context, work RunWork) (RunOutcome, error)
}

// RunnerOptions are what a Runner works with.
type RunnerOptions struct {
	Runs      Runs
	Performer Performer
	Owner     func() Owner
	Now       func() time.Time
	Log       *slog.Logger
	Observer  RunObserver // may be nil
}

// RunsAtOnce is how many runs a node does at one time.
const RunsAtOnce = 4

// Runner does the runs of recurring tasks.
type Runner struct {
	o     RunnerOptions
	slots chan struct{}
	runs  sync.WaitGroup
}

// NewRunner makes a runner.
func NewRunner(o RunnerOptions) *Runner {
	return &Runner{o: o, slots: make(chan struct{}, RunsAtOnce)}
}

// Tick begins what is to be done now, as far as there is room. What it begins
// ends with ctx, and then is done by another, or by the next process.
func (r *Runner) Tick(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case r.slots <- struct{}{}:
		default:
			return
		}
		work, ok, err := r.o.Runs.ClaimRun(ctx, r.o.Owner(), r.o.Now())
		r.tell(work.Passed...)
		if err != nil && ctx.Err() == nil {
			r.o.Log.Error("recurring tasks cannot be looked at; the next tick tries again", "err", err)
		}
		if err != nil || !ok {
			<-r.slots
			return
		}
		if work.Lapsed != "" { // at once: the next time of its task may have come
			r.do(ctx, work)
			<-r.slots
			continue
		}
		r.runs.Go(func() {
			defer func() { <-r.slots }()
			r.do(ctx, work)
		})
	}
}

// Wait waits for what was begun.
func (r *Runner) Wait() { r.runs.Wait() }

// do does a run, and keeps it meanwhile.
func (r *Runner) do(ctx context.Context, work RunWork) {
	ctx, stop := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer stop()
	keeper.Go(func() { r.keep(ctx, stop, work.Run) })
	o, err := r.perform(ctx, work)
	switch {
	case ctx.Err() != nil:
		return // it is done again elsewhere
	case KindOf(err) != Internal:
		o = RunOutcome{State: RunFailed, Detail: err.Error(), Mail: o.Mail}
	case err != nil:
		r.o.Log.Error(fmt.Sprintf("recurring task %s failed", work.Task.ID), "err", err)
		o = RunOutcome{State: RunFailed, Detail: "internal error", Mail: o.Mail}
	}
	ok, err := r.o.Runs.FinishRun(ctx, work, o, r.o.Now())
	if KindOf(err) != Internal {
		// Nothing of it was done: that is how it ended.
		o = RunOutcome{State: RunFailed, Detail: err.Error(), Mail: o.Mail}
		ok, err = r.o.Runs.FinishRun(ctx, work, o, r.o.Now())
	}
	if ok {
		r.tell(RunEnd{Job: work.Task.Job, State: o.State, Times: 1})
	}
	if err != nil && ctx.Err() == nil {
		r.o.Log.Error(fmt.Sprintf("the end of recurring task %s cannot be written; it is run again", work.Task.ID), "err", err)
	}
}

// tell tells the observer how runs ended.
func (r *Runner) tell(ends ...RunEnd) {
	for _, end := range ends {
		if r.o.Observer != nil {
			r.o.Observer.Ran(end)
		}
	}
}

// perform has a run performed. What panics is a run that failed, not a node.
func (r *Runner) perform(ctx context.Context, work RunWork) (o RunOutcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.o.Performer.Perform(ctx, work)
}

// keep renews the lease of a run until ctx ends, and stops it when another has it.
func (r *Runner) keep(ctx context.Context, stop func(), run AccountTaskRun) {
	tick := time.NewTicker(RunLease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ok, err := r.o.Runs.KeepRun(ctx, run, r.o.Now().Add(RunLease)); err == nil && !ok {
			stop()
			return
		}
	}
}
