package dialer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

func TestRoute(t *testing.T) {
	one, other := &network{place: busy}, &network{place: busy}
	for name, c := range map[string]struct {
		trunks []dialer.Trunk
		a, b   scheduler.Number
		want   []string // role, trunk and disposition of each leg
	}{
		"the longest prefix wins": {
			trunks: []dialer.Trunk{{Name: "it", Driver: one, Prefixes: []string{"+39"}}, {Name: "rome", Driver: one, Prefixes: []string{"+44", "+3906"}}},
			a:      number("+390655500001"), b: number("+390655500002"), want: []string{"a rome busy"},
		},
		"a prefix beats a trunk for any number": {
			trunks: []dialer.Trunk{{Name: "any", Driver: one}, {Name: "it", Driver: one, Prefixes: []string{"+39"}}},
			a:      number("+390655500001"), b: number("+390655500002"), want: []string{"a it busy"},
		},
		"the first of equals wins": {
			trunks: []dialer.Trunk{{Name: "x", Driver: one}, {Name: "y", Driver: one}},
			a:      number("+390655500001"), b: number("+390655500002"), want: []string{"a x busy"},
		},
		"a dial string goes to the PBX": {
			trunks: []dialer.Trunk{{Name: "carrier", Driver: one}, {Name: "pbx", Driver: one, Internal: true, Prefixes: []string{"+9"}}},
			a:      scheduler.Number{Given: "*101#"}, b: number("+390655500002"), want: []string{"a pbx busy"},
		},
		"a carrier takes no dial string": {
			trunks: []dialer.Trunk{{Name: "carrier", Driver: one}},
			a:      scheduler.Number{Given: "101"}, b: number("+390655500002"), want: []string{"a no_route"},
		},
		"a SIP address is no dial string": {
			trunks: []dialer.Trunk{{Name: "pbx", Driver: one, Internal: true}},
			a:      scheduler.Number{Given: "sip:1@example.net"}, b: number("+390655500002"), want: []string{"a no_route"},
		},
		"a SIP address goes to the trunk that lists its host": {
			trunks: []dialer.Trunk{
				{Name: "other", Driver: one, Internal: true, URIHosts: []string{"example.org"}},
				{Name: "pbx", Driver: one, Prefixes: []string{"+39"}, URIHosts: []string{"192.0.2.1", "example.net"}},
			},
			a: scheduler.Number{Given: "sip:1@Example.net:5070"}, b: number("+390655500002"), want: []string{"a pbx busy"},
		},
		"nobody is disturbed for a B that no trunk takes": {
			trunks: []dialer.Trunk{{Name: "it", Driver: one, Prefixes: []string{"+39"}}},
			a:      number("+390655500001"), b: number("+442079460000"), want: []string{"b no_route"},
		},
		"A goes where B can be bridged to it": {
			trunks: []dialer.Trunk{
				{Name: "rome", Driver: other, Prefixes: []string{"+3906"}},
				{Name: "it", Driver: one, Prefixes: []string{"+39"}}, {Name: "uk", Driver: one, Prefixes: []string{"+44"}},
			},
			a: number("+390655500001"), b: number("+442079460000"), want: []string{"a it busy"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, log := engine(t, c.trunks...)
			call := spec()
			call.A, call.B = []scheduler.Number{c.a}, c.b
			o := e.Dial(t.Context(), call, noBridge(t))
			var got []string
			for _, l := range o.Legs {
				got = append(got, strings.TrimSpace(string(l.Role)+" "+l.Trunk)+" "+string(l.Disposition))
				if l.StartedAt.IsZero() || l.EndedAt.IsZero() {
					t.Errorf("leg without its times: %+v", l)
				}
			}
			same(t, "legs", got, c.want)
			if o.Free() {
				t.Error("the attempt is free")
			}
			if log.Len() > 0 {
				t.Errorf("log %q", log)
			}
		})
	}
}

