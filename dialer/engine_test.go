package dialer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// TestDial is about calls that a well-behaved carrier does not show; the suite
// of dialertest has the others.
func TestDial(t *testing.T) {
	for name, c := range map[string]struct {
		net     *network
		a       []string // extended A numbers
		legs    []string
		orders  []string
		comment string
		took    time.Duration
		log     string
	}{
		"every order of a call that nobody answers": {
			legs: []string{"a no_answer us"}, orders: []string{"call a1", "timeout a1"},
			comment: "a_number no_answer", took: 30 * time.Second,
		},
		"a leg that does not end is given up": {
			net:  &network{hangup: func(*line, dialer.HangupReason) {}},
			legs: []string{"a failed us"}, orders: []string{"call a1", "timeout a1"},
			comment: "a_number failed", took: 40 * time.Second, log: "did not end",
		},
		"an answered leg that does not end stays answered": {
			net:    &network{place: answersAfter(time.Second), hangup: func(*line, dialer.HangupReason) {}, bridge: refuse},
			legs:   []string{"a answered us", "b answered us"},
			orders: []string{"call a1", "ringback a1 true", "call b1", "ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1"},
			took:   12 * time.Second, comment: scheduler.CommentNoBridge, log: "did not end",
		},
		"an answer that crosses the time-out calls no B": {
			net: &network{hangup: func(l *line, _ dialer.HangupReason) {
				l.event(dialer.Answered)
				l.later(time.Second, func() { l.end(scheduler.Answered, scheduler.ByUs) })
			}},
			legs: []string{"a answered us"}, orders: []string{"call a1", "timeout a1"},
			comment: "a_number no_answer", took: 31 * time.Second,
		},
		"a leg that answers although another won stays lost": {
			net: &network{
				place: func(o dialer.Originate, l *line) error {
					if short(o.ID) == "a2" {
						l.event(dialer.Answered)
					}
					if short(o.ID) == "b1" {
						l.end(scheduler.UserBusy, scheduler.ByPeer)
					}
					return nil
				},
				hangup: func(l *line, r dialer.HangupReason) {
					if r == dialer.HangupElsewhere {
						l.event(dialer.Answered)
					}
					l.end(scheduler.Cancelled, scheduler.ByUs)
				},
			},
			a: []string{"+390655500009"}, legs: []string{"a answered us lost", "a answered us", "b busy peer"},
			orders:  []string{"call a1", "call a2", "elsewhere a1", "ringback a2 true", "call b1", "hangup a2"},
			comment: "b_number busy",
		},
		"the first of two answers wins, also if the second one left": {
			net: &network{place: func(o dialer.Originate, l *line) error {
				if o.Role == scheduler.LegB {
					return busy(o, l)
				}
				l.event(dialer.Answered)
				if short(o.ID) == "a2" {
					l.end(scheduler.Answered, scheduler.ByPeer)
				}
				return nil
			}},
			a: []string{"+390655500009"}, legs: []string{"a answered us", "a answered peer lost", "b busy peer"},
			orders:  []string{"call a1", "call a2", "ringback a1 true", "call b1", "hangup a1"},
			comment: "b_number busy",
		},
		"a B that answers while A hangs up is not bridged": {
			net:     hangsUpAsBAnswers(),
			legs:    []string{"a answered peer", "b answered us"},
			orders:  []string{"call a1", "ringback a1 true", "call b1", "hangup b1"},
			comment: "a_number hung up",
		},
		"an A that hangs up at once is not called back to B": {
			net: &network{place: func(_ dialer.Originate, l *line) error {
				l.event(dialer.Answered)
				l.end(scheduler.Answered, scheduler.ByPeer)
				return nil
			}},
			legs: []string{"a answered peer"}, orders: []string{"call a1"}, comment: "a_number hung up",
		},
		"legs that cannot be bridged are hung up": {
			net: &network{place: answersAfter(time.Second), bridge: refuse}, legs: []string{"a answered us", "b answered us"},
			orders:  []string{"call a1", "ringback a1 true", "call b1", "ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1"},
			comment: scheduler.CommentNoBridge, took: 2 * time.Second, log: "could not be bridged",
		},
		"a B that ends before the bridge says who left": {
			net: &network{place: answersAfter(time.Second), bridge: func(_, b *line) error {
				b.end(scheduler.Answered, scheduler.ByPeer)
				return errors.New("gone")
			}},
			legs:    []string{"a answered us", "b answered peer"},
			orders:  []string{"call a1", "ringback a1 true", "call b1", "ringback a1 false", "bridge a1 b1", "hangup a1"},
			comment: "b_number hung up", took: 2 * time.Second,
		},
		"a call without ringback goes on": {
			net: &network{
				place: func(o dialer.Originate, l *line) error {
					if o.Role == scheduler.LegB {
						l.end(scheduler.UserBusy, scheduler.ByPeer)
						return nil
					}
					l.event(dialer.Answered)
					return nil
				},
				ring: func(dialer.LegID, bool) error { return errors.New("no tone") },
			},
			legs: []string{"a answered us", "b busy peer"}, orders: []string{"call a1", "ringback a1 true", "call b1", "hangup a1"},
			comment: "b_number busy", log: "ringback",
		},
		"what comes after the end is not believed": {
			net: &network{place: func(_ dialer.Originate, l *line) error {
				l.end(scheduler.UserBusy, scheduler.ByPeer)
				l.event(dialer.Answered)
				l.end(scheduler.Answered, scheduler.ByUs)
				return nil
			}},
			legs: []string{"a busy peer"}, orders: []string{"call a1"}, comment: "a_number busy",
		},
		"a leg is not answered because its end says so": {
			net: &network{place: func(_ dialer.Originate, l *line) error {
				l.end(scheduler.Answered, scheduler.ByPeer)
				return nil
			}},
			legs: []string{"a failed peer"}, orders: []string{"call a1"}, comment: "a_number failed",
		},
		"a refused leg is a local error and free": {
			net:  &network{place: func(dialer.Originate, *line) error { return errors.New("socket is gone") }},
			legs: []string{"a local_error us"}, orders: []string{"call a1"}, comment: "local_error", log: "could not be originated",
		},
		"a refused leg does not hide that another was busy": {
			net: &network{place: func(o dialer.Originate, l *line) error {
				if short(o.ID) == "a1" {
					return errors.New("socket is gone")
				}
				l.end(scheduler.UserBusy, scheduler.ByPeer)
				return nil
			}},
			a: []string{"+390655500009"}, legs: []string{"a local_error us", "a busy peer"},
			orders: []string{"call a1", "call a2"}, comment: "a_number busy", log: "could not be originated",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.net == nil {
					c.net = &network{}
				}
				e, log := engine(t, dialer.Trunk{Name: "t", Driver: c.net})
				began := time.Now()
				o := e.Dial(t.Context(), spec(c.a...), noBridge(t))
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				same(t, "legs", told(o), c.legs)
				same(t, "orders", c.net.orders(), c.orders)
				if o.Comment() != c.comment {
					t.Errorf("comment %q, want %q", o.Comment(), c.comment)
				}
				if c.log == "" && log.Len() > 0 || !strings.Contains(log.String(), c.log) {
					t.Errorf("log %q, want %q", log, c.log)
				}
			})
		})
	}
}

