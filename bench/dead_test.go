package bench

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// dead are the events that a destination is owed that takes none.
const dead = 1_000_000

// refusing is a receiver that is not there, but for another that is.
type refusing struct{ noReceiver }

// RoundTrip connects to the healthy one alone.
func (n refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "dead.") {
		return nil, syscall.ECONNREFUSED
	}
	return n.noReceiver.RoundTrip(r)
}

// stopwatch times claims, by the clock and by the processor time that the
// process spends meanwhile.
type stopwatch struct {
	webhooks.Outbox
	mu         sync.Mutex
	took, cost []time.Duration
}

// ClaimDeliveries is timed.
func (s *stopwatch) ClaimDeliveries(ctx context.Context, c webhooks.Claim) ([]webhooks.Work, bool, error) {
	began, spent := time.Now(), ownTime()
	work, more, err := s.Outbox.ClaimDeliveries(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took, s.cost = append(s.took, time.Since(began)), append(s.cost, ownTime()-spent)
	return work, more, err
}

// What writes events to a host, numbered from one number to another, past the store.
const (
	owingPostgres = `INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body, state, next_at, created_at)
		SELECT $1, i, 'evt_' || i, 'after', 1, 1, $2 || ':443', $2 || '/', convert_to('{"id": "' || repeat('x', 400) || '"}', 'UTF8'), 'ready', now(), now()
		FROM generate_series($3::bigint, $4) i`
	owingSQLite = `INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body, state, next_at, created_at)
		WITH RECURSIVE n (i) AS (SELECT $3 UNION ALL SELECT i + 1 FROM n WHERE i < $4)
		SELECT $1, i, 'evt_' || i, 'after', 1, 1, $2 || ':443', $2 || '/', CAST('{"id": "' || hex(zeroblob(200)) || '"}' AS BLOB), 'ready', $5, $5 FROM n`
)

// A destination that is owed a million events takes none, while a healthy one
// is sent 20 a second: what a claim takes, and how large the process is.
func deadDestination(b *testing.B, sqlite bool) {
	databaseURL := emptyDatabase(b, sqlite)
	s := storetest.Open(b, databaseURL)
	c := storetest.Client(b, s)
	e, q := storetest.Extension(b, s, c), storetest.Queue(b, s, c, 0)
	for _, host := range []string{"dead", "healthy"} {
		task := storetest.Task(e, time.Now().UTC().Add(time.Hour))
		task.URLAfter = "https://" + host + ".example.com/"
		_, err := s.AddTasks(b.Context(), c.ID, q.ID, []scheduler.Task{task})
		check(b, err)
	}
	driver, source, statement := "pgx", databaseURL, owingPostgres
	if path, ok := strings.CutPrefix(databaseURL, "sqlite://"); ok {
		driver, source, statement = "sqlite", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate", owingSQLite
	}
	db, err := sql.Open(driver, source)
	check(b, err)
	defer db.Close()
	owe := func(host string, first, n int) {
		args := []any{string(c.ID), "https://" + host + ".example.com", first, first + n - 1}
		if sqlite {
			args = append(args, time.Now().UnixMicro())
		}
		_, err := db.Exec(statement, args...)
		check(b, err)
	}
	owe("dead", 1_000_000, dead)
	if !sqlite {
		query(b, databaseURL, "VACUUM ANALYZE")
	}
	watch := &stopwatch{Outbox: s}
	seen := &counts{}
	n := webhooks.New(webhooks.Options{Outbox: watch, Log: quiet(), Observer: seen, Transport: refusing{}})
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	b.ResetTimer()
	for round := range 60 {
		owe("healthy", 10_000_000+10*round, 10)
		n.Wake()
		<-time.After(500 * time.Millisecond)
	}
	b.StopTimer()
	stop()
	running.Wait()
	slices.Sort(watch.took)
	slices.Sort(watch.cost)
	p99 := len(watch.took) * 99 / 100
	b.ReportMetric(float64(watch.took[p99].Microseconds())/1000, "ms-claim-p99")
	b.ReportMetric(float64(watch.cost[p99].Microseconds())/1000, "ms-CPU-claim-p99")
	b.ReportMetric(float64(len(watch.took)), "claims")
	b.ReportMetric(float64(seen.delivered.Load()), "delivered")
	b.ReportMetric(resident(b), "MB-resident")
}

func BenchmarkDeadDestinationSQLite(b *testing.B)   { deadDestination(b, true) }
func BenchmarkDeadDestinationPostgres(b *testing.B) { deadDestination(b, false) }

// ownTime is the processor time of this process.
func ownTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the memory of this process, in MB.
func resident(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	check(b, err)
	var size, pages int
	_, err = fmt.Sscan(string(text), &size, &pages)
	check(b, err)
	return float64(pages*os.Getpagesize()) / 1e6
}
