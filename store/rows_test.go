package store_test

import (
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// tenant is a client with an extension and a queue.
type tenant struct {
	scheduler.Client
	ext   scheduler.Extension
	queue scheduler.Queue
}

func newTenant(t *testing.T, s *store.Store, limit int) tenant {
	t.Helper()
	c := storetest.Client(t, s)
	return tenant{Client: c, ext: storetest.Extension(t, s, c), queue: storetest.Queue(t, s, c, limit)}
}

// add stores tasks of the tenant's queue, each due at one of the times.
func (n tenant) add(t *testing.T, s *store.Store, due ...time.Time) []scheduler.Task {
	t.Helper()
	tasks := make([]scheduler.Task, len(due))
	for i, at := range due {
		tasks[i] = storetest.Task(n.ext, at)
	}
	return n.addTasks(t, s, tasks...)
}

func (n tenant) addTasks(t *testing.T, s *store.Store, tasks ...scheduler.Task) []scheduler.Task {
	t.Helper()
	added, err := s.AddTasks(t.Context(), n.ID, n.queue.ID, tasks)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func (n tenant) task(t *testing.T, s *store.Store, id scheduler.TaskID) scheduler.Task {
	t.Helper()
	task, err := s.Task(t.Context(), n.ID, n.queue.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func (n tenant) runtime(t *testing.T, s *store.Store) scheduler.Runtime {
	t.Helper()
	r, _, err := s.QueueState(t.Context(), n.ID, n.queue.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// startDue starts everything that may start at now, on a node of its own.
func startDue(t *testing.T, s *store.Store, now time.Time) (scheduler.Owner, []scheduler.Started) {
	t.Helper()
	owner, _, held, err := s.Join(t.Context(), scheduler.NewGUID(now), now, time.Hour)
	if err != nil || held {
		t.Fatalf("join: held %v, %v", held, err)
	}
	claimed, err := s.Claim(t.Context(), owner, now, scheduler.MaxStarts)
	if err != nil {
		t.Fatal(err)
	}
	return owner, claimed.Started
}

// finish ends started tasks as answered by both sides.
func finish(t *testing.T, s *store.Store, owner scheduler.Owner, started []scheduler.Started, at time.Time) {
	t.Helper()
	trs := make([]scheduler.Transition, len(started))
	for i, st := range started {
		trs[i] = st.Transition.Task.End(bridged(at), at)
	}
	taken, err := s.Apply(t.Context(), owner, trs)
	if err != nil {
		t.Fatal(err)
	}
	for i, ok := range taken {
		if !ok {
			t.Fatalf("the end of task %d was not taken", trs[i].Task.ID)
		}
	}
}

func bridged(at time.Time) scheduler.Outcome {
	leg := scheduler.Leg{Try: 1, Number: "1", StartedAt: at, AnsweredAt: at, EndedAt: at, Disposition: scheduler.Answered, Q850: 16}
	a, b := leg, leg
	a.Role, b.Role = scheduler.LegA, scheduler.LegB
	return scheduler.Outcome{Legs: []scheduler.Leg{a, b}, BridgedAt: at, EndedAt: at}
}

func wantKind(t *testing.T, what string, err error, kind scheduler.Kind) {
	t.Helper()
	if err == nil || scheduler.KindOf(err) != kind {
		t.Errorf("%s: got error %v of kind %d, want kind %d", what, err, scheduler.KindOf(err), kind)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// moment is the time, as databases keep it.
func moment() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

var firstPage = scheduler.Page{Number: 1, Size: 50}

func ids[T any, ID comparable](rows []T, id func(T) ID) []ID {
	all := make([]ID, len(rows))
	for i, row := range rows {
		all[i] = id(row)
	}
	return all
}

func taskID(t scheduler.Task) scheduler.TaskID { return t.ID }