func refuse(*line, *line) error { return errors.New("no bridge") }

// hangsUpAsBAnswers is a network whose A hangs up in the moment in which B
// answers.
func hangsUpAsBAnswers() *network {
	n := &network{}
	n.place = func(o dialer.Originate, l *line) error {
		if o.Role == scheduler.LegB {
			n.mu.Lock()
			a := n.lines[o.Partner]
			n.mu.Unlock()
			a.end(scheduler.Answered, scheduler.ByPeer)
		}
		l.event(dialer.Answered)
		return nil
	}
	return n
}

func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		cause error
		want  scheduler.Cut
	}{
		"a client's wish":                        {scheduler.CutError{Cut: scheduler.CutAPI}, scheduler.CutAPI},
		"another owner":                          {scheduler.CutError{Cut: scheduler.CutFenced}, scheduler.CutFenced},
		"a wrapped cause":                        {errors.Join(scheduler.CutError{Cut: scheduler.CutAPI}), scheduler.CutAPI},
		"an end without a reason is our own end": {nil, scheduler.CutShutdown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n network
				e, _ := engine(t, dialer.Trunk{Name: "t", Driver: &n})
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(c.cause) })
				o := e.Dial(ctx, spec(), noBridge(t))
				if o.Cut != c.want {
					t.Errorf("cut %q, want %q", o.Cut, c.want)
				}
				same(t, "orders", n.orders(), []string{"call a1", "cancel a1"})

				o = e.Dial(ctx, spec(), noBridge(t))
				if o.Cut != c.want || len(o.Legs) > 0 {
					t.Errorf("a call that was cut before it began: %+v", o)
				}
				if len(n.orders()) != 2 {
					t.Error("a call that was cut before it began reached the network")
				}
			})
		})
	}
}

