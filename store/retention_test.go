package store_test

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// What is over is forgotten after its time, in more than one batch, and what
// is not over, or is younger, stays.
func TestForget(t *testing.T) {
	each(t, 0, func(w *world) {
		const many = 2300
		ctx, owner := context.Background(), w.join("n1")
		day := 24 * time.Hour
		keep := scheduler.Keep{Finished: 10 * day, Calls: 20 * day}
		draft := w.draft(0)
		draft.URLAfter = "https://r.example/after"
		tasks := make([]scheduler.Task, many)
		for i := range tasks {
			tasks[i] = draft
		}
		must(w.T, w.s.Follow(ctx, w.cl.ID, w.queue.ID))
		w.add(w.draft(100 * day)) // the oldest one, which waits
		w.add(tasks...)
		for range 5 {
			var trs []scheduler.Transition
			for _, s := range w.claim(owner, 500).Started {
				trs = append(trs, s.Transition.Task.End(w.connected(), w.now))
			}
			w.apply(owner, trs...)
		}
		must(w.T, store.Exec(w.s, "UPDATE deliveries SET state = 'delivered', ended_at = ?, created_at = ?", w.now, w.now))
		must(w.T, store.Exec(w.s, "INSERT INTO delivery_tries (delivery_id, number, at, took_us) SELECT id, 1, ?, 1 FROM deliveries", w.now))
		must(w.T, store.Exec(w.s, "UPDATE deliveries SET state = 'dead' WHERE id % 2 = 0"))
		w.done(w.bulk(scheduler.Bulk{Action: scheduler.BulkRunNow, Filter: scheduler.TaskFilter{Name: "nobody's"}}))
		_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { q.On = false; return nil })
		must(w.T, err)

		const half = many / 2
		for _, step := range []struct {
			after                                           time.Duration
			tasks, calls, deliveries, tries, changes, bulks int
		}{
			{day - time.Hour, many + 1, many, many, many, -1, 1},
			{6 * day, many + 1, many, many, many, 1, 1}, // the hold alone
			{8 * day, many + 1, many, half, half, 1, 1},
			{11 * day, 1, many, half, half, 0, 1},
			{21 * day, 1, 0, half, half, 0, 1},
			{31 * day, 1, 0, 0, 0, 0, 0},
		} {
			now := time.Now().Add(step.after)
			_, err := w.s.Tidy(ctx, now)
			must(w.T, err)
			must(w.T, w.s.Forget(ctx, now, keep))
			for table, want := range map[string]int{
				"tasks": step.tasks, "attempts": step.calls, "deliveries": step.deliveries, "delivery_tries": step.tries,
				"queue_changes": step.changes, "bulk_jobs": step.bulks,
			} {
				if n := store.Count(w.s, table); n != want && want >= 0 {
					w.Errorf("after %s there are %d %s, want %d", step.after, n, table, want)
				}
			}
		}
		if n := store.Count(w.s, "task_steps"); n != 0 {
			w.Errorf("%d steps of tasks that are forgotten", n)
		}
		if r := w.runtime(); r.Running != 0 {
			w.Errorf("%d run", r.Running)
		}
	})
}

// A client's history is forgotten up to a time, in more than one batch, in all of
// its queues; what is not over, ended later, or is another client's stays.
func TestPurgeHistory(t *testing.T) {
	each(t, 0, func(w *world) {
		const many = 1100
		ctx, owner, began := context.Background(), w.join("n1"), w.now
		other, second := newWorld(w.T, w.s, 0), *w
		second.queue = storetest.Queue(w.T, w.s, w.cl, 0)
		end := func(w *world, n int) {
			w.addDue(n)
			for n > 0 {
				var trs []scheduler.Transition
				for _, s := range w.claim(owner, 500).Started {
					trs = append(trs, s.Transition.Task.End(w.connected(), w.now))
				}
				n -= w.apply(owner, trs...)
			}
		}
		end(w, many)
		end(&second, 1)
		end(other, 2)
		// Begun before and not over before: a call that goes on, one that ends later.
		w.addDue(2)
		under := w.claim(owner, 2).Started
		w.add(w.draft(100 * time.Hour)) // and a task that waits
		w.now = began.Add(48 * time.Hour)
		w.apply(owner, under[0].Transition.Task.End(w.connected(), w.now))
		end(w, 3)

		for _, step := range []struct {
			before            time.Duration
			calls, tasks      int // forgotten
			mine, left, other int // calls that stay, tasks, calls of the other client
		}{
			{-time.Second, 0, 0, many + 6, many + 7, 2},
			{24 * time.Hour, many + 1, many + 1, 5, 6, 2},
			{24 * time.Hour, 0, 0, 5, 6, 2},
			{72 * time.Hour, 4, 4, 1, 2, 2},
		} {
			calls, tasks, err := w.s.PurgeHistory(ctx, w.cl.ID, began.Add(step.before))
			if err != nil || calls != step.calls || tasks != step.tasks {
				w.Errorf("up to %s %d calls and %d tasks were forgotten, want %d and %d; %v", step.before, calls, tasks, step.calls, step.tasks, err)
			}
			left := 0
			for _, q := range []scheduler.QueueID{w.queue.ID, second.queue.ID} {
				rows, err := store.TasksOf(w.s, q)
				must(w.T, err)
				left += len(rows)
			}
			mine, err := w.s.Calls(ctx, w.cl.ID, scheduler.CallFilter{}, firstPage)
			must(w.T, err)
			others, err := w.s.Calls(ctx, other.cl.ID, scheduler.CallFilter{}, firstPage)
			must(w.T, err)
			if mine.Total != step.mine || left != step.left || others.Total != step.other {
				w.Errorf("up to %s there are %d calls and %d tasks left, and %d calls of the other client, want %d, %d and %d",
					step.before, mine.Total, left, others.Total, step.mine, step.left, step.other)
			}
		}
		if rows, err := store.TasksOf(w.s, other.queue.ID); err != nil || len(rows) != 2 {
			w.Errorf("of the other client %d tasks are left, %v", len(rows), err)
		}
	})
}
