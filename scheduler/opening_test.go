package scheduler_test

import (
	"testing"
	"time"

	"ringback/scheduler"
)

// A node waits through the hour that does not exist and starts what waits when
// the window opens by the clock on the wall, in order, no more than the limit.
func TestAWindowOpensAfterTheClockSpringsForward(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	night := time.Date(2000, time.March, 26, 1, 50, 0, 0, rome)
	inRig(t, rigOptions{dial: talk(time.Minute), limit: 2, begin: night}, func(r *rig) {
		i, err := r.s.AddInterval(r.Context(), scheduler.Interval{
			ClientID: r.cl.ID, Name: "early", TimeZone: "Europe/Rome", CreatedAt: r.clock.Now(),
			Conditions: []scheduler.Condition{{StartTime: 3 * 3600, EndTime: 18 * 3600}},
		})
		if err != nil {
			r.Fatal(err)
		}
		_, err = r.s.UpdateQueue(r.Context(), r.cl.ID, r.queue.ID, func(q *scheduler.Queue) error {
			q.IntervalID = &i.ID
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
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
