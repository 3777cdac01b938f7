package ari_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// BenchmarkCalls begins 40 calls a second over each Asterisk, with SIPp at both
// ends on the same processors: A answers, B answers and hangs up 600 ms later.
// It tells how many came to talk, and our processor time for each.
func BenchmarkCalls(b *testing.B) {
	roots := filepath.SplitList(os.Getenv(asterisktest.Env))
	if len(roots) == 0 {
		b.Skipf("%s is not set: make test-peers installs Asterisk", asterisktest.Env)
	}
	for _, root := range roots {
		b.Run(filepath.Base(root), func(b *testing.B) { benchmark(b, root) })
	}
}

const (
	callsPerSecond = 40
	benchFor       = 10 * time.Second
)

func benchmark(b *testing.B, root string) {
	pbx := asterisktest.Start(b, asterisktest.Options{Root: root})
	peer := sipptest.Start(b, sipptest.Options{Scenario: "../sip/testdata/behaves.xml", Calls: sipptest.Many, Echo: true, Limit: time.Minute})
	d := open(b, options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", peer.Addr)))
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "peer", Driver: d}}})
	if err != nil {
		b.Fatal(err)
	}
	talks, total := 0.0, 0.0
	var took time.Duration
	before := processorTime(b)
	for b.Loop() {
		bridged, n, t := benchRun(b.Context(), e)
		talks, total, took = talks+float64(bridged), total+float64(n), took+t
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(time.Millisecond)/total, "cpu-ms/call")
	b.ReportMetric(100*talks/total, "%success")
	b.ReportMetric(total/took.Seconds(), "calls/s")
	b.ReportMetric(0, "ns/op")
	peer.Finish()
}

// benchRun begins calls at an even pace and waits for the last.
func benchRun(ctx context.Context, e *dialer.Engine) (bridged int32, n int, began time.Duration) {
	var talks atomic.Int32
	var calls sync.WaitGroup
	pace := time.NewTicker(time.Second / callsPerSecond)
	defer pace.Stop()
	start := time.Now()
	for ; time.Since(start) < benchFor; n++ {
		spec := scheduler.Call{
			ID: scheduler.CallID(fmt.Sprintf("%032x", n+1)), Ring: 10 * time.Second,
			A: []scheduler.Number{number(scheduler.LegA, dialertest.Answers, 0)}, B: number(scheduler.LegB, dialertest.Leaves, 0),
		}
		calls.Go(func() { e.Dial(ctx, spec, func(time.Time) { talks.Add(1) }) })
		<-pace.C
	}
	began = time.Since(start)
	calls.Wait()
	return talks.Load(), n, began
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
