package store_test

import (
	"context"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// Whatever lets something start is told at once to this node, and to every
// other one.
func TestWhatMayStartIsToldToEveryNode(t *testing.T) {
	url := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, url), 1)
	other := storetest.Open(t, url)
	here, there, marks := make(chan struct{}, 99), make(chan struct{}, 99), make(chan scheduler.CallID)
	w.s.OnTasks(func() { here <- struct{}{} })
	other.OnHangUp(func(id scheduler.CallID) { marks <- id })
	quiet := func() { // what was told before has arrived
		must(t, store.Exec(w.s, "SELECT pg_notify(?, 'mark')", store.WakeChannel))
		<-marks
		for len(here)+len(there) > 0 {
			select {
			case <-here:
			case <-there:
			}
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- other.Listen(ctx, func() { there <- struct{}{} }) }()
	defer func() {
		stop()
		must(t, <-done)
	}()
	<-there // it listens
	owner := w.join("n1")
	set := func(change func(q *scheduler.Queue)) func() {
		return func() {
			_, err := w.s.UpdateQueue(ctx, w.cl.ID, w.queue.ID, func(q *scheduler.Queue) error { change(q); return nil })
			must(t, err)
		}
	}
	var up scheduler.Task
	look := func() {
		if started := w.claim(owner, 1).Started; len(started) > 0 {
			up = started[0].Transition.Task
		}
	}
	window, later := w.window(false), w.window(true)
	for _, step := range []struct {
		claim   string
		prepare func() // what nobody is told of, and a claim that obeys it
		do      func()
	}{
		{"a task", func() {}, func() { w.addDue(1) }},
		{"the end of a call", func() { look(); w.addDue(9) }, func() { w.apply(owner, up.End(w.busy(), w.now)) }},
		{"a higher limit", look, set(func(q *scheduler.Queue) { q.Limit = 2 })},
		{"no limit", look, set(func(q *scheduler.Queue) { q.Limit = 0 })},
		{"on", set(func(q *scheduler.Queue) { q.On = false }), set(func(q *scheduler.Queue) { q.On = true })},
		{"no start rate", func() { set(func(q *scheduler.Queue) { q.StartRate = 0.001 })(); look() }, set(func(q *scheduler.Queue) { q.StartRate = 0 })},
		{"no window", func() { set(func(q *scheduler.Queue) { q.IntervalID = window })(); look() }, set(func(q *scheduler.Queue) { q.IntervalID = nil })},
		{"another window", func() { set(func(q *scheduler.Queue) { q.IntervalID = window })(); look() }, set(func(q *scheduler.Queue) { q.IntervalID = later })},
		{"a window that is opened", func() { set(func(q *scheduler.Queue) { q.IntervalID = window })(); look() }, func() {
			_, err := w.s.UpdateInterval(ctx, w.cl.ID, *window, func(i *scheduler.Interval) error {
				i.Conditions = w.conditions(true)
				return nil
			})
			must(t, err)
		}},
		{"a brake that is reset", func() {
			w.setBrake(scheduler.BrakeSettings{MinPercent: 100, Basis: scheduler.BasisNER, Window: 600, MinAttempts: 1, Pause: 300})
			look()
			w.apply(owner, up.End(w.congested(), w.now))
		}, func() { must(t, w.s.ResetBrake(ctx, w.cl.ID, w.queue.ID)) }},
	} {
		step.prepare()
		quiet()
		step.do()
		for whose, told := range map[string]chan struct{}{"this node": here, "the other node": there} {
			select {
			case <-told:
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: %s is not told", step.claim, whose)
			}
		}
	}
}
