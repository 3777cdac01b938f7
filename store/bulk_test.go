package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// bulk adds an action on the world's queue.
func (w *world) bulk(b scheduler.Bulk) scheduler.Bulk {
	w.Helper()
	b.ClientID, b.QueueID = w.cl.ID, w.queue.ID
	b, err := w.s.AddBulk(context.Background(), b)
	must(w.T, err)
	return b
}

// done works until an action has ended.
func (w *world) done(b scheduler.Bulk) scheduler.Bulk {
	w.Helper()
	for b.State == scheduler.BulkRunning {
		var err error
		b, err = w.s.WorkBulk(context.Background(), b.ID)
		must(w.T, err)
	}
	return b
}

// finished adds n tasks that are finished.
func (w *world) finished(owner scheduler.Owner, n int) {
	w.Helper()
	w.addDue(n)
	for _, s := range w.claim(owner, n).Started {
		w.apply(owner, s.Transition.Task.End(w.connected(), w.now))
	}
}

func TestBulkActions(t *testing.T) {
	for claim, c := range map[string]struct {
		bulk scheduler.Bulk
		want map[scheduler.Status]int // of 3 waiting, 2 far, 2 executed, 2 finished
		n    int
	}{
		"cancel ends what waits":                {scheduler.Bulk{Action: scheduler.BulkCancel}, map[scheduler.Status]int{"executed": 2, "finished": 7}, 5},
		"and asks for what is executed":         {scheduler.Bulk{Action: scheduler.BulkCancel, HangUp: true}, map[scheduler.Status]int{"executed": 2, "finished": 7}, 7},
		"run_now makes due what is not":         {scheduler.Bulk{Action: scheduler.BulkRunNow}, map[scheduler.Status]int{"scheduled": 5, "executed": 2, "finished": 2}, 2},
		"requeue asks again for what is over":   {scheduler.Bulk{Action: scheduler.BulkRequeue}, map[scheduler.Status]int{"scheduled": 7, "executed": 2, "finished": 2}, 2},
		"a filter selects by what a task shows": {scheduler.Bulk{Action: scheduler.BulkCancel, Filter: scheduler.TaskFilter{Statuses: []scheduler.Status{scheduler.DelayedConcurrent}}}, map[scheduler.Status]int{"scheduled": 2, "executed": 2, "finished": 5}, 3},
	} {
		t.Run(claim, func(t *testing.T) {
			each(t, 2, func(w *world) {
				ctx, owner := context.Background(), w.join("n1")
				w.finished(owner, 2)
				w.addDue(5)
				w.claim(owner, 2)
				w.add(w.draft(time.Hour), w.draft(time.Hour))
				b := c.bulk
				b.ClientID, b.QueueID = w.cl.ID, w.queue.ID
				before, err := store.TasksOf(w.s, w.queue.ID)
				must(w.T, err)
				dry, err := w.s.PreviewBulk(ctx, b)
				if after, e := store.TasksOf(w.s, w.queue.ID); err != nil || e != nil || len(after) != len(before) {
					w.Fatalf("a preview changes: %v, %v", err, e)
				}
				seq := w.runtime().Changes
				got := w.done(w.bulk(b))
				if got.State != scheduler.BulkDone || got.Changed != c.n || dry.Eligible != c.n || got.Matched != dry.Matched {
					w.Errorf("it ended as %+v, and the preview says %+v", got, dry)
				}
				counts, asked, due := map[scheduler.Status]int{}, 0, 0
				rows, err := store.TasksOf(w.s, w.queue.ID)
				must(w.T, err)
				for _, task := range rows {
					counts[task.Status]++
					if task.CancelRequested {
						asked++
					}
					if task.Status == scheduler.Scheduled && !task.ReadyAt.After(time.Now()) {
						due++
					}
				}
				for _, status := range []scheduler.Status{"scheduled", "executed", "finished"} {
					if counts[status] != c.want[status] {
						w.Errorf("the tasks are %v", counts)
					}
				}
				if (asked == 2) != b.HangUp || b.Action == scheduler.BulkRunNow && due != 5 {
					w.Errorf("%d are asked to end, %d are due", asked, due)
				}
				if c.n > 0 && w.runtime().Changes == seq {
					w.Error("nobody who listens is told")
				}
				if n := w.claim(owner, 9).Started; len(n) != 0 {
					w.Errorf("%d start beyond the limit", len(n))
				}
			})
		})
	}
}

