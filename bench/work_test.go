package bench

import (
	"context"
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// Batches of 1,000 due tasks go into 50 queues in turn while a node works them
// off, beside batches of as many jobs that are inserted and worked at once.
func BenchmarkInsertAndWork(b *testing.B) { compare(b, workRingback, workRiver) }

// workQueues are the queues of BenchmarkInsertAndWork; each has a limit that
// lets its batch be under way at once.
const workQueues = 50

func workRingback(b *testing.B) result {
	url, n := storetest.PostgresURL(b), *amount
	s := storetest.Open(b, url)
	c := storetest.Client(b, s)
	e := storetest.Extension(b, s, c)
	queues := make([]scheduler.Queue, workQueues)
	for i := range queues {
		queues[i] = storetest.Queue(b, s, c, riverBatch)
	}
	query(b, url, "VACUUM ANALYZE")
	node := newNode(b, s, &scheduler.Clock{}, noCall{})
	stop := node.run(context.WithoutCancel(b.Context()))
	done := timed(b, url, n, true, func() {
		for from := 0; from < n; from += riverBatch {
			task := storetest.Task(e, time.Now().UTC())
			_, err := s.AddTasks(b.Context(), c.ID, queues[from/riverBatch%workQueues].ID, slices.Repeat([]scheduler.Task{task}, min(riverBatch, n-from)))
			check(b, err)
		}
		until(b, "the end of ringback's work", func() bool {
			return node.seen.finished.Load() >= int64(n) && !query(b, url, "SELECT EXISTS (SELECT 1 FROM tasks WHERE status <> 'finished')")
		})
	})
	stop()
	return done
}

func workRiver(b *testing.B) result {
	p, n := newPeer(b, tellNothing), *amount
	_, err := p.pool.Exec(b.Context(), "VACUUM ANALYZE")
	check(b, err)
	check(b, p.client.Start(b.Context()))
	done := timed(b, p.url, n, false, func() {
		p.insert(b, n)
		until(b, "the end of River's work", func() bool {
			return p.tasks.Load() >= int64(n) && !p.holds(b, "SELECT EXISTS (SELECT 1 FROM river_job WHERE state <> 'completed')")
		})
	})
	check(b, p.client.Stop(context.WithoutCancel(b.Context())))
	return done
}
