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

// TestAnAnswerToNobodyIsEnded if it comes from the trunk; a stranger could let
// us send requests to anyone.
func TestAnAnswerToNobodyIsEnded(t *testing.T) {
	t.Parallel()
	listen := func(ip net.IP) *net.UDPConn {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: ip})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	peer, stranger := listen(net.IPv4(127, 0, 0, 1)), listen(net.IPv4(127, 0, 0, 2))
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.LocalAddr())})
	to, err := net.ResolveUDPAddr("udp4", sip.Address(d))
	if err != nil {
		t.Fatal(err)
	}
	for claim, c := range map[string]struct {
		from    *net.UDPConn
		status  string
		headers string
		want    string // the methods of what comes back
	}{
		"of the trunk":                 {peer, "200 OK", "To: <sip:1@h>;tag=b\nCSeq: 7 INVITE\n", "ACK 7, BYE 1048583"},
		"of a stranger":                {stranger, "200 OK", "To: <sip:1@h>;tag=b\nCSeq: 7 INVITE\n", ""},
		"a refusal":                    {peer, "486 Busy Here", "To: <sip:1@h>;tag=b\nCSeq: 7 INVITE\n", ""},
		"an answer to something else":  {peer, "200 OK", "To: <sip:1@h>;tag=b\nCSeq: 7 BYE\n", ""},
		"an answer that makes no call": {peer, "200 OK", "To: <sip:1@h>\nCSeq: 7 INVITE\n", ""},
	} {
		text := "SIP/2.0 " + c.status + "\nVia: SIP/2.0/UDP " + sip.Address(d) + ";branch=z9hG4bKgone\nFrom: <sip:us@h>;tag=a\n" + c.headers +
			"Call-ID: 0123-a1\nContact: <sip:p@" + c.from.LocalAddr().String() + ">\nContent-Length: 0\n\n"
		for range 2 { // it comes again until it is acknowledged
			if _, err := c.from.WriteToUDP([]byte(strings.ReplaceAll(text, "\n", "\r\n")), to); err != nil {
				t.Fatal(err)
			}
		}
		if got := heard(t, c.from); got != c.want {
			t.Errorf("%s is answered by %q, want %q", claim, got, c.want)
		}
	}
}

// heard listens to requests for half a second and returns them as method and
// number: an ACK once, a BYE once a transaction. It answers a BYE.
func heard(t *testing.T, conn *net.UDPConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var list []string
	seen := map[string]bool{}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDP(buf)
		if err != nil {
			return strings.Join(list, ", ")
		}
		headers := map[string]string{}
		for _, m := range headerLine.FindAllStringSubmatch(string(buf[:n]), -1) {
			headers[m[1]] = m[2]
		}
		first, rest, _ := strings.Cut(string(buf[:n]), "\r\n")
		number, method, _ := strings.Cut(headers["CSeq"], " ")
		key := method + " " + number
		if method == "BYE" {
			key = headers["Via"]
		}
		if !seen[key] {
			list = append(list, method+" "+number)
		}
		if strings.HasPrefix(first, "BYE ") {
			_, _ = conn.WriteToUDP([]byte("SIP/2.0 200 OK\r\n"+rest), from)
		}
		seen[key] = true
	}
}
