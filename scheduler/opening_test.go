package scheduler_test

import (
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
)

// opens gives the queue a window of times of the day, and what else is set.
func (r *rig) opens(zone string, set func(q *scheduler.Queue), times ...scheduler.Condition) {
	r.Helper()
	i, err := r.s.AddInterval(r.Context(), scheduler.Interval{
		ClientID: r.cl.ID, Name: "day", TimeZone: zone, CreatedAt: r.clock.Now(), Conditions: times,
	})
	if err != nil {
		r.Fatal(err)
	}
	_, err = r.s.UpdateQueue(r.Context(), r.cl.ID, r.queue.ID, func(q *scheduler.Queue) error {
		q.IntervalID = &i.ID
		set(q)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// A node waits through the hour that does not exist and starts what waits when
// the window opens by the clock on the wall, in order, no more than the limit.
func TestAWindowOpensAfterTheClockSpringsForward(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	night := time.Date(2000, time.March, 26, 1, 50, 0, 0, rome)
	inRig(t, rigOptions{dial: talk(time.Minute), limit: 2, begin: night}, func(r *rig) {
		r.opens("Europe/Rome", func(*scheduler.Queue) {}, scheduler.Condition{StartTime: 3 * 3600, EndTime: 18 * 3600})
		tasks := r.add(3, 1, 0)
		opens := time.Date(2000, time.March, 26, 3, 0, 0, 0, rome)
		if wait := opens.Sub(night); wait != 10*time.Minute {
			r.Fatalf("the window opens in %s", wait)
		}
		pass(time.Until(opens) - time.Second)
		for _, task := range tasks {
			if got := r.task(task.ID); got.Status != scheduler.Scheduled || got.Attempts != 0 {
				r.Fatalf("a second before the opening task %d is %s", task.ID, got.Status)
			}
		}
		pass(time.Second + 10*time.Millisecond)
		if got := r.running(); got != 2 || r.task(tasks[2].ID).Status != scheduler.Scheduled {
			r.Errorf("at the opening %d run, the last is %s", got, r.task(tasks[2].ID).Status)
		}
		pass(time.Minute)
		if got := r.task(tasks[2].ID); got.Status != scheduler.Executed {
			r.Errorf("then the last is %s", got.Status)
		}
	})
}

// What waits for an opening, a retry whose pause ended before it among it,
// starts in the order in which it was due, and one by one at the start rate.
func TestAnOpeningIsNoBurst(t *testing.T) {
	evening := time.Date(2000, time.January, 3, 17, 59, 30, 0, time.UTC)
	inRig(t, rigOptions{dial: ring(time.Second), limit: 5, begin: evening}, func(r *rig) {
		r.opens("UTC", func(q *scheduler.Queue) { q.StartRate = 10 },
			scheduler.Condition{StartTime: 9 * 3600, EndTime: 18 * 3600}, scheduler.Condition{StartTime: 18*3600 + 300, EndTime: 20 * 3600})
		again := r.add(1, 2, 0)[0] // busy, and to be tried again when the window is closed
		var order []scheduler.TaskID
		for i := range 20 {
			order = append(order, r.add(1, 1, time.Duration(60+10*(20-i))*time.Second)[0].ID)
		}
		slices.Reverse(order)
		opens := time.Date(2000, time.January, 3, 18, 5, 0, 0, time.UTC)
		pass(time.Until(opens) - time.Millisecond)
		if got := r.task(again.ID); got.Status != scheduler.Delayed || got.Attempts != 1 {
			r.Fatalf("before the opening the first is %s after %d attempts", got.Status, got.Attempts)
		}
		pass(10 * time.Second)
		calls, err := r.s.Calls(r.Context(), r.cl.ID, scheduler.CallFilter{}, scheduler.Page{Size: 50})
		if err != nil || len(calls.Rows) != 22 {
			r.Fatalf("%d calls, %v", len(calls.Rows), err)
		}
		slices.SortFunc(calls.Rows, func(a, b scheduler.Attempt) int { return a.StartedAt.Compare(b.StartedAt) })
		then := calls.Rows[1:]
		if at := then[0].StartedAt; then[0].TaskID != again.ID || at.Before(opens) || at.Sub(opens) > 10*time.Millisecond {
			r.Errorf("the first start was task %d at %s", then[0].TaskID, at)
		}
		for i := range then[1:] {
			if then[i+1].TaskID != order[i] || then[i+1].StartedAt.Sub(then[i].StartedAt) < 100*time.Millisecond {
				r.Errorf("start %d was task %d, %s after the one before", i+1, then[i+1].TaskID, then[i+1].StartedAt.Sub(then[i].StartedAt))
			}
			if i >= 4 && then[i+1].StartedAt.Sub(then[i-4].StartedAt) < time.Second {
				r.Errorf("start %d was over the limit", i+1)
			}
		}
	})
}
