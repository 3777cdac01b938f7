package scheduler

import (
	"context"
	"time"
)

// Callback is a call that a client asked for at once: no task waits for it,
// and no queue paces it. Its row lives as long as the call; what became of it
// is its Attempt. It is made once, whatever becomes of it.
type Callback struct {
	CallID          CallID `gorm:"primaryKey"`
	ClientID        ClientID
	ExtensionID     ExtensionID
	Node            string // its owner
	Epoch           int64
	BridgedAt       time.Time `gorm:"serializer:instant"`
	CancelRequested bool
	StartedAt       time.Time `gorm:"serializer:instant"`
}

// Callback returns the call, made at now by a node, of what was asked of a
// task that is not to be stored, and its attempt, which is live.
func (t Task) Callback(now time.Time, owner Owner) (Callback, Attempt) {
	t.CallID, t.CalledAt, t.CalledBy, t.Attempts = NewCallID(now), now, owner.Node, 1
	return Callback{
		CallID: t.CallID, ClientID: t.ClientID, ExtensionID: t.ExtensionID, Node: owner.Node, Epoch: owner.Epoch, StartedAt: now,
	}, t.attempt()
}

// begin returns a transition of the call as it stands.
func (c Callback) begin(step Step, now time.Time) Transition {
	tr := Task{
		ClientID: c.ClientID, ExtensionID: c.ExtensionID, Status: Executed,
		CallID: c.CallID, Node: c.Node, Epoch: c.Epoch, BridgedAt: c.BridgedAt,
	}.begin(step, now)
	tr.Callback = true
	tr.Attempt.CallID = c.CallID
	return tr
}

// Connect records that A and B were bridged at now.
func (c Callback) Connect(now time.Time) Transition {
	tr := c.begin(StepConnect, now)
	tr.Task.BridgedAt, tr.Attempt.BridgedAt = now, now
	return tr
}

// End records how the call went. Nothing is tried again: a call for which
// nothing was signalled is recorded, too.
func (c Callback) End(o Outcome, now time.Time) Transition {
	if o.BridgedAt.IsZero() {
		o.BridgedAt = c.BridgedAt
	}
	tr := c.begin(StepEnd, now)
	tr.Slot = -1
	tr.Attempt.close(o)
	return tr
}

// Lose records that the call's node is gone, and how the call went with it
// nobody knows.
func (c Callback) Lose(now time.Time) Transition {
	tr := c.begin(StepLose, now)
	tr.Slot = -1
	tr.Attempt.lose(c.BridgedAt, now)
	return tr
}

// Callbacks is the store, as the dispatcher needs it for calls without a task.
type Callbacks interface {
	// StartCallback stores a call that begins; Busy, naming the limit, if one of
	// its client or extension is full.
	StartCallback(ctx context.Context, owner Owner, c Callback, a Attempt) error
	// OverseeCallbacks returns the owner's calls without a task that are to be
	// hung up or are not under way, and those of owners whose epoch was raised.
	OverseeCallbacks(ctx context.Context, owner Owner, underWay []CallID) ([]Callback, error)
}

// CallNow makes a call that no task waits for, as task and ext describe it,
// and returns its id once it is stored and on its way. Over a limit of the
// node, the trunks, the client or the extension it is Busy and names the
// limit; a node that cannot call at all is a Conflict.
func (d *Dispatcher) CallNow(ctx context.Context, task Task, ext Extension) (CallID, error) {
	now := d.o.Now()
	owner := d.o.Lease.Owner()
	c, attempt := task.Callback(now, owner)
	task.CallID, task.Attempts = c.CallID, 1
	// Calls outlive the request that asked for them.
	callCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	if err := d.reserve(c.CallID, c.ClientID, cancel); err != nil {
		cancel(nil)
		return "", err
	}
	// What is committed must be known, also if nobody waits for the answer.
	if err := d.o.Callbacks.StartCallback(context.WithoutCancel(ctx), owner, c, attempt); err != nil {
		d.done(c.CallID)
		return "", err
	}
	d.workers.Go(func() { d.callNow(callCtx, c, task.Call(ext)) })
	return c.CallID, nil
}

// reserve makes a call one of those under way, if there is room for it.
func (d *Dispatcher) reserve(id CallID, client ClientID, cancel context.CancelCauseFunc) error {
	if !d.o.Lease.Valid() {
		return Errorf(Conflict, "%s: this node could not renew its lease", GateDialer)
	}
	if d.o.Dialer.Room() <= 0 {
		return Errorf(Busy, "%s: the trunks of this node take no more calls now", GateTrunkLimit)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.calls); n >= d.o.Workers {
		return Errorf(Busy, "%s: this node has %d of %d calls in progress", GateWorkers, n, d.o.Workers)
	}
	d.calls[id] = &underWay{cancel: cancel, client: client}
	return nil
}

// callNow sees a call without a task through.
func (d *Dispatcher) callNow(ctx context.Context, c Callback, call Call) {
	written := func(bool) { d.done(c.CallID) }
	if !d.o.Lease.Valid() {
		d.o.Recorder.Record(c.Lose(d.o.Now()), written)
		return
	}
	outcome := d.o.Dialer.Dial(ctx, call, func(at time.Time) {
		d.bridged(c.CallID)
		d.o.Recorder.Record(c.Connect(at), nil)
	})
	if outcome.Cut == CutFenced {
		written(false)
		return
	}
	d.o.Recorder.Record(c.End(outcome, d.o.Now()), written)
}

// overseeCallbacks hangs up what a client asked to be hung up, and records
// that calls are gone: of nodes that are, and what this one stored without
// knowing, because the answer to a commit was lost.
func (d *Dispatcher) overseeCallbacks(ctx context.Context) {
	owner := d.o.Lease.Owner()
	odd, err := d.o.Callbacks.OverseeCallbacks(ctx, owner, d.ids())
	if err != nil {
		if ctx.Err() == nil {
			d.o.Log.Error("look at calls without a task failed; the next tick tries again", "err", err)
		}
		return
	}
	now := d.o.Now()
	for _, c := range odd {
		own := Owner{c.Node, c.Epoch} == owner
		switch {
		case own && c.CancelRequested && d.cut(c.CallID, CutAPI), d.has(c.CallID):
		case own && (now.Sub(c.StartedAt) <= d.o.Stray || !d.o.Lease.Valid()):
		default:
			d.o.Log.Warn("a call without a task is lost", "call", c.CallID)
			lost := c.Lose(now)
			lost.Attempt.Simulated = d.o.Simulated
			d.settle(c.CallID, lost)
		}
	}
}
