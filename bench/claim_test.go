package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// What a claim costs a task, the process's and PostgreSQL's processor time, with
// 10,000 and 1,000,000 due tasks in a thousand queues, three in ten of which are
// blocked.
func BenchmarkClaimBacklog(b *testing.B) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s\n    backlog    claimed   µs a task   µs CPU a task\n", b.Name())
	var of []float64
	for _, backlog := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			n, done := claimBacklog(b, backlog)
			micros := 1e6 / done.rate
			fmt.Fprintf(&table, "%11d   %8d   %9.1f   %13.1f\n", backlog, n, micros, done.cost)
			b.ReportMetric(micros, "µs/task")
			b.ReportMetric(done.cost, "cpu-µs/task")
			of = append(of, micros, done.cost)
		})
	}
	if len(of) == 4 {
		fmt.Fprintf(&table, "      ratio              %9.2f   %13.2f\n", of[2]/of[0], of[3]/of[1])
	}
	fmt.Print(table.String())
}

// claimBacklog claims, and claims again as what it started ends, which is not
// measured.
func claimBacklog(b *testing.B, backlog int) (int, result) {
	url := storetest.PostgresURL(b)
	s := storetest.Open(b, url)
	c := storetest.Client(b, s)
	e := storetest.Extension(b, s, c)
	now := time.Now().UTC()
	in, err := s.AddInterval(b.Context(), scheduler.Interval{ClientID: c.ID, Name: "later", TimeZone: "UTC", CreatedAt: now,
		Conditions: []scheduler.Condition{{Start: scheduler.WallTime(now.Add(time.Hour).Unix()), End: scheduler.WallTime(now.Add(2 * time.Hour).Unix())}}})
	check(b, err)
	for i := range queueCount {
		q := scheduler.Queue{ClientID: c.ID, Name: "queue", On: true, Limit: queueLimit, Brake: scheduler.DefaultBrake, CreatedAt: now}
		if i%10 < 3 { // off, or outside its window
			q.On = i%2 == 0
			q.IntervalID = &in.ID
		}
		q, err := s.AddQueue(b.Context(), q)
		check(b, err)
		_, err = s.AddTasks(b.Context(), c.ID, q.ID, slices.Repeat([]scheduler.Task{storetest.Task(e, now.Add(-time.Minute))}, backlog/queueCount))
		check(b, err)
	}
	query(b, url, "VACUUM ANALYZE")
	owner, _, _, err := s.Join(b.Context(), "bench", time.Now(), time.Hour)
	check(b, err)
	claimed, rounds, all := 0, 0, result{}
	var took time.Duration
	for claimed < 5000 && rounds < 100 {
		rounds++
		var started []scheduler.Started
		one := timed(b, url, 1, false, func() {
			got, err := s.Claim(b.Context(), owner, time.Now(), scheduler.MaxStarts)
			check(b, err)
			started = got.Started
		})
		took += time.Duration(float64(time.Second) / one.rate)
		all.cost += one.cost
		claimed += len(started)
		ends := make([]scheduler.Transition, len(started))
		for i := range started {
			ends[i] = started[i].Transition.Task.End(talked(time.Now()), time.Now())
		}
		_, err := s.Apply(b.Context(), owner, ends)
		check(b, err)
	}
	return claimed, result{rate: float64(claimed) / took.Seconds(), cost: all.cost / float64(claimed)}
}

// How long a claim looks that finds nothing, at 100,000 queues of which each
// other has a task that is due in an hour.
func BenchmarkEmptyLook(b *testing.B) {
	url := storetest.PostgresURL(b)
	s := storetest.Open(b, url)
	storetest.Client(b, s)
	conn, err := pgx.Connect(b.Context(), url)
	check(b, err)
	defer conn.Close(b.Context())
	for _, statement := range []string{
		`INSERT INTO queues (client_id, name, is_on, created_at) SELECT c.id, 'queue', true, now() FROM clients c, generate_series(1, 100000)`,
		`INSERT INTO queue_runtime (queue_id, wake_at) SELECT id, CASE WHEN id % 2 = 0 THEN now() + interval '1 hour' END FROM queues`,
		`VACUUM ANALYZE`,
	} {
		_, err := conn.Exec(b.Context(), statement)
		check(b, err)
	}
	owner, _, _, err := s.Join(b.Context(), "bench", time.Now(), time.Hour)
	check(b, err)
	took := make([]time.Duration, 2000)
	b.ResetTimer()
	for i := range took {
		began := time.Now()
		claimed, err := s.Claim(b.Context(), owner, time.Now(), scheduler.MaxStarts)
		took[i] = time.Since(began)
		check(b, err)
		if len(claimed.Started) > 0 {
			b.Fatal("it was to find nothing")
		}
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "ms-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "ms-p99")
}