// TestCutTooLate is about a call that ended by itself: its legs are still
// being collected when the cut comes.
func TestCutTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := network{place: func(o dialer.Originate, l *line) error {
			l.event(dialer.Answered)
			return nil
		}}
		n.bridge = func(_, b *line) error {
			b.later(time.Second, func() { b.end(scheduler.Answered, scheduler.ByPeer) })
			return nil
		}
		n.hangup = func(l *line, _ dialer.HangupReason) {
			l.later(time.Second, func() { l.end(scheduler.Answered, scheduler.ByUs) })
		}
		e, _ := engine(t, dialer.Trunk{Name: "t", Driver: &n})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(scheduler.CutError{Cut: scheduler.CutAPI}) })
		o := e.Dial(ctx, spec(), func(time.Time) {})
		if o.Cut != scheduler.CutNone || o.BridgedAt.IsZero() {
			t.Errorf("cut %q, bridged %v", o.Cut, o.BridgedAt)
		}
	})
}

func TestOriginate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []*line
		n := network{place: func(o dialer.Originate, l *line) error {
			got = append(got, l)
			l.event(dialer.EarlyMedia)
			l.later(2*time.Second, func() { l.event(dialer.Ringing) })
			l.later(3*time.Second, func() { l.event(dialer.Answered) })
			return nil
		}}
		n.bridge = func(a, _ *line) error {
			a.later(5*time.Second, func() { a.end(scheduler.Answered, scheduler.ByPeer) })
			return nil
		}
		ahead := 90 * time.Second
		e, err := dialer.New(dialer.Options{
			Trunks: []dialer.Trunk{{Name: "carrier", Driver: &n, Simulated: true}},
			Now:    func() time.Time { return time.Now().Add(ahead) },
		})
		if err != nil {
			t.Fatal(err)
		}
		c := spec()
		c.CallerA, c.CallerB = scheduler.CallerID{Name: "x", Number: "1"}, scheduler.CallerID{Name: "x", Number: "2"}
		c.Variables, c.Attempt = map[string]string{"k": "v"}, 3
		began := time.Now().Add(ahead)
		var at time.Time
		o := e.Dial(t.Context(), c, func(bridged time.Time) { at = bridged })
		if len(got) != 2 {
			t.Fatalf("%d legs", len(got))
		}
		for i, want := range []dialer.Originate{
			{ID: dialer.LegID(c.ID) + "-a1", Role: scheduler.LegA, Number: c.A[0], Caller: c.CallerA},
			{ID: dialer.LegID(c.ID) + "-b1", Role: scheduler.LegB, Number: c.B, Caller: c.CallerB, Partner: dialer.LegID(c.ID) + "-a1"},
		} {
			g := got[i].Originate
			if g.ID != want.ID || g.Role != want.Role || g.Number != want.Number || g.Caller != want.Caller || g.Partner != want.Partner ||
				g.Trunk != "carrier" || g.Call != c.ID || g.Task != 41 || g.Attempt != 3 || g.Variables["k"] != "v" {
				t.Errorf("leg %d is asked for as %+v", i, g)
			}
			if got[i].ctx.Err() == nil {
				t.Errorf("the context of leg %d outlives the call", i)
			}
		}
		if !at.Equal(began.Add(6*time.Second)) || !o.BridgedAt.Equal(at) || !o.EndedAt.Equal(began.Add(11*time.Second)) {
			t.Errorf("bridged %v, ended %v after the start by the engine's clock", at.Sub(began), o.EndedAt.Sub(began))
		}
		b := o.Legs[1]
		if !b.StartedAt.Equal(began.Add(3*time.Second)) || b.PDD() != 0 || !b.RangAt.Equal(b.StartedAt) || !b.AnsweredAt.Equal(began.Add(6*time.Second)) {
			t.Errorf("B's leg is %+v", b)
		}
		if !o.Simulated || b.Trunk != "carrier" || b.Try != 1 || b.Number != c.B.E164 {
			t.Errorf("simulated %t, B's leg %+v", o.Simulated, b)
		}
	})
}

