package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/scheduler"
)

// TestASessionIsKeptAlive by us, or given up with the peer that should have.
func TestASessionIsKeptAlive(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		scenario string
		until    string // what the peer gets before we hang up
		dead     string
	}{
		"by UPDATE":                          {"refreshed", "Session-Expires: 600", ""},
		"by INVITE to a peer without UPDATE": {"refreshed_by_invite", "CSeq: 3 ACK", ""},
		"longer if the peer wants it":        {"too_short", "CSeq: 2 ACK", ""},
		"not without the peer's refresh":     {"forgets", "", "no session refresh"},
		"not after the peer forgot it":       {"gone", "", "no session refresh"},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, c.scenario, nil)
			leg := place(t, open(t, peer.Addr), nil)
			leg.next(dialer.Answered)
			if c.dead != "" {
				leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 102, SIP: 200, Native: c.dead, By: scheduler.ByUs})
				peer.Wait()
				return
			}
			count := 1
			if c.until == "Session-Expires: 600" {
				count = 2 // of the INVITE and of the second answer
			}
			until(t, func() bool { return strings.Count(peer.Messages(), c.until) >= count })
			leg.hangUp(dialer.HangupNormal)
			leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
			peer.Wait()
		})
	}
}

func TestAPeerThatSaysNothingIsTakenForDead(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "dead_air", nil)
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Silence: 300 * time.Millisecond})
	leg := place(t, d, nil)
	leg.next(dialer.Answered)
	began := time.Now()
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 102, SIP: 200, Native: "no sound", By: scheduler.ByUs})
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("after %v", took)
	}
	peer.Wait()
}

func TestAPeerThatSpeaksIsNotTakenForDead(t *testing.T) {
	t.Parallel()
	ear := newProbe(t)
	peer := scenario(t, "probe", map[string]string{"sound": ear.port})
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Silence: 900 * time.Millisecond})
	leg := place(t, d, nil)
	leg.next(dialer.Ringing)
	leg.next(dialer.Answered)
	port := rtpPort(t, peer)
	for range 130 { // longer than it may be silent
		ear.say(port, 8, "hello")
		time.Sleep(10 * time.Millisecond)
	}
	leg.hangUp(dialer.HangupNormal)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}

func TestAReliableRingingIsConfirmed(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "wants_prack", nil)
	leg := place(t, open(t, peer.Addr), nil)
	leg.next(dialer.Ringing)
	leg.next(dialer.Answered)
	leg.hangUp(dialer.HangupNormal)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}
