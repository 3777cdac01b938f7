package ari_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/ari"
	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/dialertest"
	"ringback/scheduler"
)

// far is a far end that is Asterisk's own dialplan; it answers and stays, or
// is silent or busy by the last digits.
const far = "Local/{number}@far/n"

// leg originates a leg of call n.
func leg(t *testing.T, d dialer.Driver, n int, role scheduler.Role, b dialertest.Behaviour, partner dialer.LegID) *dialertest.Story {
	t.Helper()
	s := &dialertest.Story{ID: dialer.LegID(fmt.Sprintf("%032x-%s1", n, role))}
	err := d.Originate(context.WithoutCancel(t.Context()), dialer.Originate{
		ID: s.ID, Trunk: "peer", Role: role, Number: number(role, b, 0), Partner: partner,
	}, s.Tell)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// talk makes a bridged call n.
func talk(t *testing.T, d dialer.Driver, n int) (a, b *dialertest.Story) {
	t.Helper()
	a = leg(t, d, n, scheduler.LegA, dialertest.Answers, "")
	a.Await(t, dialer.Answered)
	b = leg(t, d, n, scheduler.LegB, dialertest.Answers, a.ID)
	b.Await(t, dialer.Answered)
	if err := d.Bridge(t.Context(), a.ID, b.ID); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// ofCalls returns which of the channels belong to calls, without those of the
// far ends.
func ofCalls(ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool {
		return !strings.Contains(id, "-a1") && !strings.Contains(id, "-b1") || strings.HasSuffix(id, ";2")
	})
}

func noneLeft(pbx *asterisktest.PBX) func() error {
	return func() error {
		if channels, bridges := pbx.Channels(), pbx.Bridges(); len(channels)+len(bridges) > 0 {
			return fmt.Errorf("asterisk has channels %q and bridges %q", channels, bridges)
		}
		return nil
	}
}

// TestOurCrash: what a killed process leaves is hung up when it is back, and
// nothing else is.
func TestOurCrash(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		o := options(pbx, far)
		d, neighbour := open(t, o), open(t, options(pbx, far))
		talk(t, d, 1)
		leg(t, d, 2, scheduler.LegA, dialertest.Answers, "").Await(t, dialer.Answered)
		leg(t, d, 3, scheduler.LegA, dialertest.Silent, "").Await(t, dialer.Ringing)
		a, b := talk(t, neighbour, 4)
		if err := d.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := ofCalls(pbx.Channels()); len(left) != 6 || len(pbx.Bridges()) != 2 {
			t.Fatalf("after the crash asterisk has channels %q and bridges %q: nothing is tested", left, pbx.Bridges())
		}
		open(t, o)
		eventually(t, func() error {
			left, bridges := ofCalls(pbx.Channels()), pbx.Bridges()
			slices.Sort(left)
			if want := []string{string(a.ID), string(b.ID)}; !slices.Equal(left, want) || len(bridges) != 1 {
				return fmt.Errorf("asterisk has channels %q and bridges %q, want %q and their bridge", left, bridges, want)
			}
			return nil
		})
		if a.Has(dialer.Ended) || b.Has(dialer.Ended) {
			t.Error("a call of another node was ended")
		}
	})
}

// TestAsteriskRestarts: every leg gets its end when Asterisk dies in the middle
// of calls, and when it is back so are we.
func TestAsteriskRestarts(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		for how, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGTERM} {
			t.Run(how, func(t *testing.T) {
				pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
				d := open(t, options(pbx, far))
				a, b := talk(t, d, 1)
				rings := leg(t, d, 2, scheduler.LegA, dialertest.Silent, "")
				rings.Await(t, dialer.Ringing)
				leaves := leg(t, d, 3, scheduler.LegA, dialertest.Silent, "")
				leaves.Await(t, dialer.Ringing)
				pbx.Stop(signal)
				eventually(t, func() error {
					if d.Health(t.Context()) == nil {
						return errors.New("the driver is healthy without Asterisk")
					}
					return nil
				})
				err := d.Originate(t.Context(), dialer.Originate{
					ID: "00000000000000000000000000000009-a1", Trunk: "peer", Number: number(scheduler.LegA, dialertest.Answers, 0),
				}, func(dialer.Event) { t.Error("an event of a refused leg") })
				if err == nil {
					t.Error("a leg was taken without Asterisk")
				}
				if err := d.Hangup(t.Context(), leaves.ID, dialer.HangupTimeout); err != nil {
					t.Error(err)
				}
				if end := leaves.End(t); end.Disposition != scheduler.NoAnswer && how == "killed" {
					t.Errorf("hung up meanwhile: %+v", end)
				}
				pbx.Run()
				healthy(t, d)
				for _, s := range []*dialertest.Story{a, b} {
					if end := s.End(t); end.Disposition != scheduler.Answered {
						t.Errorf("leg %s of the talk ended %+v", s.ID, end)
					}
				}
				if end := rings.End(t); how == "killed" && end.Disposition != scheduler.Congestion {
					t.Errorf("the leg that rang ended %+v", end)
				}
				a, _ = talk(t, d, 5)
				_ = d.Hangup(t.Context(), a.ID, dialer.HangupNormal)
				a.End(t)
			})
		}
	})
}

