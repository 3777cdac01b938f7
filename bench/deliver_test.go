package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// receivers take events on real sockets, on the same cores.
type receivers struct {
	taken   atomic.Int64
	server  *http.Server
	port    int
	serving sync.WaitGroup
}

func newReceivers(b *testing.B) *receivers {
	b.Helper()
	r := &receivers{}
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp4", "0.0.0.0:0")
	check(b, err)
	r.port = l.Addr().(*net.TCPAddr).Port
	r.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.taken.Add(1)
		w.WriteHeader(http.StatusNoContent)
	})}
	r.serving.Go(func() { _ = r.server.Serve(l) })
	b.Cleanup(func() { r.server.Close(); r.serving.Wait() })
	return r
}

// deliver sends three events of each of -tasks tasks to a hundred receivers, by
// nothing but a notifier.
func deliver(b *testing.B, sqlite bool) {
	r, url := newReceivers(b), emptyDatabase(b, sqlite)
	s := storetest.Open(b, url)
	c := storetest.Client(b, s)
	e, q := storetest.Extension(b, s, c), storetest.Queue(b, s, c, 0)
	owner, _, _, err := s.Join(b.Context(), "bench", time.Now(), time.Hour)
	check(b, err)
	events := 0
	for batch := range *amount / 500 {
		tasks := slices.Repeat([]scheduler.Task{storetest.Task(e, time.Now().UTC().Add(-time.Minute))}, 500)
		for i := range tasks {
			hook := fmt.Sprintf("http://127.0.1.%d:%d/", 1+(batch+i)%origins, r.port)
			tasks[i].URLBefore, tasks[i].URLSuccess, tasks[i].URLAfter = hook, hook, hook
		}
		_, err := s.AddTasks(b.Context(), c.ID, q.ID, tasks)
		check(b, err)
		var ends []scheduler.Transition
		for len(ends) < len(tasks) {
			claimed, err := s.Claim(b.Context(), owner, time.Now(), 500)
			check(b, err)
			for _, started := range claimed.Started {
				ends = append(ends, started.Transition.Task.End(talked(time.Now()), time.Now()))
			}
		}
		_, err = s.Apply(b.Context(), owner, ends)
		check(b, err)
		events += 3 * len(tasks)
	}
	if !sqlite {
		query(b, url, "VACUUM ANALYZE")
	}
	seen := &counts{}
	n := webhooks.New(webhooks.Options{
		Outbox: s, Log: quiet(), Observer: seen, Guard: webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	var running sync.WaitGroup
	done := timed(b, url, events, true, func() {
		running.Go(func() { n.Run(ctx) })
		until(b, "the last delivery", func() bool { return seen.delivered.Load() >= int64(events) })
	})
	stop()
	running.Wait()
	b.ReportMetric(done.rate, "deliveries/s")
	b.ReportMetric(done.cost, "µs-CPU/delivery")
}

// talked is a call that A and B answered.
func talked(now time.Time) scheduler.Outcome {
	leg := scheduler.Leg{
		Role: scheduler.LegA, Try: 1, StartedAt: now, AnsweredAt: now, EndedAt: now, Disposition: scheduler.Answered, Q850: scheduler.CauseNormalClearing,
	}
	b := leg
	b.Role = scheduler.LegB
	return scheduler.Outcome{Legs: []scheduler.Leg{leg, b}, BridgedAt: now, EndedAt: now}
}

func BenchmarkDeliverSQLite(b *testing.B)   { deliver(b, true) }
func BenchmarkDeliverPostgres(b *testing.B) { deliver(b, false) }
