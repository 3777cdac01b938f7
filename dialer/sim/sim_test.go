package sim

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

func newEngine(t *testing.T, o Options) *dialer.Engine {
	t.Helper()
	d := newDriver(t, o)
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "sim", Driver: d, Internal: true, Simulated: true}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func number(given string) scheduler.Number {
	n := scheduler.Number{Given: given}
	if strings.HasPrefix(given, "+") {
		n.E164 = given
	}
	return n
}

func spec(a, b string) scheduler.Call {
	return scheduler.Call{
		ID: scheduler.NewCallID(time.Now()), Task: 41, Attempt: 1, A: []scheduler.Number{number(a)}, B: number(b),
		Ring: 30 * time.Second, MaxDuration: time.Hour,
	}
}

// TestNumbers is the carrier as anyone may rehearse with it. Nobody answers
// whose number has no meaning here, so every answer is the number's own.
func TestNumbers(t *testing.T) {
	const answers = "+390655510487" // as B, it just answers
	for claim, c := range map[string]struct {
		number string
		want   scheduler.Leg
		rang   bool
		after  time.Duration
	}{
		"0486 is busy":                    {"+390655510486", scheduler.Leg{Disposition: scheduler.UserBusy, SIP: 486, Q850: 17, By: scheduler.ByPeer}, false, 300 * time.Millisecond},
		"0480 does not answer":            {"+390655510480", scheduler.Leg{Disposition: scheduler.NoAnswer, SIP: 487, By: scheduler.ByUs}, true, 30 * time.Second},
		"0408 does not answer":            {"+390655510408", scheduler.Leg{Disposition: scheduler.NoAnswer, SIP: 487, By: scheduler.ByUs}, true, 30 * time.Second},
		"0603 rejects":                    {"+390655510603", scheduler.Leg{Disposition: scheduler.Rejected, SIP: 603, Q850: 21, By: scheduler.ByPeer}, true, 3 * time.Second},
		"0404 is invalid":                 {"+390655510404", scheduler.Leg{Disposition: scheduler.InvalidNumber, SIP: 404, Q850: 1, By: scheduler.ByPeer}, false, 300 * time.Millisecond},
		"0503 is congestion":              {"+390655510503", scheduler.Leg{Disposition: scheduler.Congestion, SIP: 503, Q850: 34, By: scheduler.ByPeer}, false, 300 * time.Millisecond},
		"a dial string has a meaning too": {"0486", scheduler.Leg{Disposition: scheduler.UserBusy, SIP: 486, Q850: 17, By: scheduler.ByPeer}, false, 300 * time.Millisecond},
		"0487 answers and hangs up while B rings": {
			answers, scheduler.Leg{Disposition: scheduler.Answered, SIP: 200, Q850: 16, By: scheduler.ByPeer}, true, 4500 * time.Millisecond,
		},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, Options{Ring: 3 * time.Second, Talk: 20 * time.Second})
				o := e.Dial(t.Context(), spec(c.number, answers), func(time.Time) { t.Error("bridged") })
				got := o.Legs[0]
				if got.Disposition != c.want.Disposition || got.SIP != c.want.SIP || got.Q850 != c.want.Q850 || got.By != c.want.By {
					t.Errorf("leg %+v, want %+v", got, c.want)
				}
				if after := got.EndedAt.Sub(got.StartedAt); after != c.after || got.RangAt.IsZero() == c.rang {
					t.Errorf("ended after %v, rang at %v; want %v, rang: %t", after, got.RangAt, c.after, c.rang)
				}
				if c.rang && got.PDD() != 300*time.Millisecond {
					t.Errorf("post-dial delay %v", got.PDD())
				}
				if !o.Simulated {
					t.Error("the outcome does not say that it is simulated")
				}
			})
		})
	}
}

func TestTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, Options{AnswerPercent: 100, Ring: 3 * time.Second, Talk: 20 * time.Second})
		began := time.Now()
		o := e.Dial(t.Context(), spec("+390655510001", "+390655510002"), func(time.Time) {})
		if got := o.BridgedAt.Sub(began); got != 6*time.Second {
			t.Errorf("bridged after %v, want two rings of 3 s", got)
		}
		if got := o.EndedAt.Sub(o.BridgedAt); got != 20*time.Second || o.Legs[1].By != scheduler.ByPeer || o.Legs[0].By != scheduler.ByUs {
			t.Errorf("talked %v, legs %+v", got, o.Legs)
		}
		if a := o.Legs[0]; a.SIP != 200 || a.Q850 != 16 {
			t.Errorf("A's leg %+v", a)
		}
	})
}

