package scheduler_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// rig is a node on a real store, with a dialer of the test's own: in virtual
// time on SQLite, or in real time on PostgreSQL.
type rig struct {
	*testing.T
	s     *store.Store
	cl    scheduler.Client
	ext   scheduler.Extension
	queue scheduler.Queue
	clock scheduler.Clock
	lease *scheduler.Lease
	node  *scheduler.Node
	rec   *scheduler.Recorder
	disp  *scheduler.Dispatcher
	seen  observed
	ctx   context.Context
}

// rigOptions differ from test to test.
type rigOptions struct {
	dial    func(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome
	room    func() int
	workers int
	limit   int
	results func(*store.Store) scheduler.Results
	tasks   func(*store.Store) scheduler.Tasks
	nodes   func(*store.Store) scheduler.Nodes
	adopter scheduler.Adopter
	asked   scheduler.Receivers
	// simulated says that every call is.
	simulated bool
	begin     time.Time // when the test begins; zero: when the bubble does
	node      string    // its name; "": n1
	store     *store.Store
	stray     time.Duration // zero: ten seconds
	lease     time.Duration // zero: leaseLength
	// lostAnswer loses the answers to the commits of calls without a task.
	lostAnswer bool
	progress   *progress // nil: nobody tells how far calls have come
	live       *writes
	beside     *rig // the node whose queue it works, too
}

// observed keeps what the observer was told.
type observed struct {
	mu   sync.Mutex
	late []time.Duration
	trs  []scheduler.Transition
}

func (o *observed) Claimed(_ int, _ time.Duration, late []time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.late = append(o.late, late...)
}

func (o *observed) Wrote(tr scheduler.Transition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trs = append(o.trs, tr)
}

// latest is how late the start was that was most so.
func (o *observed) latest() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Max(o.late)
}

// steps returns the steps of a task that were written.
func (o *observed) steps(id scheduler.TaskID) []scheduler.Step {
	o.mu.Lock()
	defer o.mu.Unlock()
	var steps []scheduler.Step
	for _, tr := range o.trs {
		if tr.Task.ID == id {
			steps = append(steps, tr.Step)
		}
	}
	return steps
}

type dialer struct {
	rigOptions
}

func (d dialer) Room() int {
	if d.room == nil {
		return 1 << 20
	}
	return d.room()
}

func (d dialer) Dial(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
	return d.dial(ctx, c, bridged)
}

const leaseLength = 15 * time.Second

// inRig runs a test beside a node in a bubble of virtual time.
func inRig(t *testing.T, o rigOptions, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		if !o.begin.IsZero() {
			time.Sleep(time.Until(o.begin))
		}
		o.store = storetest.Open(t, storetest.SQLiteURL(t))
		r := newRig(t, o)
		defer r.run()()
		test(r)
	})
}

// run joins and starts the node; it returns what stops it.
func (r *rig) run() (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	r.ctx = ctx
	left, err := r.node.Join(ctx)
	if err != nil {
		r.Fatal(err)
	}
	var loops, recording sync.WaitGroup
	recording.Go(func() { r.rec.Run(context.WithoutCancel(ctx)) })
	loops.Go(func() { r.node.Run(ctx) })
	loops.Go(func() { r.disp.Run(ctx) })
	loops.Go(func() { everySecond(ctx, r.disp.Tick) })
	r.disp.Recover(left)
	return func() {
		cancel()
		loops.Wait()
		r.disp.Cut(scheduler.CutShutdown)
		r.disp.Drain(context.Background())
		r.rec.Close()
		recording.Wait()
	}
}

