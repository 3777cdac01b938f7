package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/scheduler"
)

// counted is a driver that knows how many legs it has at most at one time.
type counted struct {
	dialer.Driver
	now, most atomic.Int64
}

func (c *counted) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	err := c.Driver.Originate(ctx, o, func(ev dialer.Event) {
		if ev.Kind == dialer.Ended {
			c.now.Add(-1)
		}
		events(ev)
	})
	if err != nil {
		c.now.Add(-1)
	}
	return err
}

// TestSoak places calls of every kind at random times, cuts many of them at
// random times, and holds the engine and the carrier to what is always true:
// no more legs than channels, one end for every leg, every channel back.
func TestSoak(t *testing.T) {
	const calls, channels = 1000, 20
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { soak(t, seed, calls, channels) })
		})
	}
}

func soak(t *testing.T, seed uint64, calls, channels int) {
	d := newDriver(t, Options{AnswerPercent: 60, Ring: 3 * time.Second, Talk: 10 * time.Second, Seed: seed})
	c := &counted{Driver: d}
	r := dialertest.NewRecorder(c)
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "sim", Driver: r, MaxChannels: channels}}})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	suffix := []string{"0486", "0480", "0603", "0404", "0503", "0487", "1111", "1112", "1113", "1114"}
	pick := func(i int) scheduler.Number {
		return number(fmt.Sprintf("+3906%d%s", i, suffix[rnd.IntN(len(suffix))]))
	}
	var (
		wg              sync.WaitGroup
		bridged, locals atomic.Int64
	)
	for i := range calls {
		spec := scheduler.Call{
			ID: scheduler.CallID(fmt.Sprintf("%032x", i)), Task: scheduler.TaskID(i), Attempt: 1,
			A: []scheduler.Number{pick(i)}, B: pick(i), Ring: 8 * time.Second, MaxDuration: time.Duration(rnd.IntN(15)+1) * time.Second,
		}
		for range rnd.IntN(3) {
			spec.A = append(spec.A, pick(i))
		}
		wait, cut := time.Duration(rnd.IntN(400_000))*time.Millisecond, time.Duration(rnd.IntN(60_000))*time.Millisecond
		wg.Go(func() {
			time.Sleep(wait)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			stop := time.AfterFunc(cut, func() { cancel(scheduler.CutError{Cut: scheduler.CutAPI}) })
			defer stop.Stop()
			told := 0
			o := e.Dial(ctx, spec, func(time.Time) { told++ })
			if o.BridgedAt.IsZero() != (told == 0) || told > 1 {
				t.Errorf("call %d was told %d times of its bridge at %v", i, told, o.BridgedAt)
			}
			if told == 1 {
				bridged.Add(1)
			}
			for _, l := range o.Legs {
				if l.Disposition == scheduler.LocalError {
					locals.Add(1)
				}
				if l.EndedAt.IsZero() || l.EndedAt.After(o.EndedAt) {
					t.Errorf("call %d: leg ended %v, call %v", i, l.EndedAt, o.EndedAt)
				}
			}
		})
	}
	wg.Wait()
	if most := c.most.Load(); most != int64(channels) {
		t.Errorf("%d legs at most on %d channels", most, channels)
	}
	if n := c.now.Load(); n != 0 || len(d.legs) != 0 {
		t.Errorf("%d legs left, %d kept", n, len(d.legs))
	}
	if got := e.Room(); got != channels/2 {
		t.Errorf("room %d after the last call", got)
	}
	if bridged.Load() == 0 || locals.Load() == 0 {
		t.Errorf("%d bridged, %d legs without a channel: the test shows nothing", bridged.Load(), locals.Load())
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, f := range r.Faults() {
		t.Error(f)
	}
}
