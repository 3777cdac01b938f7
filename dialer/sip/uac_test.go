package sip_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

func TestARefusedLegEndsAsThePeerSays(t *testing.T) {
	t.Parallel()
	const none = "Server: peer"
	type want struct {
		disposition scheduler.Disposition
		q850        int
	}
	for claim, c := range map[string]struct {
		status, phrase, extra string
		silent                bool // refuses without ringing
		want                  want
	}{
		"486 is busy":                            {status: "486", phrase: "Busy Here", extra: none, want: want{scheduler.UserBusy, 0}},
		"486 without ringing is busy":            {status: "486", phrase: "Busy Here", extra: none, silent: true, want: want{scheduler.UserBusy, 0}},
		"603 is rejected":                        {status: "603", phrase: "Decline", extra: none, want: want{scheduler.Rejected, 0}},
		"404 is an invalid number":               {status: "404", phrase: "Not Found", extra: none, silent: true, want: want{scheduler.InvalidNumber, 0}},
		"503 is congestion":                      {status: "503", phrase: "Service Unavailable", extra: none, silent: true, want: want{scheduler.Congestion, 0}},
		"480 is no answer":                       {status: "480", phrase: "Temporarily Unavailable", extra: none, want: want{scheduler.NoAnswer, 0}},
		"480 with cause 20 is absent":            {status: "480", phrase: "Temporarily Unavailable", extra: `Reason: Q.850;cause=20;text="Subscriber absent"`, want: want{scheduler.Absent, 20}},
		"404 with cause 3 is congestion":         {status: "404", phrase: "Not Found", extra: "Reason: SIP;cause=404, Q.850 ; cause = 3", silent: true, want: want{scheduler.Congestion, 3}},
		"486 with cause 16 stays busy":           {status: "486", phrase: "Busy Here", extra: "Reason: Q.850;cause=16", want: want{scheduler.UserBusy, 16}},
		"408 after ringing is no answer":         {status: "408", phrase: "Request Timeout", extra: none, want: want{scheduler.NoAnswer, 0}},
		"408 without ringing is failed":          {status: "408", phrase: "Request Timeout", extra: none, silent: true, want: want{scheduler.Failed, 0}},
		"488 is failed":                          {status: "488", phrase: "Not Acceptable Here", extra: none, silent: true, want: want{scheduler.Failed, 0}},
		"407 without a password to it is failed": {status: "407", phrase: "Proxy Authentication Required", extra: `Proxy-Authenticate: Digest realm="x", nonce="y"`, silent: true, want: want{scheduler.Failed, 0}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			name := "refuse"
			if c.silent {
				name = "refuse_at_once"
			}
			peer := scenario(t, name, map[string]string{"status": c.status, "phrase": c.phrase, "extra": c.extra})
			leg := place(t, open(t, peer.Addr), nil)
			if !c.silent {
				leg.next(dialer.Ringing)
			}
			var code int
			_, _ = fmt.Sscan(c.status, &code)
			leg.ends(dialer.End{
				Disposition: c.want.disposition, Q850: c.want.q850, SIP: code, Native: c.phrase, By: scheduler.ByPeer,
			})
			peer.Wait()
		})
	}
}

func TestALegThatIsHungUpBeforeAnAnswer(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		scenario string
		reason   dialer.HangupReason
		rings    bool
		want     dialer.End
	}{
		"a ring time-out is no answer": {
			"cancelled", dialer.HangupTimeout, true, dialer.End{Disposition: scheduler.NoAnswer, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"an order from outside is cancelled": {
			"cancelled", dialer.HangupCancel, true, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"a fork that lost is told that another answered": {
			"cancelled_elsewhere", dialer.HangupElsewhere, true, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"the CANCEL waits for the first response": {
			"slow", dialer.HangupCancel, false, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"a peer that ignores the CANCEL is not waited for, and its late answer is ended": {
			"deaf_to_cancel", dialer.HangupTimeout, true, dialer.End{Disposition: scheduler.NoAnswer, By: scheduler.ByUs},
		},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, c.scenario, nil)
			leg := place(t, open(t, peer.Addr), nil)
			if c.rings {
				leg.next(dialer.Ringing)
			}
			leg.hangUp(c.reason)
			leg.hangUp(dialer.HangupNormal) // only the first counts
			leg.ends(c.want)
			peer.Wait()
		})
	}
}

func TestACancelledContextHangsUp(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "cancelled", nil)
	leg := place(t, open(t, peer.Addr), nil)
	leg.next(dialer.Ringing)
	leg.stop()
	leg.ends(dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs})
	peer.Wait()
}

