package bench

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	pairs   = flag.Int("pairs", 5, "how many pairs of runs are measured")
	amount  = flag.Int("tasks", 50_000, "how many tasks and jobs a run drains")
	profile = flag.String("profile", "", "write CPU profiles of ringback's runs to `PREFIX`-NAME.pprof")
)

// side is one run of one contestant on a database of its own.
type side func(b *testing.B) result

// result is what a run came to.
type result struct {
	rate float64 // tasks a second
	cost float64 // processor microseconds a task, PostgreSQL's included
}

// compare runs two sides in alternating pairs, so that neither always goes
// first, and prints the rate and the cost of each, the ratio of the rates, and
// the medians.
func compare(b *testing.B, ours, theirs side) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s\n  pair   ringback/s      river/s   ratio   ringback µs CPU   river µs CPU   ratio\n", b.Name())
	columns := make([][]float64, 6)
	for pair := range *pairs {
		var got [2]result
		for turn := range 2 {
			who := (pair + turn) % 2
			b.Run(fmt.Sprintf("pair=%d/%s", pair+1, [2]string{"ringback", "river"}[who]), func(b *testing.B) {
				got[who] = [2]side{ours, theirs}[who](b)
				b.ReportMetric(got[who].rate, "tasks/s")
				b.ReportMetric(got[who].cost, "cpu-µs/task")
			})
		}
		if got[0].rate == 0 || got[1].rate == 0 {
			return // skipped or failed, and said so
		}
		row := []float64{
			got[0].rate, got[1].rate, got[0].rate / got[1].rate, got[0].cost, got[1].cost, got[1].cost / got[0].cost,
		}
		for i, v := range row {
			columns[i] = append(columns[i], v)
		}
		tell(&table, strconv.Itoa(pair+1), row)
	}
	medians := make([]float64, len(columns))
	for i, column := range columns {
		medians[i] = median(column)
	}
	tell(&table, "median", medians)
	fmt.Print(table.String())
}

func tell(w io.Writer, name string, v []float64) {
	fmt.Fprintf(w, "%6s   %10.0f   %10.0f   %5.2f   %15.0f   %12.0f   %5.2f\n", name, v[0], v[1], v[2], v[3], v[4], v[5])
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// timed measures do, which handles n tasks on a database, under the CPU
// profile if one is asked for.
func timed(b *testing.B, url string, n int, profiled bool, do func()) result {
	b.Helper()
	if profiled && *profile != "" {
		name := strings.Split(strings.TrimPrefix(b.Name(), "Benchmark"), "/")[0]
		f, err := os.Create(*profile + "-" + name + ".pprof")
		check(b, err)
		defer f.Close()
		check(b, pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	before := spent(b, url)
	b.ResetTimer()
	began := time.Now()
	do()
	took := time.Since(began)
	b.StopTimer()
	cost := spent(b, url) - before
	return result{rate: float64(n) / took.Seconds(), cost: float64(cost.Microseconds()) / float64(n)}
}

// until waits for a condition; one that takes longer than ten minutes has failed.
func until(b *testing.B, what string, done func() bool) {
	b.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(10 * time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			b.Fatalf("%s did not come", what)
		}
		<-ticker.C
	}
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// quiet logs what has gone wrong, and nothing else.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
