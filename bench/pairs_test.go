package bench

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	pairs   = flag.Int("pairs", 5, "how many pairs of runs are measured")
	amount  = flag.Int("tasks", 50_000, "how many tasks and jobs a run drains")
	profile = flag.String("profile", "", "write CPU profiles of ringback's runs to `PREFIX`-NAME.pprof")
)

// side is one run of one contestant on a database of its own; it returns what
// it did in a second.
type side func(b *testing.B) float64

// compare runs two sides in alternating pairs, so that neither always goes
// first, and prints their rates, the ratio of each pair, and the median.
func compare(b *testing.B, ours, theirs side) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%s\n  pair   ringback/s      river/s   ratio\n", b.Name())
	var ratios, rates [2][]float64
	for pair := range *pairs {
		var rate [2]float64
		for turn := range 2 {
			who := (pair + turn) % 2
			b.Run(fmt.Sprintf("pair=%d/%s", pair+1, [2]string{"ringback", "river"}[who]), func(b *testing.B) {
				rate[who] = [2]side{ours, theirs}[who](b)
				b.ReportMetric(rate[who], "tasks/s")
			})
		}
		if rate[0] == 0 || rate[1] == 0 {
			return // skipped or failed, and said so
		}
		rates[0], rates[1] = append(rates[0], rate[0]), append(rates[1], rate[1])
		ratios[0] = append(ratios[0], rate[0]/rate[1])
		fmt.Fprintf(&table, "  %4d   %10.0f   %10.0f   %5.2f\n", pair+1, rate[0], rate[1], rate[0]/rate[1])
	}
	fmt.Fprintf(&table, "median   %10.0f   %10.0f   %5.2f\n", median(rates[0]), median(rates[1]), median(ratios[0]))
	fmt.Print(table.String())
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// timed measures do, which handles n things, under the CPU profile if one is
// asked for, and returns how many it handled in a second.
func timed(b *testing.B, profiled bool, n int, do func()) float64 {
	b.Helper()
	if profiled && *profile != "" {
		name := strings.Split(strings.TrimPrefix(b.Name(), "Benchmark"), "/")[0]
		f, err := os.Create(*profile + "-" + name + ".pprof")
		check(b, err)
		defer f.Close()
		check(b, pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	b.ResetTimer()
	began := time.Now()
	do()
	took := time.Since(began)
	b.StopTimer()
	return float64(n) / took.Seconds()
}

// until waits for a condition; a run that takes minutes has failed.
func until(b *testing.B, what string, done func() bool) {
	b.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(3 * time.Minute)
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
