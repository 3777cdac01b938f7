package sip_test

import (
	"context"
	"fmt"
	"testing"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
)

// TestALegIsEndedByWhoComesAfterUs, with nothing but its state.
func TestALegIsEndedByWhoComesAfterUs(t *testing.T) {
	t.Parallel()
	for claim, scenario := range map[string]string{
		"directly":                       "left",
		"by the route its answer left":   "routed",
		"through a proxy that asks back": "left_behind_proxy",
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := sipptest.Start(t, sipptest.Options{Scenario: "testdata/" + scenario + ".xml"})
			trunk := sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr)}
			if scenario == "left_behind_proxy" {
				trunk.OutboundProxy = sipptest.StartProxy(t, sipptest.ProxyOptions{Username: "acme", Password: "secret", Algorithm: "MD5"}).String()
				trunk.Username, trunk.Password = "acme", "secret"
			}
			former, next := openTrunks(t, trunk), openTrunks(t, trunk)
			leg := place(t, former, nil)
			answer := <-leg.events
			for answer.Kind != dialer.Answered {
				answer = <-leg.events
			}
			if err := next.Recover(context.Background(), "test", answer.State); err != nil {
				t.Fatal(err)
			}
			peer.Wait()
			leg.hangUp(dialer.HangupNormal)
			leg.next(dialer.Ended)
		})
	}
}

func TestAStateThatIsNoneIsGivenUp(t *testing.T) {
	t.Parallel()
	d := openTrunks(t, sip.Trunk{Endpoint: "sip:{number}@127.0.0.1:9"})
	for claim, state := range map[string]string{
		"nothing": "", "something else": "hello", "a response": "SIP/2.0 200 OK\r\n\r\n",
		"another request": "INVITE sip:a@127.0.0.1:9 SIP/2.0\r\n\r\n", "a BYE of nobody": "BYE sip:a@127.0.0.1:9 SIP/2.0\r\n\r\n",
	} {
		if err := d.Recover(context.Background(), "test", []byte(state)); err != nil {
			t.Errorf("%s: %v", claim, err)
		}
	}
	if d.Recover(context.Background(), "other", nil) == nil {
		t.Error("a trunk that is not was no error")
	}
}
