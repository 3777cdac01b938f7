package sip_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
)

// openDirect returns a driver of a trunk past which the sound may go.
func openDirect(t *testing.T, a, b *sipptest.Peer) *sip.Driver {
	t.Helper()
	return openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", exchangeOf(t, a, b)), Direct: true})
}

// TestSoundGoesPastUs: each dialogue is judged by its peers; the ports are
// those of the test, and nobody sends anything to the driver's.
func TestSoundGoesPastUs(t *testing.T) {
	const portA, portB, moved = "6000", "6002", "6004"
	for claim, c := range map[string]struct {
		a, b   string // scenarios
		early  bool
		digits string
		fails  bool
		until  string // what A has sent at last; "": nothing more
	}{
		"A is told in a glare, holds and resumes":   {a: "direct_a", b: "direct_b", until: "CSeq: 103 ACK"},
		"an A that does not take it is not joined":  {a: "direct_refuses", b: "probe", fails: true},
		"early media tells A before the answer":     {a: "direct_told", b: "direct_early", early: true},
		"B follows an A that moves":                 {a: "direct_moves", b: "direct_follows"},
		"B is sent digits by us, and then put back": {a: "direct_told", b: "direct_dials", digits: "1"},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peerA := scenario(t, c.a, map[string]string{"sound": portA, "theirs": portB, "moved": moved})
			peerB := scenario(t, c.b, map[string]string{"sound": portB, "theirs": portA, "moved": moved})
			d := openDirect(t, peerA, peerB)
			a := place(t, d, nil)
			a.next(dialer.Ringing)
			a.next(dialer.Answered)
			if err := d.Ringback(t.Context(), a.id, true); err != nil {
				t.Fatal(err)
			}
			b := place(t, d, toB(a))
			if c.early {
				b.next(dialer.EarlyMedia)
			} else {
				b.next(dialer.Ringing)
			}
			b.next(dialer.Answered)
			if c.digits != "" {
				if err := d.Press(t.Context(), b.id, c.digits); err != nil {
					t.Fatal(err)
				}
				b.next(dialer.Played)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := d.Bridge(ctx, a.id, b.id); (err != nil) != c.fails {
				t.Errorf("bridge: %v", err)
			}
			until(t, func() bool { return strings.Contains(peerA.Messages(), c.until) })
			a.hangUp(dialer.HangupNormal)
			b.hangUp(dialer.HangupNormal)
			a.next(dialer.Ended)
			b.next(dialer.Ended)
			peerA.Wait()
			peerB.Wait()
		})
	}
}
