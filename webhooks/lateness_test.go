package webhooks_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// carrier ends every call at once, both sides having talked, and notes when it
// began.
type carrier struct {
	mu    sync.Mutex
	began []time.Time
}

func (c *carrier) Claimed(int, time.Duration, []time.Duration) {}

func (c *carrier) Room() int { return 1000 }

func (c *carrier) Dial(_ context.Context, _ scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
	now := time.Now()
	c.mu.Lock()
	c.began = append(c.began, now)
	c.mu.Unlock()
	bridged(now)
	leg := func(role scheduler.Role) scheduler.Leg {
		return scheduler.Leg{Role: role, Try: 1, StartedAt: now, AnsweredAt: now, EndedAt: now, Disposition: scheduler.Answered, Q850: 16}
	}
	return scheduler.Outcome{BridgedAt: now, EndedAt: now, Legs: []scheduler.Leg{leg(scheduler.LegA), leg(scheduler.LegB)}}
}

// latest starts tasks by a whole dispatcher, ten a second for a minute, each with
// three events to receivers, and returns how late the latest call began.
func latest(t *testing.T, url string, answer func(*rig)) (late time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		const seconds, each = 60, 10
		r := newRig(t, storetest.Open(t, url))
		answer(r)
		n, stop := r.run()
		r.s.OnEvents(n.Wake)
		lease, calls := scheduler.NewLease(), &carrier{}
		clock := &scheduler.Clock{}
		recorder := scheduler.NewRecorder(scheduler.RecorderOptions{Results: r.s, Lease: lease, Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
		d := scheduler.NewDispatcher(scheduler.DispatcherOptions{
			Tasks: r.s, Recorder: recorder, Dialer: calls, Lease: lease, Workers: 1000, Now: clock.Now, Stray: time.Minute, Log: slog.New(slog.DiscardHandler),
			Observer: calls,
		})
		r.s.OnTasks(d.Wake)
		node := scheduler.NewNode(scheduler.NodeOptions{
			Name: "caller", Length: time.Hour, Nodes: r.s, Lease: lease, Clock: clock, Time: r.s.Time,
			Left: func(left []scheduler.Task) { d.Recover(left) }, Log: slog.New(slog.DiscardHandler),
		})
		if _, err := node.Join(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running, writing sync.WaitGroup
		running.Go(func() { d.Run(ctx) })
		writing.Go(func() { recorder.Run(t.Context()) })
		began := time.Now().Add(time.Second)
		var tasks []scheduler.Task
		for i := range seconds * each {
			task := storetest.Task(r.ext, began.Add(time.Duration(i/each)*time.Second))
			task.URLBefore, task.URLSuccess, task.URLAfter = hook, hook, other
			tasks = append(tasks, task)
		}
		if _, err := r.s.AddTasks(t.Context(), r.cl.ID, r.queue.ID, tasks); err != nil {
			t.Fatal(err)
		}
		<-time.After((seconds + 10) * time.Second)
		cancel()
		running.Wait()
		d.Drain(t.Context())
		recorder.Close()
		writing.Wait()
		stop()
		if len(calls.began) != len(tasks) {
			t.Fatalf("%d of %d calls began", len(calls.began), len(tasks))
		}
		for i, at := range calls.began {
			late = max(late, at.Sub(began.Add(time.Duration(i/each)*time.Second)))
		}
	})
	return late
}

// No call waits for a receiver.
func TestNoCallWaitsForAReceiver(t *testing.T) {
	both(t, func(t *testing.T, empty func(testing.TB) string) {
		well := latest(t, empty(t), func(*rig) {})
		ill := latest(t, empty(t), func(r *rig) { r.net.answer = hang })
		t.Logf("calls begin %v late at most while every receiver is well, %v while all of them hang", well, ill)
		if ill > well+100*time.Millisecond {
			t.Errorf("calls begin %v late while every receiver hangs, %v else", ill, well)
		}
	})
}