// TestPercent: outcomes are a matter of seed, number, role, task and attempt,
// not of when or in which call.
func TestPercent(t *testing.T) {
	const n = 20_000
	play := func(seed uint64, attempt int) [n]behaviour {
		d := newDriver(t, Options{AnswerPercent: 70, Seed: seed})
		var does [n]behaviour
		for i := range n {
			i = (i * 7919) % n // in another order than they are counted
			does[i] = d.behaviourOf(dialer.Originate{
				Call: scheduler.NewCallID(time.Now()), Task: scheduler.TaskID(i), Attempt: attempt, Role: scheduler.LegA,
				Number: number(fmt.Sprintf("+3906%05d1", i)),
			})
		}
		return does
	}
	first := play(1, 1)
	counts := map[behaviour]float64{}
	for _, b := range first {
		counts[b] += 100.0 / n
	}
	for b, want := range map[behaviour]float64{answers: 70, silent: 15, busy: 15} {
		if math.Abs(counts[b]-want) > 1 {
			t.Errorf("%.1f %% do %d, want %.0f", counts[b], b, want)
		}
	}
	if play(1, 1) != first {
		t.Error("the same seed gave other outcomes")
	}
	if play(2, 1) == first {
		t.Error("another seed gave the same outcomes")
	}
	if play(1, 2) == first {
		t.Error("the second attempts all ended as the first ones")
	}
}

// TestNoGoroutinePerLeg: thousands of legs are thousands of timers.
func TestNoGoroutinePerLeg(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		d := newDriver(t, Options{AnswerPercent: 100, Ring: time.Minute})
		before := runtime.NumGoroutine()
		ended := 0
		for i := range n {
			o := dialer.Originate{ID: dialer.LegID(fmt.Sprint(i)), Role: scheduler.LegA, Number: number("+390655510001")}
			err := d.Originate(t.Context(), o, func(ev dialer.Event) {
				if ev.Kind == dialer.Ended {
					ended++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := runtime.NumGoroutine() - before; got > 10 {
			t.Errorf("%d legs that ring run %d goroutines", n, got)
		}
		began := time.Now()
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("closing waited %v for timers of legs that are gone", took)
		}
		if ended != n {
			t.Errorf("%d of %d legs ended with the carrier", ended, n)
		}
		if len(d.legs) > 0 {
			t.Errorf("%d legs are kept", len(d.legs))
		}
	})
}

// TestCloseWaits: when the carrier is closed, nobody is told of anything any
// more.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriver(t, Options{Ring: time.Second})
		told := make(chan struct{})
		err := d.Originate(t.Context(), dialer.Originate{ID: "x", Number: number("+390655510486")}, func(dialer.Event) { <-told })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		closed := make(chan error, 1)
		go func() { closed <- d.Close(t.Context()) }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("closed while an end is being told")
		}
		close(told)
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// TestOneEnd: a leg that two want to end, ends once.
func TestOneEnd(t *testing.T) {
	d := newDriver(t, Options{})
	defer d.Close(t.Context())
	ends := 0
	err := d.Originate(t.Context(), dialer.Originate{ID: "x", Number: number("+390655510480")}, func(ev dialer.Event) {
		if ev.Kind == dialer.Ended {
			ends++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	l := d.leg("x")
	l.hangup(dialer.HangupNormal)
	l.hangup(dialer.HangupCancel)
	if ends != 1 {
		t.Errorf("%d ends", ends)
	}
}

func TestRefusals(t *testing.T) {
	t.Run("options out of range", func(t *testing.T) {
		for _, o := range []Options{{AnswerPercent: -1}, {AnswerPercent: 101}, {Ring: -1}, {Talk: -1}} {
			if _, err := New(o); err == nil {
				t.Errorf("%+v", o)
			}
		}
	})
	d := newDriver(t, Options{})
	defer d.Close(t.Context())
	drop := func(dialer.Event) {}
	t.Run("a leg that is there already", func(t *testing.T) {
		o := dialer.Originate{ID: "x", Number: number("+390655510480")}
		if err := d.Originate(t.Context(), o, drop); err != nil {
			t.Fatal(err)
		}
		if err := d.Originate(t.Context(), o, drop); err == nil {
			t.Error("originated twice")
		}
	})
	t.Run("a context that has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Originate(ctx, dialer.Originate{ID: "y"}, drop); err == nil {
			t.Error("originated")
		}
	})
	t.Run("a bridge of legs that are not answered", func(t *testing.T) {
		if err := d.Originate(t.Context(), dialer.Originate{ID: "a", Number: number("+390655510487")}, drop); err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]dialer.LegID{{"x", "a"}, {"a", "x"}, {"a", "nobody"}, {"nobody", "a"}} {
			if err := d.Bridge(t.Context(), pair[0], pair[1]); err == nil {
				t.Errorf("bridged %v", pair)
			}
		}
	})
	t.Run("a second bridge", func(t *testing.T) {
		d := newDriver(t, Options{Talk: time.Hour})
		defer d.Close(t.Context())
		for id, role := range map[dialer.LegID]scheduler.Role{"a": scheduler.LegA, "b": scheduler.LegB} {
			o := dialer.Originate{ID: id, Role: role, Number: number("+390655510487")}
			if err := d.Originate(t.Context(), o, drop); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Bridge(t.Context(), "a", "b"); err != nil {
			t.Error(err)
		}
		if err := d.Bridge(t.Context(), "a", "b"); err == nil {
			t.Error("bridged twice")
		}
	})
}
