package sip_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

func TestATrunkWhosePeerIsAwayIsDownUntilItIsBack(t *testing.T) {
	t.Parallel()
	probes := sipptest.Options{Scenario: "testdata/is_there.xml", Calls: sipptest.Many}
	peer := sipptest.Start(t, probes)
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Probe: 50 * time.Millisecond})
	up := func() bool { return d.TrunkHealth("test") == nil }
	until(t, func() bool { return len(peer.Messages()) > 0 })
	peer.Finish()
	until(t, func() bool { return !up() })
	if d.Originate(t.Context(), dialer.Originate{ID: "x", Trunk: "test", Number: number}, nil) == nil {
		t.Error("a trunk that is down took a leg")
	}
	if err := d.Health(t.Context()); err != nil {
		t.Errorf("the driver serves other trunks, too: %v", err)
	}
	probes.Port = int(peer.Addr.Port())
	again := sipptest.Start(t, probes)
	until(t, up)
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
	again.Finish()
	if d.TrunkHealth("test") == nil || d.TrunkHealth("other") == nil {
		t.Error("a closed trunk, or one that is not, is healthy")
	}
}

func TestATrunkThatAsksToBeLeftAloneIs(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		header string
		rests  bool
	}{
		"for its time":            {"Retry-After: 1 (at lunch);duration=60", true},
		"not without a time":      {"Server: peer", false},
		"not for what is no time": {"Retry-After: soon", false},
		"not for ever":            {"Retry-After: 99999999999999999999", false},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, "refuse_at_once", map[string]string{"status": "503", "phrase": "Service Unavailable", "extra": c.header})
			d := open(t, peer.Addr)
			leg := place(t, d, nil)
			leg.ends(dialer.End{Disposition: scheduler.Congestion, SIP: 503, Native: "Service Unavailable", By: scheduler.ByPeer})
			if got := d.TrunkHealth("test") != nil; got != c.rests {
				t.Errorf("the trunk rests: %t", got)
			}
			until(t, func() bool { return d.TrunkHealth("test") == nil })
			peer.Wait()
		})
	}
}

// TestACallMovesOverToTheNextTrunk: the first trunk is congested, then rests;
// the second one carries A and B.
func TestACallMovesOverToTheNextTrunk(t *testing.T) {
	t.Parallel()
	full := scenario(t, "refuse_at_once", map[string]string{"status": "503", "phrase": "Service Unavailable", "extra": "Retry-After: 60"})
	peerA, peerB := scenario(t, "answer", nil), scenario(t, "hangs_up", nil)
	d := openTrunks(t,
		sip.Trunk{Name: "full", Endpoint: fmt.Sprintf("sip:{number}@%s", full.Addr)},
		sip.Trunk{Name: "free", Endpoint: fmt.Sprintf("sip:{number}@%s", exchangeOf(t, peerA, peerB))})
	health := func(name string) func(context.Context) error {
		return func(context.Context) error { return d.TrunkHealth(name) }
	}
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{
		{Name: "full", Driver: d, Failover: "free", Health: health("full")}, {Name: "free", Driver: d, Health: health("free")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := e.Dial(t.Context(), scheduler.Call{
		ID: scheduler.NewCallID(time.Now()), A: []scheduler.Number{number}, B: scheduler.Number{Given: numberB, E164: "+" + numberB},
		Ring: 5 * time.Second,
	}, func(time.Time) {})
	var got string
	for _, l := range o.Legs {
		got += fmt.Sprintf("%s%d %s %s; ", l.Role, l.Try, l.Trunk, l.Disposition)
	}
	if want := "a1 full congestion; a2 free answered; b1 free answered; "; got != want {
		t.Errorf("legs %s, want %s", got, want)
	}
	full.Wait()
	peerA.Wait()
	peerB.Wait()
}

// TestAProbeIsAnsweredByAnything: a peer that knows no OPTIONS is there all
// the same.
func TestAProbeIsAnsweredByAnything(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 99)
	served := make(chan struct{})
	go func() {
		defer close(served)
		refuseAll(conn, asked)
	}()
	t.Cleanup(func() { conn.Close(); <-served })
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", conn.LocalAddr()), Probe: 10 * time.Millisecond})
	for range 10 {
		<-asked
		if err := d.TrunkHealth("test"); err != nil {
			t.Fatal(err)
		}
	}
}

// refuseAll answers every request with 501 until the socket is closed.
func refuseAll(conn *net.UDPConn, asked chan<- struct{}) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		_, headers, _ := strings.Cut(string(buf[:n]), "\r\n")
		_, _ = conn.WriteToUDP([]byte("SIP/2.0 501 Not Implemented\r\n"+headers), from)
		select {
		case asked <- struct{}{}:
		default:
		}
	}
}