// Moved tasks start where they are now; an external id goes with its task, and
// one that is taken there keeps its task here.
func TestBulkMove(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx, owner, here := context.Background(), w.join("n1"), w.queue
		there := storetest.Queue(w.T, w.s, w.cl, 0)
		named := func(id string) scheduler.Task {
			task := w.draft(0)
			task.ExternalID = id
			return task
		}
		w.queue = there
		w.add(named("taken"))
		w.queue = here
		w.add(named("free"), named("taken"), w.draft(0))
		b := w.done(w.bulk(scheduler.Bulk{Action: scheduler.BulkMove, Target: there.ID}))
		if b.Changed != 2 || b.Matched != 3 {
			w.Errorf("it ended as %+v", b)
		}
		w.queue = there
		if _, err := w.s.AddTasks(ctx, w.cl.ID, there.ID, []scheduler.Task{named("free")}); scheduler.KindOf(err) != scheduler.Conflict {
			w.Errorf("the external id did not move: %v", err)
		}
		for _, s := range w.claim(owner, 9).Started {
			w.apply(owner, s.Transition.Task.End(w.connected(), w.now))
		}
		for id, n := range map[scheduler.QueueID]int{here.ID: 1, there.ID: 3} {
			rows, err := store.TasksOf(w.s, id)
			if err != nil || len(rows) != n || slices.ContainsFunc(rows, func(t scheduler.Task) bool { return t.Status != scheduler.Finished }) {
				w.Errorf("queue %d has %d tasks, some not finished: %v", id, len(rows), err)
			}
		}
		w.queue = here
		b = w.bulk(scheduler.Bulk{Action: scheduler.BulkMove, Target: there.ID})
		must(w.T, w.s.DeleteQueue(ctx, w.cl.ID, there.ID, true, w.now))
		if b = w.done(b); b.State != scheduler.BulkFailed || b.Error == "" {
			w.Errorf("to a deleted queue it ends as %+v", b)
		}
	})
}

// Several nodes work on one action at once, and some of them give up: every
// task is done once.
func TestBulkIsDoneOnce(t *testing.T) {
	each(t, 0, func(w *world) {
		const n = 3*scheduler.BulkSlice + 7
		w.addDue(n)
		must(w.T, store.Exec(w.s, "UPDATE tasks SET status = 'finished', result = 'success', ready_at = NULL"))
		w.bulk(scheduler.Bulk{Action: scheduler.BulkRequeue})
		var nodes sync.WaitGroup
		for i := range 3 {
			nodes.Go(func() {
				for more := true; more; {
					ctx, cut := context.WithCancel(context.Background())
					if i == 0 {
						cut()
					}
					var err error
					if more, err = w.s.WorkBulks(ctx); err != nil && ctx.Err() == nil {
						w.Error(err)
					}
					cut()
				}
			})
		}
		nodes.Wait()
		for more := true; more; { // what a node had locked when the others looked
			var err error
			more, err = w.s.WorkBulks(context.Background())
			must(w.T, err)
		}
		rows, err := store.TasksOf(w.s, w.queue.ID)
		must(w.T, err)
		again := map[scheduler.TaskID]int{}
		for _, task := range rows {
			if task.RequeuedFrom != 0 {
				again[task.RequeuedFrom]++
			}
		}
		if len(rows) != 2*n || len(again) != n {
			w.Errorf("%d tasks, %d of them asked again", len(rows), len(again))
		}
	})
}
