package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestTaskIsReadAsItWasAdded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 0)
		task := storetest.Task(n.ext, now)
		task.Name, task.ExternalID, task.Deadline = "name", "ext", now.Add(time.Hour)
		task.URLBefore, task.URLBeforeAgain, task.URLSuccess, task.URLAfter = "http://a/1", "http://a/2", "http://a/3", "http://a/4"
		task.Params = scheduler.Params{CallerIDName: "Ada", ExtendedA: []scheduler.Number{{Given: "101"}}, AttemptSrcANI: []string{"1", "2"}, WaitForPickup: 20}
		task.Variables = map[string]string{"k": "v"}
		want := n.addTasks(t, s, task)[0]
		if got := n.task(t, s, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v, want\n%+v", got, want)
		}
		_, err := s.Task(t.Context(), n.ID, n.queue.ID, want.ID+1)
		wantKind(t, "an unknown task", err, scheduler.NotFound)
		_, err = s.Task(t.Context(), n.ID, storetest.Queue(t, s, n.Client, 0).ID, want.ID)
		wantKind(t, "a task of another queue", err, scheduler.NotFound)
	})
}

func TestTasksFilters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment().Add(-time.Hour)
		n := newTenant(t, s, 0)
		plain := storetest.Task(n.ext, now)
		odd := plain
		odd.Name, odd.ExternalID = "odd", "ref-1"
		odd.ANumber, odd.ANumberE164 = "06 99", "+390699"
		odd.BNumber, odd.BNumberE164 = "06 88", "+390688"
		odd.CreatedAt, odd.StartAt, odd.ReadyAt = now.Add(time.Minute), now.Add(2*time.Minute), now.Add(2*time.Minute)
		tasks := n.addTasks(t, s, plain, odd, plain)
		must(t, s.CancelTask(t.Context(), n.ID, n.queue.ID, tasks[2].ID, false, now.Add(5*time.Minute)))
		p, o, c := tasks[0].ID, tasks[1].ID, tasks[2].ID
		for claim, tc := range map[string]struct {
			filter scheduler.TaskFilter
			want   []scheduler.TaskID
		}{
			"nothing selects all":           {scheduler.TaskFilter{}, []scheduler.TaskID{p, o, c}},
			"by result":                     {scheduler.TaskFilter{Result: scheduler.Failure}, []scheduler.TaskID{c}},
			"by name":                       {scheduler.TaskFilter{Name: "odd"}, []scheduler.TaskID{o}},
			"by A as given":                 {scheduler.TaskFilter{A: "06 99"}, []scheduler.TaskID{o}},
			"by A in E.164":                 {scheduler.TaskFilter{A: "+390699"}, []scheduler.TaskID{o}},
			"by B as given":                 {scheduler.TaskFilter{B: "06 88"}, []scheduler.TaskID{o}},
			"by B in E.164":                 {scheduler.TaskFilter{B: "+390688"}, []scheduler.TaskID{o}},
			"A is not B":                    {scheduler.TaskFilter{A: "06 88"}, nil},
			"by external id":                {scheduler.TaskFilter{ExternalID: "ref-1"}, []scheduler.TaskID{o}},
			"created from, inclusive":       {scheduler.TaskFilter{CreatedFrom: now.Add(time.Minute)}, []scheduler.TaskID{o}},
			"created to, exclusive":         {scheduler.TaskFilter{CreatedTo: now.Add(time.Minute)}, []scheduler.TaskID{p, c}},
			"start from, inclusive":         {scheduler.TaskFilter{StartFrom: now.Add(2 * time.Minute)}, []scheduler.TaskID{o}},
			"start to, exclusive":           {scheduler.TaskFilter{StartTo: now.Add(2 * time.Minute)}, []scheduler.TaskID{p, c}},
			"updated since, inclusive":      {scheduler.TaskFilter{UpdatedSince: now.Add(5 * time.Minute)}, []scheduler.TaskID{c}},
			"filters are joined by and":     {scheduler.TaskFilter{Name: "odd", Result: scheduler.Failure}, nil},
			"by status":                     {scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.Finished}}, []scheduler.TaskID{c}},
			"by either status":              {scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.Finished, scheduler.Scheduled}}, []scheduler.TaskID{p, o, c}},
			"by status and by name":         {scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.Scheduled, scheduler.Finished}, Name: "odd"}, []scheduler.TaskID{o}},
			"by a status nothing has":       {scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.Executed}}, nil},
			"by a derived status, not full": {scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.DelayedConcurrent}}, nil},
		} {
			list, err := s.Tasks(t.Context(), n.ID, n.queue.ID, tc.filter, firstPage)
			must(t, err)
			if got := ids(list.Rows, taskID); list.Rows == nil || list.Total != len(tc.want) || !slices.Equal(got, tc.want) {
				t.Errorf("%s: got %v of %d, want %v", claim, got, list.Total, tc.want)
			}
		}
	})
}

