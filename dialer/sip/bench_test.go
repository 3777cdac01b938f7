package sip_test

import (
	"context"
	"sync"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// BenchmarkCalls places whole calls, two legs each: INVITE, 200, ACK, BYE, 200.
// SIPp is on the same cores. 50 calls are up at a time.
func BenchmarkCalls(b *testing.B) {
	peer := sipptest.Start(b, sipptest.Options{
		Scenario: "testdata/quick.xml", Calls: sipptest.Many, Quiet: true, Limit: 10 * sipptest.Limit,
		Args: []string{"-buff_size", "4194304"},
	})
	msg.SetTimers(500*time.Millisecond, 4*time.Second, 5*time.Second) // as in RFC 3261
	b.Cleanup(shortTimers)
	d := open(b, peer.Addr)
	room := make(chan struct{}, 50)
	var calls sync.WaitGroup
	for b.Loop() {
		room <- struct{}{}
		calls.Go(func() {
			defer func() { <-room }()
			whole(b, d)
		})
	}
	calls.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	peer.Finish()
}

func whole(b *testing.B, d *sip.Driver) {
	var legs sync.WaitGroup
	legs.Add(2)
	id := string(scheduler.NewCallID(time.Now()))
	for _, role := range []string{"-a1", "-b1"} {
		o := dialer.Originate{ID: dialer.LegID(id + role), Trunk: "test", Number: number}
		err := d.Originate(context.Background(), o, func(e dialer.Event) {
			switch e.Kind {
			case dialer.Answered:
				go func() { _ = d.Hangup(context.Background(), o.ID, dialer.HangupNormal) }()
			case dialer.Ended:
				if e.End.Disposition != scheduler.Answered {
					b.Errorf("%+v", e.End)
				}
				legs.Done()
			}
		})
		if err != nil {
			b.Error(err)
			legs.Done()
		}
	}
	legs.Wait()
}
