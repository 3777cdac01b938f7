package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestAddTasks(t *testing.T) {
	each(t, 1, func(w *world) {
		woken := 0
		w.s.OnTasks(func() { woken++ })
		tasks := make([]scheduler.Task, 100)
		for i := range tasks {
			tasks[i] = w.draft(time.Duration(i) * time.Second)
			tasks[i].Name = strings.Repeat("x", i)
			tasks[i].Variables = map[string]string{"n": "größer"}
		}
		added := w.add(tasks...)
		for i, task := range added {
			if i > 0 && task.ID <= added[i-1].ID {
				w.Fatalf("id %d follows %d", task.ID, added[i-1].ID)
			}
			row := w.task(task.ID)
			if row.Name != tasks[i].Name || row.Variables["n"] != "größer" || !row.StartAt.Equal(tasks[i].StartAt) {
				w.Fatalf("row %d reads %+v", i, row)
			}
		}
		if woken != 1 {
			w.Errorf("woken %d times, want once", woken)
		}
		if wake := w.runtime().WakeAt; !wake.Equal(w.now) {
			w.Errorf("the queue wakes at %s, want %s", wake, w.now)
		}
	})
}

// The most that one request may bring, with everything a task can have.
func TestAddTasksTakesTheLargestBatch(t *testing.T) {
	each(t, 1, func(w *world) {
		tasks := make([]scheduler.Task, scheduler.MaxBatch)
		for i := range tasks {
			task := w.draft(0)
			task.ExternalID = fmt.Sprintf("order-%d", len(tasks)-i)
			task.Variables = map[string]string{"customer": strings.Repeat("x", 100)}
			task.URLBefore, task.URLAfter = "https://example.com/before", "https://example.com/after"
			tasks[i] = task
		}
		added := w.add(tasks...)
		if first, last := added[0], w.task(added[len(added)-1].ID); last.ID <= first.ID || last.ExternalID != "order-1" {
			w.Errorf("the last is %d %q, the first %d", last.ID, last.ExternalID, first.ID)
		}
	})
}

func TestAddTasksIsAllOrNone(t *testing.T) {
	each(t, 1, func(w *world) {
		bad := w.draft(0)
		bad.ExtensionID = 999
		_, err := w.s.AddTasks(context.Background(), w.cl.ID, w.queue.ID, []scheduler.Task{w.draft(0), bad})
		if err == nil {
			w.Fatal("a task of an extension that is not there was stored")
		}
		if list, err := w.s.Tasks(context.Background(), w.cl.ID, w.queue.ID, scheduler.TaskFilter{}, scheduler.Page{Size: 9}); err != nil || list.Total != 0 {
			w.Errorf("%d tasks are stored: %v", list.Total, err)
		}
	})
}

func TestExternalIDs(t *testing.T) {
	each(t, 1, func(w *world) {
		named := w.draft(0)
		named.ExternalID = "order-7"
		first := w.add(named)[0]
		_, err := w.s.AddTasks(context.Background(), w.cl.ID, w.queue.ID, []scheduler.Task{w.draft(0), named})
		if scheduler.KindOf(err) != scheduler.Conflict || !strings.Contains(err.Error(), "Tasks[1].ExternalID") {
			w.Fatalf("the same external id again: %v", err)
		}
		if _, err := w.s.Tidy(context.Background(), w.now.Add(40*24*time.Hour)); err != nil {
			w.Fatal(err)
		}
		if _, err := w.s.AddTasks(context.Background(), w.cl.ID, w.queue.ID, []scheduler.Task{named}); scheduler.KindOf(err) != scheduler.Conflict {
			w.Fatalf("a live task lost its external id with age: %v", err)
		}
		if err := w.s.CancelTask(context.Background(), w.cl.ID, w.queue.ID, first.ID, false, w.now); err != nil {
			w.Fatal(err)
		}
		if _, err := w.s.Tidy(context.Background(), w.now.Add(31*24*time.Hour)); err != nil {
			w.Fatal(err)
		}
		w.add(named)
	})
}

func TestTidyEndsWhatIsPastItsDeadlineInAQueueThatIsOff(t *testing.T) {
	each(t, 1, func(w *world) {
		doomed := w.draft(0)
		doomed.Deadline = w.now.Add(time.Minute)
		added := w.add(doomed, w.draft(0))
		off := func(q *scheduler.Queue) error { q.On = false; return nil }
		if _, err := w.s.UpdateQueue(context.Background(), w.cl.ID, w.queue.ID, off); err != nil {
			w.Fatal(err)
		}
		if n, err := w.s.Tidy(context.Background(), w.now); err != nil || n != 0 {
			w.Fatalf("%d tasks ended before their deadline: %v", n, err)
		}
		if n, err := w.s.Tidy(context.Background(), w.now.Add(time.Minute)); err != nil || n != 1 {
			w.Fatalf("%d tasks ended at the deadline: %v", n, err)
		}
		if row := w.task(added[0].ID); row.Comment != scheduler.CommentExpired {
			w.Errorf("the task is %s %q", row.Status, row.Comment)
		}
		if row := w.task(added[1].ID); row.Status != scheduler.Scheduled {
			w.Errorf("the other task is %s", row.Status)
		}
	})
}

func TestASecondProcessOnTheSameFileIsRefused(t *testing.T) {
	url := storetest.SQLiteURL(t)
	storetest.Open(t, url)
	_, err := store.Open(context.Background(), store.Options{URL: url, Secret: storetest.SecretKey()})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("opened twice: %v", err)
	}
}
