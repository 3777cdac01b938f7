package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Owner is a node in one of its lives: a write that names it is refused once
// another node raised its epoch.
type Owner struct {
	Node  string
	Epoch int64
}

// Started is a task that a claim started, and the call to be made for it.
type Started struct {
	Transition Transition
	Call       Call
	Due        time.Time // when it was to start
}

// Claimed is what a claim did.
type Claimed struct {
	Started []Started
	Dropped []Transition
	Next    time.Time // when something may start next, over all queues; zero: nothing waits
}

// Tasks is the store, as the dispatcher needs it.
type Tasks interface {
	// Claim starts due tasks, at most room, in one transaction.
	Claim(ctx context.Context, owner Owner, now time.Time, room int) (Claimed, error)
	// Oversee returns the owner's executed tasks that are to be cancelled, and
	// those whose call is not under way.
	Oversee(ctx context.Context, owner Owner, underWay []CallID) ([]Task, error)
}

// Dialer places calls.
type Dialer interface {
	// Room is how many more calls it can take now; 0 while it is not healthy.
	Room() int
	// Dial makes a call and returns when every leg of it has ended. bridged is
	// called when A and B hear each other. A cancelled ctx, whose cause is a
	// CutError, ends the call.
	Dial(ctx context.Context, c Call, bridged func(at time.Time)) Outcome
}

// Observer is told what the dispatcher does.
type Observer interface {
	// Claimed tells of a claim, how long it took, and how late what it started
	// was.
	Claimed(started int, took time.Duration, late []time.Duration)
}

// DispatcherOptions are what a Dispatcher works with.
type DispatcherOptions struct {
	Tasks Tasks
	// Callbacks keeps calls without a task.
	Callbacks Callbacks
	// Live is told how far calls have come, as Progress says; nil: nobody is.
	Live     LiveCalls
	Progress Progress
	Recorder *Recorder
	Dialer   Dialer
	Adopter  Adopter // nil: no call outlives its node
	// Receivers are asked before a call of a queue that waits for their answers.
	Receivers Receivers
	Lease     *Lease
	Workers   int              // calls under way at most, results not yet written included
	Now       func() time.Time // the node's clock
	// Simulated says that no call reaches a network: the ones that are lost did
	// not, either.
	Simulated bool
	Stray     time.Duration // how old an executed task without a call is before it is released
	Log       *slog.Logger
	Observer  Observer
}

// Dispatcher starts due tasks and sees their calls through. It looks when it
// is woken, and at the time the last look said.
type Dispatcher struct {
	o       DispatcherOptions
	wake    chan struct{}
	oversee chan struct{}
	workers sync.WaitGroup
	next    atomic.Int64 // Unix nanoseconds of what the last claim left to start next; 0: nothing
	late    atomic.Bool  // it was told that a queue is overdue

	mu    sync.Mutex
	calls map[CallID]*underWay // results not yet written included
	over  map[CallID]bool      // calls that were told of and are to be forgotten
}

// underWay is a call of this node that is not over and written yet.
type underWay struct {
	cancel  context.CancelCauseFunc // nil: nothing to hang up
	bridged bool
	client  ClientID
	told    int // the version of its legs that was told; 0: none, -1: one that may not have arrived
}

// NewDispatcher returns a dispatcher that is not running yet.
func NewDispatcher(o DispatcherOptions) *Dispatcher {
	return &Dispatcher{
		o: o, wake: make(chan struct{}, 1), oversee: make(chan struct{}, 1), calls: map[CallID]*underWay{}, over: map[CallID]bool{},
	}
}

// Wake makes the dispatcher look now. It never blocks.
func (d *Dispatcher) Wake() { nudge(d.wake) }

// Tick makes the dispatcher look at its queues and at what it executes: the
// safety net below every other wake-up.
func (d *Dispatcher) Tick() {
	nudge(d.oversee)
	nudge(d.wake)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// InProgress is how many calls are under way.
func (d *Dispatcher) InProgress() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.calls)
}

// How soon a look is repeated when awake queues were held by another node.
const (
	againMin = 2 * time.Millisecond
	againMax = 50 * time.Millisecond
)

// Run starts tasks until ctx ends. Calls go on after that: see Drain.
func (d *Dispatcher) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	again := againMin
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.oversee:
			d.tellOverdue()
			d.overseeCalls(ctx)
			d.overseeCallbacks(ctx)
			d.tellLive(ctx)
			continue
		case <-d.wake:
		case <-timer.C:
		}
		started, next := d.look(ctx)
		now := d.o.Now()
		switch {
		case next.IsZero():
			again = againMin
			continue // until woken
		case started > 0:
			again = againMin
		case !next.After(now):
			again = min(again*2, againMax)
		default:
			again = againMin
		}
		timer.Reset(max(next.Sub(now), again))
	}
}

