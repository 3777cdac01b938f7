package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// The queues of a drain: a thousand, of ten calls at one time each.
const (
	queueCount = 1000
	queueLimit = 10
	origins    = 100 // receivers of events
)

// load is what a drain has to do.
type load struct {
	sqlite   bool
	answered bool // calls are answered, and so written three times: start, bridged, end
	events   bool // before, success and after, each to a URL
}

// node is a whole node without a carrier and without receivers.
type node struct {
	store      *store.Store
	dispatcher *scheduler.Dispatcher
	recorder   *scheduler.Recorder
	notifier   *webhooks.Notifier
	seen       *counts
}

// counts are the node's observers.
type counts struct {
	finished, delivered atomic.Int64

	mu   sync.Mutex
	late []time.Duration // of every start
}

// Claimed keeps how late each start was.
func (c *counts) Claimed(_ int, _ time.Duration, late []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, late...)
}

// Wrote counts tasks whose end is stored.
func (c *counts) Wrote(tr scheduler.Transition) {
	if tr.Task.Status == scheduler.Finished {
		c.finished.Add(1)
	}
}

// Tried counts events that arrived.
func (c *counts) Tried(_ scheduler.EventKind, state scheduler.DeliveryState, _ webhooks.Try) {
	if state == scheduler.DeliveryDelivered {
		c.delivered.Add(1)
	}
}

// Overtook is not counted.
func (*counts) Overtook(int) {}

// Turned is not counted.
func (*counts) Turned(webhooks.DestinationState) {}

// noCall ends every call at once: answered by both sides, or busy.
type noCall struct{ answered bool }

// Room is without end.
func (noCall) Room() int { return 1 << 20 }

// Dial signals nothing and says what a real call would have said.
func (d noCall) Dial(_ context.Context, c scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
	now := time.Now()
	a := scheduler.Leg{Role: scheduler.LegA, Try: 1, Number: c.A[0].Dial(), StartedAt: now, EndedAt: now}
	if !d.answered {
		a.Disposition, a.Q850, a.By = scheduler.UserBusy, scheduler.CauseUserBusy, scheduler.ByPeer
		return scheduler.Outcome{Legs: []scheduler.Leg{a}, EndedAt: now}
	}
	a.Disposition, a.Q850, a.AnsweredAt = scheduler.Answered, scheduler.CauseNormalClearing, now
	legB := a
	legB.Role, legB.Number, legB.By = scheduler.LegB, c.B.Dial(), scheduler.ByPeer
	bridged(now)
	return scheduler.Outcome{Legs: []scheduler.Leg{a, legB}, BridgedAt: now, EndedAt: now}
}

// noReceiver takes every event.
type noReceiver struct{}

// RoundTrip answers 204 without a network.
func (noReceiver) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusNoContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(nil)), Request: r,
	}, nil
}

// eventURL is where the n-th task's events go.
func eventURL(n int) string { return fmt.Sprintf("https://receiver-%d.example.com/events", n%origins) }

func newNode(b *testing.B, s *store.Store, clock *scheduler.Clock, dial scheduler.Dialer) *node {
	b.Helper()
	n := &node{store: s, seen: &counts{}}
	log, lease := quiet(), scheduler.NewLease()
	n.recorder = scheduler.NewRecorder(scheduler.RecorderOptions{
		Results: s, Lease: lease, Now: clock.Now, Log: log,
	})
	n.dispatcher = scheduler.NewDispatcher(scheduler.DispatcherOptions{
		Tasks: s, Callbacks: s, Recorder: n.recorder, Dialer: dial, Lease: lease, Workers: 2000, Now: clock.Now,
		Stray: 2 * store.StatementTimeout, Log: log, Observer: n.seen,
	})
	s.OnTransition(n.seen.Wrote)
	n.notifier = webhooks.New(webhooks.Options{Outbox: s, Now: clock.Now, Log: log, Observer: n.seen, Transport: noReceiver{}})
	s.OnTasks(n.dispatcher.Wake)
	s.OnEvents(n.notifier.Wake)
	leader := scheduler.NewNode(scheduler.NodeOptions{
		Name: "bench", Length: 5 * time.Minute, Nodes: s, Lease: lease, Clock: clock, Time: s.Time,
		Left: func(left []scheduler.Task) { n.dispatcher.Recover(left) }, Log: log,
	})
	_, err := leader.Join(b.Context())
	check(b, err)
	return n
}

