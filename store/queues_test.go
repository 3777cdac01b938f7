package store_test

import (
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestQueues(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c, now := storetest.Client(t, s), moment()
		made, err := s.AddQueue(t.Context(), scheduler.Queue{ID: 77, ClientID: c.ID, Name: "n", Comment: "c", Limit: 3, CreatedAt: now})
		must(t, err)
		want := scheduler.Queue{ID: made.ID, ClientID: c.ID, Name: "n", Comment: "c", Limit: 3, CreatedAt: now}
		stored := func() scheduler.Queue {
			t.Helper()
			got, err := s.Queue(t.Context(), c.ID, made.ID)
			must(t, err)
			return got
		}
		if made.ID == 77 || made != want || stored() != want {
			t.Fatalf("made %+v, stored %+v, want %+v", made, stored(), want)
		}
		t.Run("a change is kept, zero values too, and the rest of the row stays", func(t *testing.T) {
			got, err := s.UpdateQueue(t.Context(), c.ID, made.ID, func(q *scheduler.Queue) error {
				q.Name, q.Comment, q.On, q.Limit = "new", "", true, 0
				q.ID, q.ClientID, q.CreatedAt, q.DeletedAt = 5, "other", time.Time{}, now
				return nil
			})
			want.Name, want.Comment, want.On, want.Limit = "new", "", true, 0
			if err != nil || got != want || stored() != want {
				t.Errorf("answered %+v, %v; stored %+v; want %+v", got, err, stored(), want)
			}
		})
		t.Run("a change that is refused changes nothing", func(t *testing.T) {
			refused := errors.New("refused")
			_, err := s.UpdateQueue(t.Context(), c.ID, made.ID, func(q *scheduler.Queue) error {
				q.Name = "worse"
				return refused
			})
			if !errors.Is(err, refused) || stored() != want {
				t.Errorf("%v; stored %+v", err, stored())
			}
		})
		t.Run("lists are by id and leave out what is deleted", func(t *testing.T) {
			second, third := storetest.Queue(t, s, c, 0), storetest.Queue(t, s, c, 0)
			must(t, s.DeleteQueue(t.Context(), c.ID, second.ID, false, now))
			list, err := s.Queues(t.Context(), c.ID, scheduler.Page{Number: 1, Size: 5, Descending: true})
			got := ids(list.Rows, func(q scheduler.Queue) scheduler.QueueID { return q.ID })
			if err != nil || list.Total != 2 || !slices.Equal(got, []scheduler.QueueID{third.ID, made.ID}) {
				t.Errorf("got %v of %d, %v", got, list.Total, err)
			}
		})
	})
}

func TestQueueSettingsMoveItsWake(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 2)
		n.add(t, s, now, now, now)
		owner, started := startDue(t, s, now)
		if len(started) != 2 {
			t.Fatalf("%d were started", len(started))
		}
		var woken atomic.Int32
		s.OnTasks(func() { woken.Add(1) })
		for _, step := range []struct {
			claim string
			do    func(q *scheduler.Queue)
			wake  time.Time
			wakes bool
		}{
			{"a full queue sleeps", func(*scheduler.Queue) {}, time.Time{}, false},
			{"a higher limit wakes it", func(q *scheduler.Queue) { q.Limit = 3 }, now, true},
			{"a lower limit puts it to sleep", func(q *scheduler.Queue) { q.Limit = 1 }, time.Time{}, false},
			{"no limit wakes it", func(q *scheduler.Queue) { q.Limit = 0 }, now, true},
			{"off puts it to sleep", func(q *scheduler.Queue) { q.On = false }, time.Time{}, false},
			{"on wakes it", func(q *scheduler.Queue) { q.On = true }, now, true},
			{"a name does not", func(q *scheduler.Queue) { q.Name = "new" }, now, false},
		} {
			before := woken.Load()
			_, err := s.UpdateQueue(t.Context(), n.ID, n.queue.ID, func(q *scheduler.Queue) error { step.do(q); return nil })
			must(t, err)
			r := n.runtime(t, s)
			if !r.WakeAt.Equal(step.wake) || r.Running != 2 || (woken.Load() > before) != step.wakes {
				t.Errorf("%s: wake at %v, want %v; running %d; told %v", step.claim, r.WakeAt, step.wake, r.Running, woken.Load() > before)
			}
		}
		finish(t, s, owner, started, now)
		if r := n.runtime(t, s); r.Running != 0 {
			t.Errorf("%d slots did not come back", r.Running)
		}
	})
}

