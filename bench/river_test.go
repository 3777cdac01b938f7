package bench

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"ringback/store/storetest"
)

// riverBatch is how many jobs one InsertMany takes.
const riverBatch = 1000

// taskJob stands for a task.
type taskJob struct {
	N int `json:"n"`
}

// Kind names the job for River.
func (taskJob) Kind() string { return "task" }

// eventJob stands for an event, with a body of the usual size.
type eventJob struct {
	URL  string `json:"url"`
	Body string `json:"body"`
}

// Kind names the job for River.
func (eventJob) Kind() string { return "event" }

// How a task's job tells its three events.
type telling int

const (
	tellNothing  telling = iota
	tellTogether         // one transaction that inserts all three
	tellEach             // a transaction for each, when it becomes true
)

// peer is a River client on a database of its own.
type peer struct {
	url    string
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	tasks  atomic.Int64
	events atomic.Int64
	tells  telling
	seen   *lateJobs // nil: nobody asks
}

type taskWorker struct {
	river.WorkerDefaults[taskJob]
	*peer
}

// Work is a task without a call.
func (w taskWorker) Work(ctx context.Context, job *river.Job[taskJob]) error {
	if w.seen != nil {
		w.seen.started(job)
	}
	w.tasks.Add(1)
	switch w.tells {
	case tellTogether:
		return w.tell(ctx, job, 3)
	case tellEach:
		return errors.Join(w.tell(ctx, job, 1), w.tell(ctx, job, 1), w.tell(ctx, job, 1))
	case tellNothing:
	}
	return nil
}

// tell inserts n events in one transaction. (That it does not end the job too
// is a favour: JobCompleteTx doubles what a job costs, River's own batches of
// ends are far cheaper.)
func (p *peer) tell(ctx context.Context, job *river.Job[taskJob], n int) error {
	events := make([]river.InsertManyParams, n)
	for i := range events {
		events[i].Args = eventJob{URL: eventURL(job.Args.N), Body: eventBody}
	}
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := p.client.InsertManyFastTx(ctx, tx, events)
		return err
	})
}

type eventWorker struct {
	river.WorkerDefaults[eventJob]
	*peer
}

// Work is a delivery that costs nothing.
func (w eventWorker) Work(context.Context, *river.Job[eventJob]) error {
	w.events.Add(1)
	return nil
}

// eventBody is as long as ringback's own event of the same task.
var eventBody = strings.Repeat("x", 520)

func newPeer(b *testing.B, tells telling) *peer {
	b.Helper()
	ctx := b.Context()
	p := &peer{url: storetest.PostgresURL(b), tells: tells}
	cfg, err := pgxpool.ParseConfig(p.url)
	check(b, err)
	cfg.MaxConns = 16 // as many as ringback's pool
	p.pool, err = pgxpool.NewWithConfig(ctx, cfg)
	check(b, err)
	b.Cleanup(p.pool.Close)
	driver := riverpgxv5.New(p.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet()})
	check(b, err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	check(b, err)
	workers := river.NewWorkers()
	river.AddWorker(workers, taskWorker{peer: p})
	river.AddWorker(workers, eventWorker{peer: p})
	p.client, err = river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		JobTimeout:        -1,
		Workers:           workers,
		Logger:            quiet(),
	})
	check(b, err)
	return p
}

// insert adds n jobs in batches.
func (p *peer) insert(b *testing.B, n int) {
	b.Helper()
	for from := 0; from < n; from += riverBatch {
		batch := make([]river.InsertManyParams, min(riverBatch, n-from))
		for i := range batch {
			batch[i].Args = taskJob{N: from + i}
		}
		_, err := p.client.InsertMany(b.Context(), batch)
		check(b, err)
	}
}

// drainRiver works n jobs off.
func drainRiver(tells telling) side {
	return func(b *testing.B) result {
		p, n := newPeer(b, tells), *amount
		p.insert(b, n)
		_, err := p.pool.Exec(b.Context(), "VACUUM ANALYZE")
		check(b, err)
		events := 0
		if tells != tellNothing {
			events = 3 * n
		}
		done := timed(b, p.url, n, false, func() {
			check(b, p.client.Start(b.Context()))
			until(b, "the end of River's drain", func() bool {
				return p.tasks.Load() >= int64(n) && p.events.Load() >= int64(events) &&
					!p.holds(b, "SELECT EXISTS (SELECT 1 FROM river_job WHERE state <> 'completed')")
			})
		})
		check(b, p.client.Stop(context.WithoutCancel(b.Context())))
		if got := p.count(b); got != n+events {
			b.Fatalf("River worked %d jobs, not %d", got, n+events)
		}
		return done
	}
}

func (p *peer) holds(b *testing.B, question string) (yes bool) {
	b.Helper()
	check(b, p.pool.QueryRow(b.Context(), question).Scan(&yes))
	return yes
}

func (p *peer) count(b *testing.B) (n int) {
	b.Helper()
	check(b, p.pool.QueryRow(b.Context(), "SELECT count(*) FROM river_job WHERE state = 'completed'").Scan(&n))
	return n
}

// insertRiver adds jobs, a batch a statement.
func insertRiver(b *testing.B) result {
	p := newPeer(b, tellNothing)
	p.insert(b, riverBatch) // warm
	return timed(b, p.url, *amount, false, func() { p.insert(b, *amount) })
}