// look claims until a batch comes back short. It returns how many tasks it
// started and when to look next; the zero time if only a wake-up can help.
func (d *Dispatcher) look(ctx context.Context) (int, time.Time) {
	total := 0
	for ctx.Err() == nil {
		room := min(d.o.Workers-d.InProgress(), d.o.Dialer.Room(), MaxStarts)
		if room <= 0 || !d.o.Lease.Valid() {
			return total, time.Time{}
		}
		claimed, err := d.claim(ctx, room)
		if errors.Is(err, ErrFenced) {
			d.o.Lease.fence()
			return total, time.Time{}
		}
		if err != nil {
			d.o.Log.Error("claim failed; the next tick tries again", "err", err)
			return total, time.Time{}
		}
		total += len(claimed.Started)
		if len(claimed.Started)+len(claimed.Dropped) == 0 || claimed.Next.IsZero() || claimed.Next.After(d.o.Now()) {
			return total, claimed.Next
		}
		if len(d.oversee) > 0 {
			return total, claimed.Next // at once again, when what is under way was looked at
		}
	}
	return total, time.Time{}
}

// claim starts a batch of tasks and their calls.
func (d *Dispatcher) claim(ctx context.Context, room int) (Claimed, error) {
	began, now := time.Now(), d.o.Now()
	// What is committed must be known: a claim is never abandoned half-way.
	claimed, err := d.o.Tasks.Claim(context.WithoutCancel(ctx), d.o.Lease.Owner(), now, room)
	if err != nil {
		return claimed, err
	}
	d.next.Store(0)
	if !claimed.Next.IsZero() {
		d.next.Store(claimed.Next.UnixNano())
	}
	late := make([]time.Duration, len(claimed.Started))
	for i := range claimed.Started {
		s := claimed.Started[i] // its own, so that a long call does not keep the whole claim
		late[i] = now.Sub(s.Due)
		d.begin(ctx, &s)
	}
	d.o.Observer.Claimed(len(claimed.Started), time.Since(began), late)
	return claimed, nil
}

// begin hands a started task to a worker.
func (d *Dispatcher) begin(ctx context.Context, s *Started) {
	// Calls outlive the loop that started them; they end by their own cut.
	callCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	d.mu.Lock()
	d.calls[s.Call.ID] = &underWay{cancel: cancel, client: s.Call.Client}
	d.mu.Unlock()
	d.workers.Go(func() { d.work(callCtx, s) })
}

// work makes a call and records what becomes of it.
func (d *Dispatcher) work(ctx context.Context, s *Started) {
	task := &s.Transition.Task
	written := func(bool) { d.done(s.Call.ID) }
	if tr, ok := d.ask(ctx, s); ok {
		d.o.Recorder.Record(tr, written)
		return
	}
	if !d.o.Lease.Valid() {
		d.o.Recorder.Record(task.Release(d.o.Now()), written)
		return
	}
	outcome := d.o.Dialer.Dial(ctx, s.Call, func(at time.Time) {
		d.bridged(s.Call.ID)
		connect := task.Connect(at)
		d.o.Recorder.Record(connect, func(taken bool) {
			if taken {
				*task = connect.Task
			}
		})
	})
	if outcome.Cut == CutFenced {
		written(false)
		return
	}
	// The end owes what a bridge that was not recorded would have told.
	now := d.o.Now()
	d.o.Recorder.RecordLater(s.Call.ID, func() Transition { return task.End(outcome, now) }, written)
}

// done forgets a call whose result is written.
func (d *Dispatcher) done(id CallID) {
	d.mu.Lock()
	call := d.calls[id]
	delete(d.calls, id)
	if call != nil && call.told != 0 {
		d.over[id] = true
	}
	d.mu.Unlock()
	if call != nil && call.cancel != nil {
		call.cancel(nil)
	}
	d.Wake()
}

func (d *Dispatcher) has(id CallID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.calls[id]
	return ok
}

func (d *Dispatcher) bridged(id CallID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if call := d.calls[id]; call != nil {
		call.bridged = true
	}
}

func (d *Dispatcher) ids() []CallID {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]CallID, 0, len(d.calls))
	for id := range d.calls {
		ids = append(ids, id)
	}
	return ids
}

// cut ends a call that is under way, and reports whether it is.
func (d *Dispatcher) cut(id CallID, why Cut) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	call, ok := d.calls[id]
	if ok && call.cancel != nil && (why != CutFenced || !call.bridged) {
		call.cancel(CutError{why})
	}
	return ok
}

// Cut ends the calls under way, all for the same reason. What another node
// owns now (CutFenced) is hung up only if nobody talks on it yet.
func (d *Dispatcher) Cut(why Cut) {
	for _, id := range d.ids() {
		d.cut(id, why)
	}
}

// Drain waits until no call is under way and every result is recorded, or
// until ctx ends; it reports whether it got there.
func (d *Dispatcher) Drain(ctx context.Context) bool {
	idle := make(chan struct{})
	go func() {
		d.workers.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}
