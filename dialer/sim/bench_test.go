package sim_test

import (
	"strconv"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sim"
	"ringback/scheduler"
)

// BenchmarkDial is a whole call that takes no time: both sides answer at once
// and B hangs up at once.
func BenchmarkDial(b *testing.B) {
	d, err := sim.New(sim.Options{AnswerPercent: 100})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close(b.Context())
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "sim", Driver: d, Simulated: true}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			o := e.Dial(b.Context(), scheduler.Call{
				ID: scheduler.NewCallID(time.Now()), Task: scheduler.TaskID(n), Attempt: 1,
				A: []scheduler.Number{{E164: "+3906" + strconv.Itoa(100000+n%100000) + "1"}}, B: scheduler.Number{E164: "+390655501234"},
				Ring: 30 * time.Second, MaxDuration: time.Hour,
			}, func(time.Time) {})
			if o.BridgedAt.IsZero() {
				b.Error("not bridged:", o.Comment())
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