func TestQueueState(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment().Add(-time.Minute)
		n := newTenant(t, s, 2)
		n.add(t, s, now, now, now, now, now.Add(time.Hour))
		_, started := startDue(t, s, now)
		if len(started) != 2 {
			t.Fatalf("%d were started", len(started))
		}
		must(t, s.CancelTask(t.Context(), n.ID, n.queue.ID, started[0].Transition.Task.ID+2, false, now))
		counts := func() map[scheduler.Status]int {
			_, counts, err := s.QueueState(t.Context(), n.ID, n.queue.ID)
			must(t, err)
			return counts
		}
		want := map[scheduler.Status]int{scheduler.Executed: 2, scheduler.DelayedConcurrent: 1, scheduler.Scheduled: 1, scheduler.Finished: 1}
		if got := counts(); !maps.Equal(got, want) {
			t.Errorf("full: got %v, want %v", got, want)
		}
		_, err := s.UpdateQueue(t.Context(), n.ID, n.queue.ID, func(q *scheduler.Queue) error { q.Limit = 0; return nil })
		must(t, err)
		want = map[scheduler.Status]int{scheduler.Executed: 2, scheduler.Scheduled: 2, scheduler.Finished: 1}
		if got := counts(); !maps.Equal(got, want) {
			t.Errorf("not full: got %v, want %v", got, want)
		}
	})
}

func TestDeleteQueue(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 1)
		busy, idle := storetest.Task(n.ext, now), storetest.Task(n.ext, now.Add(time.Hour))
		busy.TryCount, idle.URLAfter = 5, "https://example.com/after"
		n.addTasks(t, s, busy, idle)
		owner, started := startDue(t, s, now)
		wantKind(t, "while a call is up", s.DeleteQueue(t.Context(), n.ID, n.queue.ID, false, now), scheduler.Conflict)
		if _, err := s.Queue(t.Context(), n.ID, n.queue.ID); err != nil {
			t.Errorf("a refused deletion deleted: %v", err)
		}
		must(t, s.DeleteQueue(t.Context(), n.ID, n.queue.ID, true, now))
		_, err := s.Queue(t.Context(), n.ID, n.queue.ID)
		wantKind(t, "a deleted queue", err, scheduler.NotFound)
		_, err = s.Task(t.Context(), n.ID, n.queue.ID, started[0].Transition.Task.ID)
		wantKind(t, "a task of a deleted queue", err, scheduler.NotFound)
		wantKind(t, "again", s.DeleteQueue(t.Context(), n.ID, n.queue.ID, true, now), scheduler.NotFound)
		_, err = s.AddTasks(t.Context(), n.ID, n.queue.ID, []scheduler.Task{idle})
		wantKind(t, "a new task", err, scheduler.NotFound)
		left, err := store.TasksOf(s, n.queue.ID)
		must(t, err)
		if left[0].Status != scheduler.Executed || left[1].Status != scheduler.Finished || left[1].Comment != scheduler.CommentCancelled || left[1].EventSeq != 1 {
			t.Errorf("after the deletion: %+v", left)
		}
		t.Run("what its last call sends back to wait is cancelled", func(t *testing.T) {
			tr := started[0].Transition.Task.Lose(now)
			if _, err := s.Apply(t.Context(), owner, []scheduler.Transition{tr}); err != nil || tr.Task.Status != scheduler.Delayed {
				t.Fatalf("%v, %v", tr.Task.Status, err)
			}
			for _, want := range []int{1, 0} {
				if n, err := s.Tidy(t.Context(), now); err != nil || n != want {
					t.Errorf("%d were cancelled, %v, want %d", n, err, want)
				}
			}
			left, err := store.TasksOf(s, n.queue.ID)
			must(t, err)
			if left[0].Status != scheduler.Finished || left[0].Comment != scheduler.CommentCancelled {
				t.Errorf("it is %+v", left[0])
			}
		})
	})
}

func TestDeleteQueueCancelsInBatches(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		n := newTenant(t, s, 1)
		n.add(t, s, slices.Repeat([]time.Time{now}, 2001)...)
		must(t, s.DeleteQueue(t.Context(), n.ID, n.queue.ID, false, now))
		left, err := store.TasksOf(s, n.queue.ID)
		must(t, err)
		for _, task := range left {
			if task.Status != scheduler.Finished {
				t.Fatalf("task %d is %s", task.ID, task.Status)
			}
		}
	})
}