func TestRoom(t *testing.T) {
	down := &network{down: errors.New("no answer")}
	up := &network{}
	for name, c := range map[string]struct {
		trunks []dialer.Trunk
		want   int
		sick   bool
	}{
		"a call needs two channels":         {trunks: []dialer.Trunk{{Driver: up, MaxChannels: 9}}, want: 4},
		"trunks add up":                     {trunks: []dialer.Trunk{{Driver: up, MaxChannels: 4}, {Driver: up, MaxChannels: 6}}, want: 5},
		"a trunk without a limit is enough": {trunks: []dialer.Trunk{{Driver: up, MaxChannels: 4}, {Driver: up}}, want: 1<<31 - 1},
		"a trunk that is down does not count": {
			trunks: []dialer.Trunk{{Driver: up, MaxChannels: 4}, {Driver: down}}, want: 2,
		},
		"there is none while everything is down": {trunks: []dialer.Trunk{{Driver: down}}, sick: true},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.trunks {
				c.trunks[i].Name = "t" + string(rune('1'+i))
			}
			e, _ := engine(t, c.trunks...)
			if got := e.Room(); got != c.want {
				t.Errorf("room %d, want %d", got, c.want)
			}
			if err := e.Health(t.Context()); (err != nil) != c.sick || err != nil && !strings.Contains(err.Error(), "t1 is down: no answer") {
				t.Errorf("health %v", err)
			}
		})
	}
	t.Run("calls under way take theirs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, _ := engine(t, dialer.Trunk{Name: "t", Driver: &network{}, MaxChannels: 6})
			for range 2 {
				dial(t, e, spec())
			}
			synctest.Wait()
			if got := e.Room(); got != 1 {
				t.Errorf("room %d, want 1", got)
			}
		})
	})
}

func TestNewTellsEveryFault(t *testing.T) {
	_, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{
		{Driver: &network{}, MaxChannels: 1},
		{Name: "x", Prefixes: []string{"39", "+", "+39"}, MaxChannels: -1},
		{Name: "x", Driver: &network{}, MaxChannels: 1},
	}})
	var got []string
	if err != nil {
		got = strings.Split(err.Error(), "\n")
	}
	want := []string{
		"trunk 1 has no name",
		"trunk x has no driver",
		"trunk x: max_channels must not be negative",
		`trunk x: prefix "39" must be + and up to 15 digits`,
		`trunk x: prefix "+" must be + and up to 15 digits`,
		"trunk x is there twice",
		"the trunks have fewer than the two channels that a call needs",
	}
	slices.Sort(got)
	slices.Sort(want)
	same(t, "faults", got, want)
	if _, err := dialer.New(dialer.Options{}); err == nil {
		t.Error("an engine without a trunk")
	}
}
