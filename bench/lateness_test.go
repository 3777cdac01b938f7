package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// What stands in the way of a healthy queue, and what that queue has to do.
const (
	blockedQueues = 200
	blockedTasks  = 100_000
	latePerSecond = 200
	lateFor       = 10 * time.Second
)

const (
	storeOnPostgres = false
	storeOnSQLite   = true
)

// stuck never ends the calls of some queues, which fills these, and every other
// call at once.
type stuck struct {
	noCall
	queues map[scheduler.QueueID]bool
}

// Dial waits in a queue that is to be full.
func (d stuck) Dial(ctx context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
	if d.queues[c.Queue] {
		<-ctx.Done()
	}
	return d.noCall.Dial(ctx, c, bridged)
}

// lateness measures the healthy queue alone, then beside the blocked ones.
func lateness(b *testing.B, sqlite bool) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s\n  blocked tasks   starts        p50        p99       most   µs CPU a start\n", b.Name())
	for _, blocked := range []int{0, blockedTasks} {
		b.Run(fmt.Sprintf("blocked=%d", blocked), func(b *testing.B) {
			late, cost := runLate(b, sqlite, blocked)
			at := func(p float64) time.Duration { return late[int(p*float64(len(late)-1))].Round(10 * time.Microsecond) }
			fmt.Fprintf(&table, "%15d   %6d   %8s   %8s   %8s   %14.0f\n", blocked, len(late), at(0.5), at(0.99), at(1), cost)
			b.ReportMetric(float64(at(0.99).Microseconds()), "p99-µs")
		})
	}
	fmt.Print(table.String())
}

// runLate returns how late the starts were, in their order of lateness, and what
// one cost in processor microseconds.
func runLate(b *testing.B, sqlite bool, blocked int) ([]time.Duration, float64) {
	url := emptyDatabase(b, sqlite)
	s := storetest.Open(b, url)
	c := storetest.Client(b, s)
	e := storetest.Extension(b, s, c)
	d := stuck{queues: map[scheduler.QueueID]bool{}}
	for i := range min(blocked, blockedQueues) {
		d.queues[block(b, s, c, e, i)] = i%4 == 3
	}
	n := newNode(b, s, &scheduler.Clock{}, d)
	if !sqlite {
		query(b, url, "VACUUM ANALYZE")
	}
	ctx, hangUp := context.WithCancel(context.WithoutCancel(b.Context()))
	defer hangUp()
	stop := n.run(ctx)
	// The full queues fill themselves, and the brakes open.
	filled := func() bool {
		n.seen.mu.Lock()
		defer n.seen.mu.Unlock()
		return len(n.seen.late) >= min(blocked, blockedQueues)/2
	}
	until(b, "the start of what blocks its queue", filled)
	time.Sleep(2 * time.Second)
	n.seen.mu.Lock()
	n.seen.late = nil
	n.seen.mu.Unlock()

	count := int(lateFor.Seconds()) * latePerSecond
	other := storetest.Client(b, s)
	healthy, ext := storetest.Queue(b, s, other, 0), storetest.Extension(b, s, other)
	first := time.Now().UTC().Add(5 * time.Second) // storing them takes its time
	tasks := make([]scheduler.Task, count)
	for i := range tasks {
		tasks[i] = storetest.Task(ext, first.Add(time.Duration(i)*time.Second/latePerSecond))
	}
	_, err := s.AddTasks(b.Context(), other.ID, healthy.ID, tasks)
	check(b, err)
	finished := n.seen.finished.Load()
	cost := timed(b, url, count, true, func() {
		until(b, "the end of the healthy queue", func() bool { return n.seen.finished.Load()-finished >= int64(count) })
	}).cost
	n.seen.mu.Lock()
	late := slices.Sorted(slices.Values(n.seen.late))
	n.seen.mu.Unlock()
	n.dispatcher.Cut(scheduler.CutShutdown)
	stop()
	if len(late) != count {
		b.Fatalf("%d started of %d", len(late), count)
	}
	return late, cost
}

// block makes a queue full of due tasks that may not start: it is off, its
// window is closed, its brake opens with its first call, or its first call fills
// it.
func block(b *testing.B, s *store.Store, c scheduler.Client, e scheduler.Extension, i int) scheduler.QueueID {
	now := time.Now().UTC()
	q := scheduler.Queue{ClientID: c.ID, Name: "blocked", On: i%4 != 0, Limit: 1, Brake: scheduler.DefaultBrake, CreatedAt: now}
	switch i % 4 {
	case 1:
		in, err := s.AddInterval(b.Context(), scheduler.Interval{ClientID: c.ID, Name: "later", TimeZone: "UTC", CreatedAt: now,
			Conditions: []scheduler.Condition{{Start: scheduler.WallTime(now.Add(time.Hour).Unix()), End: scheduler.WallTime(now.Add(2 * time.Hour).Unix())}}})
		check(b, err)
		q.IntervalID = &in.ID
	case 2:
		q.Brake = scheduler.BrakeSettings{MinPercent: 100, Basis: scheduler.BasisASR, Window: 3600, MinAttempts: 1, Pause: scheduler.MaxBrakePause}
	}
	q, err := s.AddQueue(b.Context(), q)
	check(b, err)
	task := storetest.Task(e, now.Add(-time.Minute))
	_, err = s.AddTasks(b.Context(), c.ID, q.ID, slices.Repeat([]scheduler.Task{task}, blockedTasks/blockedQueues))
	check(b, err)
	return q.ID
}