// wire is what lies between the driver and Asterisk, and can be cut.
type wire struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
	done  sync.WaitGroup
}

func newWire(t *testing.T, rawURL string) (w *wire, through string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{listener: l, to: u.Host}
	w.done.Go(w.run)
	t.Cleanup(func() {
		l.Close()
		w.set(true)
		w.done.Wait()
	})
	u.Host = l.Addr().String()
	return w, u.String()
}

// set cuts the wire or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for _, c := range w.conns {
			c.Close()
		}
		w.conns = nil
	}
}

func (w *wire) run() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.pass(near)
	}
}

func (w *wire) pass(near net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		near.Close()
		return
	}
	far, err := net.Dial("tcp4", w.to)
	if err != nil {
		near.Close()
		return
	}
	w.conns = append(w.conns, near, far)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		w.done.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			near.Close()
			far.Close()
		})
	}
}

// TestLostWebSocket: calls go on while we hear nothing of them, and what
// happened meanwhile is told when we do.
func TestLostWebSocket(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		o := options(pbx, far)
		var w *wire
		w, o.URL = newWire(t, pbx.URL)
		d := open(t, o)
		stayA, stayB := talk(t, d, 1)
		goneA, goneB := talk(t, d, 2)
		rings := leg(t, d, 3, scheduler.LegA, dialertest.Silent, "")
		rings.Await(t, dialer.Ringing)
		dropped := leg(t, d, 4, scheduler.LegA, dialertest.Silent, "")
		dropped.Await(t, dialer.Ringing)
		w.set(true)
		eventually(t, func() error {
			if d.Health(t.Context()) == nil {
				return errors.New("the driver is healthy without a WebSocket")
			}
			return nil
		})
		for _, s := range []*dialertest.Story{goneA, goneB} {
			if _, err := pbx.Request("DELETE", "channels/"+string(s.ID)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Hangup(t.Context(), dropped.ID, dialer.HangupCancel); err != nil {
			t.Error(err)
		}
		w.set(false)
		healthy(t, d)
		for _, s := range []*dialertest.Story{goneA, goneB} {
			if end := s.End(t); end.Disposition != scheduler.Answered {
				t.Errorf("leg %s that ended meanwhile: %+v", s.ID, end)
			}
		}
		if end := dropped.End(t); end.Disposition != scheduler.Cancelled || end.By != scheduler.ByUs {
			t.Errorf("the leg that was hung up meanwhile: %+v", end)
		}
		for _, s := range []*dialertest.Story{stayA, stayB, rings} {
			if s.Has(dialer.Ended) {
				t.Errorf("leg %s was ended: %+v", s.ID, s.End(t))
			}
			_ = d.Hangup(t.Context(), s.ID, dialer.HangupNormal)
			s.End(t)
		}
		eventually(t, noneLeft(pbx))
	})
}

// TestFrozenAsterisk: one that says nothing is away, and its calls go on when
// it wakes.
func TestFrozenAsterisk(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		d := open(t, options(pbx, far))
		a, _ := talk(t, d, 1)
		pbx.Signal(syscall.SIGSTOP)
		eventually(t, func() error {
			if d.Health(t.Context()) == nil {
				return errors.New("the driver is healthy over a frozen Asterisk")
			}
			return nil
		})
		pbx.Signal(syscall.SIGCONT)
		healthy(t, d)
		if a.Has(dialer.Ended) {
			t.Errorf("the call was ended: %+v", a.End(t))
		}
	})
}