func everySecond(ctx context.Context, do func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

func newRig(t *testing.T, o rigOptions) *rig {
	s := o.store
	r := &rig{T: t, s: s, lease: scheduler.NewLease()}
	if o.beside != nil {
		r.cl, r.ext, r.queue = o.beside.cl, o.beside.ext, o.beside.queue
	} else {
		r.cl = storetest.Client(t, s)
		r.ext, r.queue = storetest.Extension(t, s, r.cl), storetest.Queue(t, s, r.cl, o.limit)
	}
	o.workers, o.node = cmp.Or(o.workers, 1000), cmp.Or(o.node, "n1")
	o.stray, o.lease = cmp.Or(o.stray, 10*time.Second), cmp.Or(o.lease, leaseLength)
	results := scheduler.Results(s)
	if o.results != nil {
		results = o.results(s)
	}
	calls := scheduler.Callbacks(s)
	if o.lostAnswer {
		calls = lostAnswer{calls}
	}
	tasks, nodes := scheduler.Tasks(s), scheduler.Nodes(s)
	if o.tasks != nil {
		tasks = o.tasks(s)
	}
	if o.nodes != nil {
		nodes = o.nodes(s)
	}
	log := slog.New(slog.DiscardHandler)
	r.rec = scheduler.NewRecorder(scheduler.RecorderOptions{
		Results: results, Lease: r.lease, Now: r.clock.Now, Log: log,
	})
	var live scheduler.LiveCalls
	var progress scheduler.Progress
	if o.progress != nil {
		o.live.LiveCalls, live, progress = s, o.live, o.progress
	}
	r.disp = scheduler.NewDispatcher(scheduler.DispatcherOptions{
		Tasks: tasks, Callbacks: calls, Live: live, Progress: progress, Recorder: r.rec, Dialer: dialer{o}, Adopter: o.adopter, Receivers: o.asked, Simulated: o.simulated, Lease: r.lease, Workers: o.workers,
		Now: r.clock.Now, Stray: o.stray, Log: log, Observer: &r.seen,
	})
	r.node = scheduler.NewNode(scheduler.NodeOptions{
		Name: o.node, Length: o.lease, Nodes: nodes, Lease: r.lease, Clock: &r.clock, Time: s.Time, Left: func(left []scheduler.Task) { r.disp.Recover(left) }, Log: log,
	})
	s.OnTasks(r.disp.Wake)
	s.OnTransition(r.seen.Wrote)
	return r
}

// add posts n tasks that are due in a while, each with tries.
func (r *rig) add(n, tries int, due time.Duration) []scheduler.Task {
	r.Helper()
	return r.post(n, func(now time.Time, t *scheduler.Task) {
		t.TryCount, t.StartAt, t.ReadyAt = tries, now.Add(due), now.Add(due)
	})
}

// addUntil posts n tasks that are due in a while and have a deadline.
func (r *rig) addUntil(n int, due, deadline time.Duration) []scheduler.Task {
	r.Helper()
	return r.post(n, func(now time.Time, t *scheduler.Task) {
		t.StartAt, t.ReadyAt, t.Deadline = now.Add(due), now.Add(due), now.Add(deadline)
	})
}

func (r *rig) post(n int, ask func(now time.Time, t *scheduler.Task)) []scheduler.Task {
	r.Helper()
	now := r.clock.Now()
	tasks := make([]scheduler.Task, n)
	for i := range tasks {
		tasks[i] = scheduler.Task{
			ExtensionID: r.ext.ID, ANumber: "101", BNumber: "102", TryCount: 1, TryPause: 60,
			Status: scheduler.Scheduled, CreatedAt: now, UpdatedAt: now,
		}
		ask(now, &tasks[i])
	}
	added, err := r.s.AddTasks(r.Context(), r.cl.ID, r.queue.ID, tasks)
	if err != nil {
		r.Fatal(err)
	}
	return added
}

func (r *rig) task(id scheduler.TaskID) scheduler.Task {
	r.Helper()
	task, err := r.s.Task(r.Context(), r.cl.ID, r.queue.ID, id)
	if err != nil {
		r.Fatal(err)
	}
	return task
}

func (r *rig) running() int {
	r.Helper()
	state, _, err := r.s.QueueState(r.Context(), r.cl.ID, r.queue.ID)
	if err != nil {
		r.Fatal(err)
	}
	return state.Running
}

// pass lets virtual time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// outcome is the end of a call whose A ended as d, or that was bridged.
func outcome(d scheduler.Disposition) scheduler.Outcome {
	now := time.Now()
	o := scheduler.Outcome{EndedAt: now, Legs: []scheduler.Leg{{Role: scheduler.LegA, Try: 1, StartedAt: now, EndedAt: now, Disposition: d}}}
	if d == scheduler.Answered {
		o.BridgedAt, o.Legs[0].AnsweredAt = now, now
		o.Legs = append(o.Legs, o.Legs[0])
		o.Legs[1].Role = scheduler.LegB
	}
	return o
}

// talk is a call that is bridged at once and lasts until d is over or it is cut.
func talk(d time.Duration) func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
	return func(ctx context.Context, _ scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		bridged(time.Now())
		o := ring(d)(ctx, scheduler.Call{}, nil)
		connected := outcome(scheduler.Answered)
		connected.Cut = o.Cut
		return connected
	}
}

// ring is a call whose A is busy after d, or that is cut before.
func ring(d time.Duration) func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome {
	return func(ctx context.Context, _ scheduler.Call, _ func(time.Time)) scheduler.Outcome {
		select {
		case <-time.After(d):
			return outcome(scheduler.UserBusy)
		case <-ctx.Done():
			o := outcome(scheduler.Cancelled)
			if cut, ok := errors.AsType[scheduler.CutError](context.Cause(ctx)); ok {
				o.Cut = cut.Cut
			}
			return o
		}
	}
}
