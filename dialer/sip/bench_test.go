package sip_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// BenchmarkCalls places whole calls through the engine: A, ringing, B, the
// bridge, and both hung up; no sound. A and B are a SIPp each, on the same
// processors. An iteration is 10,000 of them, 100 up at a time. It tells calls a second, how many
// of them came to talk, and our processor time for each.
func BenchmarkCalls(b *testing.B) {
	const each, atOnce = 10_000, 100
	e, finish := network(b)
	room := make(chan struct{}, atOnce)
	var calls sync.WaitGroup
	var talked atomic.Int64
	before, total := spent(b), 0
	for b.Loop() {
		for range each {
			room <- struct{}{}
			calls.Go(func() {
				defer func() { <-room }()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				e.Dial(ctx, benchCall(), func(time.Time) {
					talked.Add(1)
					cancel() // enough talk
				})
			})
		}
		calls.Wait()
		total += each
	}
	b.ReportMetric(float64(spent(b)-before)/float64(time.Millisecond)/float64(total), "cpu-ms/call")
	b.ReportMetric(100*float64(talked.Load())/float64(total), "%success")
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(0, "ns/op")
	finish()
}

// BenchmarkCallsUp tells how much memory a bridged call takes: heap and stacks,
// sockets left out.
func BenchmarkCallsUp(b *testing.B) {
	const up = 1000
	e, finish := network(b)
	ctx, hangUp := context.WithCancel(b.Context())
	defer hangUp()
	room := make(chan struct{}, 50) // that are being made
	var calls, bridged sync.WaitGroup
	before := memory()
	bridged.Add(up)
	for range up {
		room <- struct{}{}
		calls.Go(func() {
			e.Dial(ctx, benchCall(), func(time.Time) {
				<-room
				bridged.Done()
			})
		})
	}
	bridged.Wait()
	b.ReportMetric(float64(memory()-before)/up/1000, "kB/call")
	b.ReportMetric(0, "ns/op")
	hangUp()
	calls.Wait()
	finish()
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// network is an engine over a trunk to A and one to B, a SIPp each; finish lets
// both say whether they are content.
func network(b *testing.B) (e *dialer.Engine, finish func()) {
	peer := func() *sipptest.Peer {
		return sipptest.Start(b, sipptest.Options{
			Scenario: "testdata/quick.xml", Calls: sipptest.Many, Quiet: true, Limit: 10 * sipptest.Limit,
			Args: []string{"-buff_size", "4194304"},
		})
	}
	peerA, peerB := peer(), peer()
	msg.SetTimers(500*time.Millisecond, 4*time.Second, 5*time.Second) // as in RFC 3261
	b.Cleanup(shortTimers)
	trunks := []sip.Trunk{
		{Name: "a", Endpoint: fmt.Sprintf("sip:{number}@%s", peerA.Addr), RTPPorts: "20000-29999"},
		{Name: "b", Endpoint: fmt.Sprintf("sip:{number}@%s", peerB.Addr), RTPPorts: "20000-29999"},
	}
	d := openTrunks(b, trunks...)
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{
		{Name: "a", Driver: d, Prefixes: []string{"+39"}}, {Name: "b", Driver: d, Prefixes: []string{"+44"}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return e, func() {
		peerA.Finish()
		peerB.Finish()
	}
}

func benchCall() scheduler.Call {
	return scheduler.Call{
		ID: scheduler.NewCallID(time.Now()), A: []scheduler.Number{number}, B: scheduler.Number{Given: numberB, E164: "+" + numberB},
		Ring: 30 * time.Second, MaxDuration: time.Minute,
	}
}