func TestTasksByWhatTheyShow(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment().Add(-time.Hour)
		n := newTenant(t, s, 1)
		again := storetest.Task(n.ext, now)
		again.TryCount, again.TryPause = 9, 0
		tasks := n.addTasks(t, s, again, storetest.Task(n.ext, now.Add(time.Second)), storetest.Task(n.ext, now.Add(2*time.Second)), storetest.Task(n.ext, now.Add(48*time.Hour)))
		// The first one loses an attempt and waits again, due; the second runs.
		owner, started := startDue(t, s, now)
		if _, err := s.Apply(t.Context(), owner, []scheduler.Transition{started[0].Transition.Task.Lose(now.Add(90 * time.Second))}); err != nil {
			t.Fatal(err)
		}
		startDue(t, s, now.Add(time.Second))
		show := func(statuses ...scheduler.Status) []scheduler.TaskID {
			t.Helper()
			list, err := s.Tasks(t.Context(), n.ID, n.queue.ID, scheduler.TaskFilter{Statuses: statuses}, firstPage)
			must(t, err)
			return ids(list.Rows, taskID)
		}
		a, b, c, d := tasks[0].ID, tasks[1].ID, tasks[2].ID, tasks[3].ID
		for _, step := range []struct {
			claim    string
			change   func(*scheduler.Queue)
			statuses []scheduler.Status
			want     []scheduler.TaskID
		}{
			{"what is due in a full queue is delayed by it", nil, []scheduler.Status{scheduler.DelayedConcurrent}, []scheduler.TaskID{a, c}},
			{"and is not scheduled", nil, []scheduler.Status{scheduler.Scheduled}, []scheduler.TaskID{d}},
			{"nor delayed", nil, []scheduler.Status{scheduler.Delayed}, nil},
			{"statuses are joined by or", nil, []scheduler.Status{scheduler.DelayedConcurrent, scheduler.Executed}, []scheduler.TaskID{a, b, c}},
			{"no window or brake delays here", nil, []scheduler.Status{scheduler.DelayedInterval, scheduler.DelayedASR}, nil},
			{"in a queue that is off nothing is derived", func(q *scheduler.Queue) { q.On = false }, []scheduler.Status{scheduler.DelayedConcurrent}, nil},
			{"in one with room it is as stored", func(q *scheduler.Queue) { q.On, q.Limit = true, 2 }, []scheduler.Status{scheduler.Delayed}, []scheduler.TaskID{a}},
			{"scheduled too", nil, []scheduler.Status{scheduler.Scheduled}, []scheduler.TaskID{c, d}},
		} {
			if step.change != nil {
				_, err := s.UpdateQueue(t.Context(), n.ID, n.queue.ID, func(q *scheduler.Queue) error { step.change(q); return nil })
				must(t, err)
			}
			if got := show(step.statuses...); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %v, want %v", step.claim, got, step.want)
			}
		}
	})
}

