package store_test

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// world is a store with one client, its extension, and one queue that is on.
type world struct {
	*testing.T
	s     *store.Store
	cl    scheduler.Client
	ext   scheduler.Extension
	queue scheduler.Queue
	now   time.Time
}

// lease is longer than any test.
const lease = time.Hour

func newWorld(t *testing.T, s *store.Store, limit int) *world {
	t.Helper()
	cl := storetest.Client(t, s)
	return &world{
		T: t, s: s, cl: cl, ext: storetest.Extension(t, s, cl), queue: storetest.Queue(t, s, cl, limit),
		now: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// each runs a test in a world of each database.
func each(t *testing.T, limit int, test func(w *world)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) { test(newWorld(t, s, limit)) })
}

func (w *world) join(node string) scheduler.Owner {
	w.Helper()
	owner, _, held, err := w.s.Join(context.Background(), node, w.now, lease)
	if err != nil || held {
		w.Fatalf("join %s: held %v, %v", node, held, err)
	}
	return owner
}

// draft is a task that is due at now plus late, with a retry left.
func (w *world) draft(due time.Duration) scheduler.Task {
	at := w.now.Add(due)
	return scheduler.Task{
		ExtensionID: w.ext.ID, ANumber: "+390612345678", ANumberE164: "+390612345678", BNumber: "101",
		TryCount: 2, TryPause: 60, TryPauseCaller: 60, StartAt: at, ReadyAt: at, Status: scheduler.Scheduled,
		CreatedAt: w.now, UpdatedAt: w.now,
	}
}

func (w *world) add(tasks ...scheduler.Task) []scheduler.Task {
	w.Helper()
	added, err := w.s.AddTasks(context.Background(), w.cl.ID, w.queue.ID, tasks)
	if err != nil {
		w.Fatalf("add tasks: %v", err)
	}
	return added
}

// addDue adds n tasks that are due now.
func (w *world) addDue(n int) []scheduler.Task {
	w.Helper()
	tasks := make([]scheduler.Task, n)
	for i := range tasks {
		tasks[i] = w.draft(0)
	}
	return w.add(tasks...)
}

func (w *world) claim(owner scheduler.Owner, room int) scheduler.Claimed {
	w.Helper()
	claimed, err := w.s.Claim(context.Background(), owner, w.now, room)
	if err != nil {
		w.Fatalf("claim: %v", err)
	}
	return claimed
}

// apply writes transitions and returns how many were taken.
func (w *world) apply(owner scheduler.Owner, trs ...scheduler.Transition) int {
	w.Helper()
	taken, err := w.s.Apply(context.Background(), owner, trs)
	if err != nil {
		w.Fatalf("apply: %v", err)
	}
	n := 0
	for _, ok := range taken {
		if ok {
			n++
		}
	}
	return n
}

func (w *world) task(id scheduler.TaskID) scheduler.Task {
	w.Helper()
	task, err := w.s.Task(context.Background(), w.cl.ID, w.queue.ID, id)
	if err != nil {
		w.Fatalf("read task: %v", err)
	}
	return task
}

func (w *world) runtime() scheduler.Runtime {
	w.Helper()
	r, _, err := w.s.QueueState(context.Background(), w.cl.ID, w.queue.ID)
	if err != nil {
		w.Fatalf("read runtime: %v", err)
	}
	return r
}

// busy is an attempt whose A was busy.
func (w *world) busy() scheduler.Outcome {
	return scheduler.Outcome{EndedAt: w.now, Legs: []scheduler.Leg{{
		Role: scheduler.LegA, Try: 1, Number: "+390612345678", StartedAt: w.now, EndedAt: w.now,
		Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, By: scheduler.ByPeer,
	}}}
}

// connected is an attempt whose A and B talked.
func (w *world) connected() scheduler.Outcome {
	leg := func(role scheduler.Role) scheduler.Leg {
		return scheduler.Leg{
			Role: role, Try: 1, StartedAt: w.now, AnsweredAt: w.now, EndedAt: w.now, Disposition: scheduler.Answered, Q850: 16,
		}
	}
	return scheduler.Outcome{
		BridgedAt: w.now, EndedAt: w.now, Legs: []scheduler.Leg{leg(scheduler.LegA), leg(scheduler.LegB)},
	}
}
