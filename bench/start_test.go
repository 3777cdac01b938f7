package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// How late starts are that are due 200 a second, beside River's of jobs that
// are as many.
func BenchmarkStart(b *testing.B) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s\n            starts        p50        p99       most\n", b.Name())
	for _, who := range []struct {
		name string
		run  func(*testing.B) []time.Duration
	}{{"ringback", startRingback}, {"river", startRiver}} {
		b.Run(who.name, func(b *testing.B) {
			late := who.run(b)
			slices.Sort(late)
			at := func(p float64) time.Duration { return late[int(p*float64(len(late)-1))].Round(10 * time.Microsecond) }
			fmt.Fprintf(&table, "%10s   %6d   %8s   %8s   %8s\n", who.name, len(late), at(0.5), at(0.99), at(1))
			b.ReportMetric(float64(at(0.5).Microseconds()), "p50-µs")
			b.ReportMetric(float64(at(0.99).Microseconds()), "p99-µs")
		})
	}
	fmt.Print(table.String())
}

// starts is how many are measured.
const starts = int(lateFor/time.Second) * latePerSecond

func startRingback(b *testing.B) []time.Duration {
	url := storetest.PostgresURL(b)
	s := storetest.Open(b, url)
	c := storetest.Client(b, s)
	e, q := storetest.Extension(b, s, c), storetest.Queue(b, s, c, latePerSecond) // a second's worth: what is late is not for want of slots
	query(b, url, "VACUUM ANALYZE")
	n := newNode(b, s, &scheduler.Clock{}, noCall{})
	stop := n.run(context.WithoutCancel(b.Context()))
	first, tasks := time.Now().UTC().Add(2*time.Second), make([]scheduler.Task, starts)
	for i := range tasks {
		tasks[i] = storetest.Task(e, first.Add(time.Duration(i)*time.Second/latePerSecond))
	}
	_, err := s.AddTasks(b.Context(), c.ID, q.ID, tasks)
	check(b, err)
	until(b, "the last start", func() bool { return n.seen.finished.Load() >= int64(starts) })
	stop()
	return n.seen.late
}

// lateJobs are how late the jobs of a worker were.
type lateJobs struct {
	mu   sync.Mutex
	late []time.Duration
}

// started notes a job.
func (l *lateJobs) started(job *river.Job[taskJob]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = append(l.late, time.Since(job.ScheduledAt))
}

// startRiver makes its jobs available before they are due, which spares them
// River's own scheduler: that looks once in five seconds.
func startRiver(b *testing.B) []time.Duration {
	p := newPeer(b, tellNothing)
	seen := &lateJobs{}
	p.seen = seen
	check(b, p.client.Start(b.Context()))
	first, jobs := time.Now().UTC().Add(2*time.Second), make([]river.InsertManyParams, starts)
	for i := range jobs {
		jobs[i].Args = taskJob{N: i}
		jobs[i].InsertOpts = &river.InsertOpts{ScheduledAt: first.Add(time.Duration(i) * time.Second / latePerSecond)}
	}
	_, err := p.client.InsertMany(b.Context(), jobs)
	check(b, err)
	_, err = p.pool.Exec(b.Context(), "UPDATE river_job SET state = 'available' WHERE state = 'scheduled'")
	check(b, err)
	until(b, "the last job", func() bool { return p.tasks.Load() >= int64(starts) })
	check(b, p.client.Stop(context.WithoutCancel(b.Context())))
	return seen.late
}