func TestTasksAreCountedToALimit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		n := newTenant(t, s, 0)
		for _, step := range []struct{ add, want int }{
			{scheduler.CountLimit, scheduler.CountLimit}, {1, scheduler.CountLimit + 1}, {10, scheduler.CountLimit + 1},
		} {
			n.add(t, s, slices.Repeat([]time.Time{moment()}, step.add)...)
			list, err := s.Tasks(t.Context(), n.ID, n.queue.ID, scheduler.TaskFilter{}, scheduler.Page{Number: 3, Size: 7})
			if err != nil || list.Total != step.want || len(list.Rows) != 7 {
				t.Errorf("got %d rows of %d, %v, want %d", len(list.Rows), list.Total, err, step.want)
			}
		}
	})
}

func TestUpdateTask(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 1)
		other := storetest.Extension(t, s, n.Client)
		stored := n.add(t, s, now.Add(time.Hour))[0]
		var woken atomic.Int32
		s.OnTasks(func() { woken.Add(1) })
		t.Run("every field that was asked may change", func(t *testing.T) {
			want := stored
			want.ExtensionID, want.Name, want.ExternalID = other.ID, "new", "ref"
			want.ANumber, want.ANumberE164, want.BNumber, want.BNumberE164 = "1", "+1", "2", "+2"
			want.TryCount, want.TryPause, want.TryCountCaller, want.TryPauseCaller = 9, 8, 7, 6
			want.URLBefore, want.URLBeforeAgain, want.URLSuccess, want.URLAfter = "http://a/1", "http://a/2", "http://a/3", "http://a/4"
			want.StartAt, want.ReadyAt, want.Deadline = now.Add(-time.Minute), now.Add(-time.Minute), now.Add(9*time.Hour)
			want.Params, want.Variables = scheduler.Params{SrcANI: "7"}, map[string]string{"x": "y"}
			got, err := s.UpdateTask(t.Context(), n.ID, n.queue.ID, stored.ID, func(task *scheduler.Task) error {
				*task = want
				task.ID, task.ClientID, task.QueueID = 99, "other", 99
				return nil
			})
			must(t, err)
			want.UpdatedAt = got.UpdatedAt
			if again := n.task(t, s, stored.ID); !reflect.DeepEqual(got, want) || !reflect.DeepEqual(again, want) {
				t.Errorf("answered\n%+v, stored\n%+v, want\n%+v", got, again, want)
			}
			if got.UpdatedAt.Before(now) {
				t.Errorf("updated at %v", got.UpdatedAt)
			}
			if r := n.runtime(t, s); !r.WakeAt.Equal(want.ReadyAt) || woken.Load() != 1 {
				t.Errorf("wakes at %v, told %d times", r.WakeAt, woken.Load())
			}
		})
		t.Run("where it stands may not", func(t *testing.T) {
			before := n.task(t, s, stored.ID)
			got, err := s.UpdateTask(t.Context(), n.ID, n.queue.ID, stored.ID, func(task *scheduler.Task) error {
				task.Status, task.Result, task.Comment, task.Attempts, task.TriesSpent = scheduler.Finished, scheduler.Success, "x", 5, 5
				task.CallID, task.Node, task.Epoch, task.CancelRequested, task.EventSeq = "call", "node", 5, true, 5
				return nil
			})
			must(t, err)
			before.UpdatedAt = got.UpdatedAt
			if !reflect.DeepEqual(got, before) {
				t.Errorf("got\n%+v, want\n%+v", got, before)
			}
		})
		t.Run("a change that is refused changes nothing", func(t *testing.T) {
			before, refused := n.task(t, s, stored.ID), errors.New("refused")
			_, err := s.UpdateTask(t.Context(), n.ID, n.queue.ID, stored.ID, func(task *scheduler.Task) error {
				task.Name = "worse"
				return refused
			})
			if after := n.task(t, s, stored.ID); !errors.Is(err, refused) || !reflect.DeepEqual(after, before) {
				t.Errorf("%v; stored %+v", err, after)
			}
		})
		t.Run("only a waiting task changes", func(t *testing.T) {
			owner, started := startDue(t, s, now)
			if len(started) != 1 {
				t.Fatalf("%d were started", len(started))
			}
			name := func(task *scheduler.Task) error { task.Name = "late"; return nil }
			_, err := s.UpdateTask(t.Context(), n.ID, n.queue.ID, stored.ID, name)
			wantKind(t, "executed", err, scheduler.Conflict)
			finish(t, s, owner, started, now)
			_, err = s.UpdateTask(t.Context(), n.ID, n.queue.ID, stored.ID, name)
			wantKind(t, "finished", err, scheduler.Conflict)
			if err == nil || err.Error() != fmt.Sprintf("task %d is finished", stored.ID) {
				t.Errorf("the conflict does not name the state: %v", err)
			}
		})
	})
}