// TestSameName: a second process of the same node is told apart from an
// Asterisk that is away.
func TestSameName(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		o := options(pbx, far)
		first := open(t, o)
		open(t, o)
		eventually(t, func() error {
			if err := first.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "another process") {
				return fmt.Errorf("the first one says %w", err)
			}
			return nil
		})
	})
}

// TestWrongPassword: health says so.
func TestWrongPassword(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		o := options(pbx, far)
		o.Password = "wrong"
		d, err := ari.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close(t.Context()) }()
		eventually(t, func() error {
			if err := d.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "password") {
				return fmt.Errorf("health says %w", err)
			}
			return nil
		})
	})
}

// adopted adopts a leg.
func adopted(t *testing.T, d dialer.Adopter, id dialer.LegID) *dialertest.Story {
	t.Helper()
	s := &dialertest.Story{ID: id}
	begun, trunk, err := d.Adopt(context.WithoutCancel(t.Context()), id, s.Tell)
	if err != nil || trunk != "peer" || time.Since(begun).Abs() > time.Minute {
		t.Fatalf("leg %s was begun at %s on trunk %q: %v", id, begun, trunk, err)
	}
	return s
}

// TestAnotherNodeAdopts: what a killed process leaves bridged goes on under
// another one, which hears of its end, also after the connection was lost; and
// who was killed leaves it alone when it is back.
func TestAnotherNodeAdopts(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		o := options(pbx, far)
		o.KeepLeft = true
		d, other := open(t, o), open(t, options(pbx, far))
		a, b := talk(t, d, 1)
		c, e := talk(t, d, 2)
		ringing := leg(t, d, 3, scheduler.LegA, dialertest.Silent, "")
		ringing.Await(t, dialer.Ringing)
		if err := d.Crash(t.Context()); err != nil {
			t.Fatal(err)
		}
		adoptedA, adoptedB := adopted(t, other, a.ID), adopted(t, other, b.ID)
		for _, id := range []dialer.LegID{ringing.ID, "00000000000000000000000000000009-a1"} {
			if _, _, err := other.Adopt(t.Context(), id, func(dialer.Event) {}); !errors.Is(err, dialer.ErrNoLeg) {
				t.Errorf("leg %s was adopted: %v", id, err)
			}
		}
		again := open(t, o) // with what was not adopted there
		adoptedC, adoptedE := adopted(t, again, c.ID), adopted(t, again, e.ID)
		if err := again.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			left := ofCalls(pbx.Channels())
			slices.Sort(left)
			if want := []string{string(a.ID), string(b.ID), string(c.ID), string(e.ID)}; !slices.Equal(left, want) || len(pbx.Bridges()) != 2 {
				return fmt.Errorf("asterisk has channels %q and bridges %q, want %q and their bridges", left, pbx.Bridges(), want)
			}
			return nil
		})
		for _, s := range []*dialertest.Story{adoptedA, adoptedB, adoptedC, adoptedE} {
			if s.Has(dialer.Ended) {
				t.Fatalf("leg %s has ended", s.ID)
			}
		}
		if code, err := pbx.Request("DELETE", "channels/"+string(a.ID)); err != nil || code >= 300 {
			t.Fatalf("hang up: %d, %v", code, err)
		}
		if end := adoptedA.End(t); end.Disposition != scheduler.Answered || end.By != scheduler.ByPeer {
			t.Errorf("A ended as %+v", end)
		}
		if err := other.Hangup(t.Context(), b.ID, dialer.HangupNormal); err != nil {
			t.Fatal(err)
		}
		if end := adoptedB.End(t); end.Disposition != scheduler.Answered || end.By != scheduler.ByUs {
			t.Errorf("B ended as %+v", end)
		}
		for _, s := range []*dialertest.Story{adoptedC, adoptedE} {
			if err := again.Hangup(t.Context(), s.ID, dialer.HangupNormal); err != nil {
				t.Fatal(err)
			}
			s.End(t)
		}
		eventually(t, noneLeft(pbx))
	})
}