// run starts the node's loops and returns what stops them.
func (n *node) run(ctx context.Context) (stop func()) {
	starting, noMore := context.WithCancel(ctx)
	var starters, writers sync.WaitGroup
	starters.Go(func() { n.dispatcher.Run(starting) })
	starters.Go(func() { n.notifier.Run(starting) })
	writers.Go(func() { n.recorder.Run(ctx) })
	return func() {
		noMore()
		starters.Wait()
		n.dispatcher.Drain(ctx)
		n.recorder.Close()
		writers.Wait()
	}
}

// fill stores due tasks, spread over the queues in batches.
func fill(b *testing.B, s *store.Store, tasks int, l load) {
	b.Helper()
	c := storetest.Client(b, s)
	e := storetest.Extension(b, s, c)
	due := time.Now().UTC().Add(-time.Minute)
	for i := range queueCount {
		q := storetest.Queue(b, s, c, queueLimit)
		task := storetest.Task(e, due)
		if l.events {
			url := eventURL(i)
			task.URLBefore, task.URLSuccess, task.URLAfter = url, url, url
		}
		batch := slices.Repeat([]scheduler.Task{task}, (tasks+i)/queueCount)
		_, err := s.AddTasks(b.Context(), c.ID, q.ID, batch)
		check(b, err)
	}
}

func emptyDatabase(b *testing.B, sqlite bool) string {
	b.Helper()
	if sqlite {
		return storetest.SQLiteURL(b)
	}
	return storetest.PostgresURL(b)
}

// drainRingback finishes every task and delivers every event.
func drainRingback(l load) side {
	return func(b *testing.B) result {
		ctx, tasks, url := b.Context(), *amount, emptyDatabase(b, l.sqlite)
		s := storetest.Open(b, url)
		fill(b, s, tasks, l)
		question := ""
		if !l.sqlite {
			query(b, url, "VACUUM ANALYZE")
			question = "SELECT EXISTS (SELECT 1 FROM tasks WHERE status <> 'finished')"
		}
		n := newNode(b, s, &scheduler.Clock{}, noCall{l.answered})
		events := 0
		if l.events {
			events = 3 * tasks
			question = strings.Replace(question, ")", " UNION ALL SELECT 1 FROM deliveries WHERE state <> 'delivered')", 1)
		}
		var stop func()
		done := timed(b, url, tasks, true, func() {
			stop = n.run(context.WithoutCancel(ctx))
			until(b, "the end of ringback's drain", func() bool {
				return n.seen.finished.Load() >= int64(tasks) && n.seen.delivered.Load() >= int64(events) &&
					(question == "" || !query(b, url, question))
			})
		})
		stop()
		return done
	}
}

// query asks a yes or no question of a PostgreSQL database.
func query(b *testing.B, url, question string) (yes bool) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	check(b, err)
	defer conn.Close(b.Context())
	rows, err := conn.Query(b.Context(), question)
	check(b, err)
	for rows.Next() {
		check(b, rows.Scan(&yes))
	}
	check(b, rows.Err())
	return yes
}

// insertRingback adds tasks, a batch a transaction, to one queue.
func insertRingback(sqlite bool) side {
	return func(b *testing.B) result {
		url := emptyDatabase(b, sqlite)
		s := storetest.Open(b, url)
		c := storetest.Client(b, s)
		e, q := storetest.Extension(b, s, c), storetest.Queue(b, s, c, queueLimit)
		batch := slices.Repeat([]scheduler.Task{storetest.Task(e, time.Now().UTC())}, riverBatch)
		insert := func(n int) {
			for range n / riverBatch {
				_, err := s.AddTasks(b.Context(), c.ID, q.ID, batch)
				check(b, err)
			}
		}
		insert(riverBatch) // warm
		return timed(b, url, *amount, true, func() { insert(*amount) })
	}
}
