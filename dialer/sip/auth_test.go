package sip_test

import (
	"fmt"
	"strings"
	"testing"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// TestAChallengeOfThePeerIsAnswered by MD5: SIPp knows no other, Kamailio does.
func TestAChallengeOfThePeerIsAnswered(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "asks_who", map[string]string{"algorithm": "MD5"})
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Username: "acme", Password: "secret"})
	leg := place(t, d, nil)
	leg.next(dialer.Ringing)
	leg.next(dialer.Answered)
	leg.hangUp(dialer.HangupNormal)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}

// TestAChallengeWithinTheCallIsAnswered, of a refresh by INVITE and of the BYE.
func TestAChallengeWithinTheCallIsAnswered(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "asks_who_goes_on", nil)
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Username: "acme", Password: "secret"})
	leg := place(t, d, nil)
	leg.next(dialer.Answered)
	until(t, func() bool { return strings.Contains(peer.Messages(), "CSeq: 4 ACK") })
	leg.hangUp(dialer.HangupNormal)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "never_content", map[string]string{"algorithm": "MD5"})
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Username: "acme", Password: "wrong"})
	leg := place(t, d, nil)
	leg.ends(dialer.End{Disposition: scheduler.Failed, SIP: 401, Native: "Unauthorized", By: scheduler.ByPeer})
	peer.Wait()
}

func TestAProxyThatAsksWhoWeAre(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct{ algorithm, password string }{
		"is told by MD5":           {"MD5", "secret"},
		"is told by SHA-256":       {"SHA-256", "secret"},
		"refuses a wrong password": {"MD5", "wrong"},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			proxy := sipptest.StartProxy(t, sipptest.ProxyOptions{Username: "acme", Password: "secret", Algorithm: c.algorithm})
			peer := scenario(t, "behind_proxy", nil)
			d := openTrunks(t, sip.Trunk{
				Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), OutboundProxy: proxy.String(), Username: "acme", Password: c.password,
			})
			leg := place(t, d, nil)
			if c.password == "wrong" {
				leg.ends(dialer.End{Disposition: scheduler.Failed, SIP: 407, Native: "Proxy Authentication Required", By: scheduler.ByPeer})
				return
			}
			leg.next(dialer.Ringing)
			leg.next(dialer.Answered)
			leg.hangUp(dialer.HangupNormal)
			leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
			peer.Wait()
		})
	}
}