func TestAnAnswerThatCrossesTheCancelIsToldAndEnded(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "glare", nil)
	leg := place(t, open(t, peer.Addr), nil)
	leg.next(dialer.Ringing)
	leg.hangUp(dialer.HangupTimeout)
	leg.next(dialer.Answered)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}

func TestAnAnsweredLeg(t *testing.T) {
	t.Parallel()
	ours := dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs}
	for claim, c := range map[string]struct {
		scenario string
		silent   bool // answers without ringing
		byPeer   bool
		want     dialer.End
	}{
		"is ended by our BYE": {scenario: "answer", want: ours},
		"is ended by the peer's BYE, whose Q.850 cause is kept": {scenario: "hangs_up", byPeer: true, want: dialer.End{
			Disposition: scheduler.Answered, Q850: 31, SIP: 200, By: scheduler.ByPeer,
			Native: `SIP;cause=200;text="a, b;cause=9", Q.850;cause=31;text="Normal, unspecified"`,
		}},
		"rings once, however often that is told":       {scenario: "rings_and_rings", want: ours},
		"does not ring after it answered":              {scenario: "out_of_order", silent: true, want: ours},
		"is reached where it says that it moved to":    {scenario: "moves", want: ours},
		"gets its ACK again when it was lost":          {scenario: "lost_ack", silent: true, want: ours},
		"is reached by the route its answer recorded":  {scenario: "routed", silent: true, want: ours},
		"goes on when a second branch answers as well": {scenario: "fork", silent: true, want: ours},
		"may hold, resume, and ask": {scenario: "asks_again", byPeer: true, want: dialer.End{
			Disposition: scheduler.Answered, Q850: 31, SIP: 200, By: scheduler.ByPeer,
			Native: `SIP;cause=200;text="a, b;cause=9", Q.850;cause=31;text="Normal, unspecified"`,
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, c.scenario, nil)
			leg := place(t, open(t, peer.Addr), nil)
			if !c.silent {
				leg.next(dialer.Ringing)
			}
			leg.next(dialer.Answered)
			if !c.byPeer {
				until(t, func() bool { return c.scenario != "moves" || strings.Contains(peer.Messages(), "\nACK sip:ringback") })
				until(t, func() bool { return c.scenario != "out_of_order" || strings.Contains(peer.Messages(), "100 Trying") })
				until(t, func() bool { return c.scenario != "fork" || strings.Contains(peer.Messages(), "cause=26") })
				until(t, func() bool { return c.scenario != "lost_ack" || strings.Count(peer.Messages(), "\nACK sip:") == 2 })
				leg.hangUp(dialer.HangupNormal)
			}
			leg.ends(c.want)
			peer.Wait()
		})
	}
}

// until waits for what a peer has yet to do.
func until(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited in vain")
		}
	}
}

func TestAnAnswerWithoutUsableSoundIsEnded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bad_sdp", "other_codec"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, name, nil)
			leg := place(t, open(t, peer.Addr), nil)
			end := leg.next(dialer.Ended).End
			if end.Disposition != scheduler.Failed || end.SIP != 200 || end.Q850 != 88 || end.By != scheduler.ByUs {
				t.Errorf("end %+v", end)
			}
			peer.Wait()
		})
	}
}

func TestNobodyThereIsFailed(t *testing.T) {
	t.Parallel()
	nobody := netip.MustParseAddrPort("127.0.0.1:9") // discard: nothing listens
	leg := place(t, open(t, nobody), nil)
	leg.ends(dialer.End{Disposition: scheduler.Failed, SIP: 408, Native: "no response", By: scheduler.ByUs})
}

func TestALegThatNobodyAnsweredIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	leg := place(t, open(t, netip.MustParseAddrPort("127.0.0.1:9")), nil)
	begin := time.Now()
	leg.hangUp(dialer.HangupTimeout)
	leg.ends(dialer.End{Disposition: scheduler.NoAnswer, By: scheduler.ByUs})
	if took := time.Since(begin); took > 64*msg.T1 {
		t.Errorf("the end came after %v", took)
	}
}