// TestPlan: numbers of which some could be called, and not connected, are told
// at start.
func TestPlan(t *testing.T) {
	sip, pbx := &network{}, &network{}
	for claim, c := range map[string]struct {
		trunks []dialer.Trunk
		want   []string // of the faults; none: it is taken
	}{
		"two networks for any number": {trunks: []dialer.Trunk{{Driver: sip}, {Driver: pbx}}},
		"one takes what the other does": {trunks: []dialer.Trunk{
			{Driver: sip, Prefixes: []string{"+39", "+44"}}, {Driver: pbx, Prefixes: []string{"+3906"}}, {Driver: pbx, Prefixes: []string{"+44"}},
		}},
		"or by several trunks": {trunks: []dialer.Trunk{
			{Driver: sip, Prefixes: []string{"+39"}}, {Driver: sip, Prefixes: []string{"+44"}, Internal: true}, {Driver: pbx, Prefixes: []string{"+3906", "+44"}},
		}},
		"each has numbers of its own": {
			trunks: []dialer.Trunk{{Driver: sip, Prefixes: []string{"+39"}}, {Driver: pbx, Prefixes: []string{"+44"}}},
			want:   []string{"numbers with +39 go by trunk 0 and numbers with +44 by trunk 1, and a call between them could not be connected"},
		},
		"a shorter prefix is more than a longer": {
			trunks: []dialer.Trunk{{Driver: sip, Prefixes: []string{"+39"}}, {Driver: pbx, Prefixes: []string{"+3906", "+44"}}},
			want:   []string{"numbers with +39 go by trunk 0 and numbers with +44 by trunk 1"},
		},
		"telephones of a PBX, and numbers of a carrier": {
			trunks: []dialer.Trunk{{Driver: sip}, {Driver: pbx, Internal: true, Prefixes: []string{"+39"}}},
			want:   []string{"numbers without a prefix of their own go by trunk 0 and dial strings such as 101 by trunk 1"},
		},
		"three, each pair elsewhere": {trunks: []dialer.Trunk{
			{Driver: sip, Prefixes: []string{"+1", "+2"}}, {Driver: pbx, Prefixes: []string{"+2", "+3"}}, {Driver: &network{}, Prefixes: []string{"+3", "+1"}},
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			for i := range c.trunks {
				c.trunks[i].Name = fmt.Sprint(i)
			}
			_, err := dialer.New(dialer.Options{Trunks: c.trunks})
			if len(c.want) == 0 && err != nil {
				t.Errorf("fault %v", err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
			}
		})
	}
}

func busy(_ dialer.Originate, l *line) error {
	l.end(scheduler.UserBusy, scheduler.ByPeer)
	return nil
}

// TestRouteB keeps B beside A on the driver of A, over its own trunk.
func TestRouteB(t *testing.T) {
	one, other := &network{}, &network{}
	for _, n := range []*network{one, other} {
		n.place = func(o dialer.Originate, l *line) error {
			if o.Role == scheduler.LegB {
				return busy(o, l)
			}
			l.event(dialer.Answered)
			return nil
		}
	}
	e, _ := engine(t,
		dialer.Trunk{Name: "uk", Driver: other, Prefixes: []string{"+4420"}},
		dialer.Trunk{Name: "it", Driver: one, Prefixes: []string{"+39"}},
		dialer.Trunk{Name: "far", Driver: one, Prefixes: []string{"+44"}})
	call := spec()
	call.B = number("+442079460000")
	o := e.Dial(t.Context(), call, noBridge(t))
	if len(o.Legs) != 2 || o.Legs[0].Trunk != "it" || o.Legs[1].Trunk != "far" || len(other.orders()) > 0 {
		t.Errorf("legs %+v, orders to the other driver %v", o.Legs, other.orders())
	}
}

// TestChannels: no trunk carries more legs than it may, who waits is served in
// order, and nobody waits for ever.
func TestChannels(t *testing.T) {
	t.Run("a leg waits five seconds for a channel, then it is free", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			e, log := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxChannels: 2})
			hold := spec("+390655500009")
			dial(t, e, hold) // rings 30 s on both
			synctest.Wait()
			began := time.Now()
			o := e.Dial(t.Context(), spec(), noBridge(t))
			if took := time.Since(began); took != dialer.ChannelWait || !o.Free() || len(o.Legs) != 1 || o.Legs[0].Disposition != scheduler.LocalError {
				t.Errorf("took %v, free %t, legs %+v", took, o.Free(), o.Legs)
			}
			if log.Len() == 0 {
				t.Error("nothing was logged")
			}
			time.Sleep(time.Minute)
			if got := len(n.orders()); got != 4 {
				t.Errorf("orders %v", n.orders())
			}
			dial(t, e, hold) // both channels are back
			synctest.Wait()
			if got := len(n.orders()); got != 6 {
				t.Errorf("orders %v", n.orders())
			}
		})
	})
	t.Run("a leg that waited rings its full time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxChannels: 2})
			hold := spec("+390655500009")
			hold.Ring = 3 * time.Second
			dial(t, e, hold)
			synctest.Wait()
			began := time.Now()
			o := e.Dial(t.Context(), spec(), noBridge(t))
			if took := time.Since(began); took != 33*time.Second || o.Comment() != "a_number no_answer" || !o.Legs[0].StartedAt.Equal(began.Add(3*time.Second)) {
				t.Errorf("took %v, %s, legs %+v", took, o.Comment(), o.Legs)
			}
		})
	})
	t.Run("a B goes before every A", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{place: answersAfter(time.Second)}
			e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxChannels: 2})
			long := spec()
			long.ID, long.Ring = "long", 2500*time.Millisecond
			n.place = func(o dialer.Originate, l *line) error {
				if o.Call == "long" { // rings until its time is over
					return nil
				}
				return answersAfter(time.Second)(o, l)
			}
			dial(t, e, long)
			synctest.Wait()
			short1, short2 := spec(), spec()
			short1.ID, short2.ID = "first", "second"
			short1.MaxDuration = time.Second
			dial(t, e, short1) // A answers after 1 s and needs a channel for B
			synctest.Wait()
			dial(t, e, short2) // waits for its A since 0 s
			time.Sleep(2600 * time.Millisecond)
			same(t, "orders", n.orders(), []string{"call a1", "call a1", "ringback a1 true", "timeout a1", "call b1"})
			n.mu.Lock()
			b := n.lines["first-b1"]
			n.mu.Unlock()
			if b == nil {
				t.Error("the waiting A was served before B")
			}
		})
	})
	t.Run("who gives up leaves the queue, and is no leg", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{place: func(o dialer.Originate, l *line) error {
				if short(o.ID) == "a2" {
					l.later(time.Second, func() { l.event(dialer.Answered) })
				}
				if o.Role == scheduler.LegB {
					return busy(o, l)
				}
				return nil
			}}
			e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxChannels: 2})
			o := e.Dial(t.Context(), spec("+390655500008", "+390655500009"), noBridge(t)) // a3 waits
			same(t, "legs", told(o), []string{"a cancelled us lost", "a answered us", "b busy peer"})
			same(t, "orders", n.orders(), []string{"call a1", "call a2", "elsewhere a1", "ringback a2 true", "call b1", "hangup a2"})
			began := time.Now()
			e.Dial(t.Context(), spec("+390655500008"), noBridge(t))
			if took := time.Since(began); took != time.Second {
				t.Errorf("the next call took %v: the channel that a3 waited for is lost", took)
			}
		})
	})
	t.Run("a channel that comes as its leg gives up is not lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxChannels: 2})
			hold := spec("+390655500009")
			hold.Ring = dialer.ChannelWait
			for range 50 {
				dial(t, e, hold)
				synctest.Wait()
				e.Dial(t.Context(), spec(), noBridge(t)) // rings, or gives up in the same moment
			}
			synctest.Wait()
			before := len(n.orders())
			dial(t, e, hold)
			synctest.Wait()
			if got := len(n.orders()) - before; got != 2 {
				t.Errorf("%d legs ring on two channels", got)
			}
		})
	})
}