func TestUpdateTaskMovesItsExternalID(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		n := newTenant(t, s, 0)
		named := func(id string) scheduler.Task {
			task := storetest.Task(n.ext, moment())
			task.ExternalID = id
			return task
		}
		tasks := n.addTasks(t, s, named("a"), named("b"))
		rename := func(task scheduler.Task, id string) error {
			_, err := s.UpdateTask(t.Context(), n.ID, n.queue.ID, task.ID, func(task *scheduler.Task) error { task.ExternalID = id; return nil })
			return err
		}
		wantKind(t, "another's id", rename(tasks[0], "b"), scheduler.Conflict)
		must(t, rename(tasks[0], "c"))
		must(t, rename(tasks[1], "a"))
		_, err := s.AddTasks(t.Context(), n.ID, n.queue.ID, []scheduler.Task{named("c")})
		wantKind(t, "a new task with a changed id", err, scheduler.Conflict)
		must(t, rename(tasks[0], ""))
		n.addTasks(t, s, named("b"), named("c"))
	})
}

func TestCancelTask(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 1)
		cancel := func(id scheduler.TaskID, hangup bool) error {
			return s.CancelTask(t.Context(), n.ID, n.queue.ID, id, hangup, now)
		}
		tasks := n.add(t, s, now, now.Add(time.Second), now.Add(2*time.Second), now.Add(time.Hour))
		t.Run("a waiting task finishes, and again is the same", func(t *testing.T) {
			must(t, cancel(tasks[3].ID, false))
			want := n.task(t, s, tasks[3].ID)
			if want.Status != scheduler.Finished || want.Result != scheduler.Failure || want.Comment != scheduler.CommentCancelled || !want.UpdatedAt.Equal(now) {
				t.Errorf("it is %+v", want)
			}
			must(t, cancel(tasks[3].ID, true))
			if got := n.task(t, s, tasks[3].ID); !reflect.DeepEqual(got, want) {
				t.Errorf("the second time changed it to %+v", got)
			}
		})
		t.Run("the wake follows the task that is first now", func(t *testing.T) {
			must(t, cancel(tasks[0].ID, false))
			if r := n.runtime(t, s); !r.WakeAt.Equal(tasks[1].ReadyAt) {
				t.Errorf("wakes at %v", r.WakeAt)
			}
		})
		owner, started := startDue(t, s, now.Add(time.Minute))
		if len(started) != 1 || started[0].Transition.Task.ID != tasks[1].ID {
			t.Fatalf("started %+v", started)
		}
		t.Run("an executed task is only hung up when asked", func(t *testing.T) {
			wantKind(t, "without hang-up", cancel(tasks[1].ID, false), scheduler.Conflict)
			if got := n.task(t, s, tasks[1].ID); got.CancelRequested {
				t.Error("a refused cancel asked for a hang-up")
			}
			must(t, cancel(tasks[1].ID, true))
			got := n.task(t, s, tasks[1].ID)
			if got.Status != scheduler.Executed || !got.CancelRequested || n.runtime(t, s).Running != 1 {
				t.Errorf("it is %+v", got)
			}
		})
		t.Run("a task that finished otherwise is a conflict", func(t *testing.T) {
			finish(t, s, owner, started, now.Add(time.Minute))
			owner, started = startDue(t, s, now.Add(time.Minute))
			finish(t, s, owner, started, now.Add(time.Minute))
			if got := n.task(t, s, tasks[2].ID); got.Result != scheduler.Success {
				t.Fatalf("it is %+v", got)
			}
			wantKind(t, "finished", cancel(tasks[2].ID, true), scheduler.Conflict)
		})
		wantKind(t, "unknown", cancel(tasks[3].ID+1, false), scheduler.NotFound)
	})
}
