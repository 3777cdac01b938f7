package sip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
	"golang.org/x/net/dns/dnsmessage"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// zone is a DNS server that knows what it is told: "_sip._udp.carrier.test SRV"
// is a list of "priority weight port target", "carrier.test A" one of addresses.
type zone map[string][]string

// serve answers on loopback until the end of the test, and returns a resolver
// that asks there alone.
func (z zone) serve(t testing.TB) *net.Resolver {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 1<<12)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buf[:n]) == nil && len(query.Questions) == 1 {
				if answer, err := z.answer(query); err == nil {
					_, _ = conn.WriteToUDPAddrPort(answer, from)
				}
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
}

func (z zone) answer(query dnsmessage.Message) ([]byte, error) {
	q := query.Questions[0]
	kind := strings.TrimPrefix(q.Type.String(), "Type")
	lines, known := z[strings.TrimSuffix(q.Name.String(), ".")+" "+kind]
	if slices.Contains(lines, "broken") {
		query.RCode = dnsmessage.RCodeServerFailure
		lines = nil
	} else if !known {
		query.RCode = dnsmessage.RCodeNameError
	}
	query.Response, query.Authoritative, query.RecursionAvailable, query.Additionals = true, true, true, nil
	for _, line := range lines {
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
		var body dnsmessage.ResourceBody
		switch q.Type {
		case dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: netip.MustParseAddr(line).As4()}
		case dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(line).As16()}
		default:
			var srv dnsmessage.SRVResource
			var target string
			if _, err := fmt.Sscan(line, &srv.Priority, &srv.Weight, &srv.Port, &target); err != nil {
				return nil, err
			}
			srv.Target = dnsmessage.MustNewName(target)
			body = &srv
		}
		query.Answers = append(query.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	return query.Pack()
}

const carrierSRV = "_sip._udp.carrier.test SRV"

func TestWhereANameIs(t *testing.T) {
	t.Parallel()
	resolver := zone{
		carrierSRV:                  {"20 0 5070 two.carrier.test.", "10 0 5080 one.carrier.test.", "30 0 5090 gone.carrier.test."},
		"one.carrier.test A":        {"192.0.2.1"},
		"two.carrier.test A":        {"192.0.2.2", "192.0.2.3"},
		"carrier.test A":            {"192.0.2.9"},
		"plain.test A":              {"192.0.2.7"},
		"_sip._udp.none.test SRV":   {"0 0 0 ."},
		"none.test A":               {"192.0.2.8"},
		"_sip._udp.lost.test SRV":   {"0 0 5060 gone.carrier.test."},
		"_sip._udp.broken.test SRV": {"broken"},
		"broken.test A":             {"192.0.2.6"},
		"six.test AAAA":             {"2001:db8::1", "2001:db8::2"},
		"six.test A":                {"192.0.2.66"},
	}.serve(t)
	for claim, c := range map[string]struct {
		host string
		port int
		want string // "": an error
	}{
		"an address is itself":                               {"192.0.2.5", 0, "[192.0.2.5:5060]"},
		"an address with a port":                             {"192.0.2.5", 5071, "[192.0.2.5:5071]"},
		"servers by priority, those that are gone left out":  {"carrier.test", 0, "[192.0.2.1:5080 192.0.2.2:5070 192.0.2.3:5070]"},
		"with a port nobody asks for servers":                {"carrier.test", 5072, "[192.0.2.9:5072]"},
		"without servers it is a host":                       {"plain.test", 0, "[192.0.2.7:5060]"},
		"one that offers nothing":                            {"none.test", 0, ""},
		"one whose only server is gone":                      {"lost.test", 0, ""},
		"servers that cannot be asked for are not passed by": {"broken.test", 0, ""},
		"IPv6":            {"six.test", 6, "[[2001:db8::1]:6 [2001:db8::2]:6]"},
		"one that is not": {"no.such.test", 0, ""},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			list, err := sip.Find(t.Context(), resolver, claim != "IPv6", msg.Uri{Scheme: "sip", Host: c.host, Port: c.port})
			if got := fmt.Sprint(list); (err != nil) != (c.want == "") || err == nil && got != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestServersOfOnePriorityAreDrawnByWeight(t *testing.T) {
	t.Parallel()
	resolver := zone{
		carrierSRV: {"1 3 1 one.carrier.test.", "1 1 2 one.carrier.test."}, "one.carrier.test A": {"192.0.2.1"},
	}.serve(t)
	first := 0
	for range 400 {
		list, err := sip.Find(t.Context(), resolver, true, msg.Uri{Scheme: "sip", Host: "carrier.test"})
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		if list[0].Port() == 1 {
			first++
		}
	}
	if first < 230 || first > 370 { // 300 ± 8 sigma
		t.Errorf("the heavier server comes first in %d of 400", first)
	}
}

// named returns a driver whose trunk is carrier.test, with peers as its
// servers, in their order.
func named(t *testing.T, ports ...int) *sip.Driver {
	t.Helper()
	z := zone{"node.carrier.test A": {"127.0.0.1"}, "peer.carrier.test A": {"127.0.0.1"}}
	for i, port := range ports {
		z[carrierSRV] = append(z[carrierSRV], fmt.Sprintf("%d 0 %d node.carrier.test.", i, port))
	}
	d, err := sip.New(sip.Options{
		Trunks: []sip.Trunk{{Name: "test", Listen: "127.0.0.1:0", Endpoint: "sip:{number}@carrier.test"}}, Resolver: z.serve(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// refusing is a peer that is overloaded.
func refusing(t *testing.T, calls int) *sipptest.Peer {
	return sipptest.Start(t, sipptest.Options{
		Scenario: "testdata/refuse_at_once.xml", Calls: calls,
		Keys: map[string]string{"status": "503", "phrase": "Service Unavailable", "extra": "Server: peer"},
	})
}

func TestALegGoesToTheNextAddress(t *testing.T) {
	t.Parallel()
	for claim, first := range map[string]func(t *testing.T) (port int, done func()){
		"when the first is overloaded": func(t *testing.T) (int, func()) {
			p := refusing(t, sipptest.Many)
			return int(p.Addr.Port()), func() {
				if n := strings.Count(p.Messages(), "\nINVITE sip:"); n != 1 {
					t.Errorf("the address that failed was tried %d times", n)
				}
				p.Finish()
			}
		},
		"when the first says nothing": func(t *testing.T) (int, func()) { return sipptest.FreePort(t), func() {} },
		"and an answer that the first gives later is ended": func(t *testing.T) (int, func()) {
			p := scenario(t, "wakes", nil)
			return int(p.Addr.Port()), p.Wait
		},
		"and if the first rings later it is cancelled": func(t *testing.T) (int, func()) {
			p := scenario(t, "wakes_ringing", nil)
			return int(p.Addr.Port()), p.Wait
		},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			port, done := first(t)
			peer := sipptest.Start(t, sipptest.Options{Scenario: "testdata/named.xml", Calls: 2})
			d := named(t, port, int(peer.Addr.Port()))
			for range 2 { // the second call goes there at once
				leg := place(t, d, nil)
				leg.next(dialer.Ringing)
				leg.next(dialer.Answered)
				until(t, func() bool { return leg.seen(peer, "ACK") })
				leg.hangUp(dialer.HangupNormal)
				leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
			}
			done()
			peer.Wait()
		})
	}
}

// seen reports whether a peer got a request of the leg.
func (c call) seen(peer *sipptest.Peer, method string) bool {
	for _, m := range strings.Split(peer.Messages(), "UDP message ") {
		if strings.Contains(m, "\n"+method+" sip:") && strings.Contains(m, string(c.id)) {
			return true
		}
	}
	return false
}

func TestALegWhoseAddressesAllFailEndsAsTheLastSays(t *testing.T) {
	t.Parallel()
	one, other := refusing(t, 1), refusing(t, 1)
	leg := place(t, named(t, int(one.Addr.Port()), int(other.Addr.Port())), nil)
	leg.ends(dialer.End{Disposition: scheduler.Congestion, SIP: 503, Native: "Service Unavailable", By: scheduler.ByPeer})
	one.Wait()
	other.Wait()
}

func TestWhatRangIsTriedNowhereElse(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "refuse", map[string]string{"status": "503", "phrase": "Service Unavailable", "extra": "Server: peer"})
	leg := place(t, named(t, int(peer.Addr.Port()), 9), nil)
	leg.next(dialer.Ringing)
	leg.ends(dialer.End{Disposition: scheduler.Congestion, SIP: 503, Native: "Service Unavailable", By: scheduler.ByPeer})
	peer.Wait()
}

func TestALegThatWasHungUpIsTriedNowhereElse(t *testing.T) {
	t.Parallel()
	other := scenario(t, "answer", nil)
	leg := place(t, named(t, sipptest.FreePort(t), int(other.Addr.Port())), nil)
	leg.hangUp(dialer.HangupTimeout)
	leg.ends(dialer.End{Disposition: scheduler.NoAnswer, By: scheduler.ByUs})
	time.Sleep(500 * time.Millisecond) // past the moment of the next try
	if other.Messages() != "" {
		t.Errorf("the other address was called\n%s", other.Messages())
	}
}

// TestTLSProvesTheNameThatWasAskedFor, whichever server its records lead to.
func TestTLSProvesTheNameThatWasAskedFor(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		name string
		fine bool
	}{
		"the name of the trunk":  {"carrier.test", true},
		"the name of the server": {"node.carrier.test", false},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			cert, key := certificate(t, c.name)
			proxy := sipptest.StartProxy(t, sipptest.ProxyOptions{Username: "acme", Password: "secret", Algorithm: "MD5", TLSCert: cert, TLSKey: key})
			peer := scenario(t, "behind_proxy", nil)
			resolver := zone{
				"_sips._tcp.carrier.test SRV": {fmt.Sprintf("0 0 %d node.carrier.test.", proxy.Port())}, "node.carrier.test A": {"127.0.0.1"},
			}.serve(t)
			d, err := sip.New(sip.Options{Resolver: resolver, Trunks: []sip.Trunk{{
				Name: "test", Listen: "127.0.0.1:0", Endpoint: fmt.Sprintf("sip:{number}@%s;transport=tls", peer.Addr),
				OutboundProxy: "carrier.test", Username: "acme", Password: "secret", TLSCA: cert,
			}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close(context.Background()) })
			leg := place(t, d, nil)
			if !c.fine {
				if end := leg.next(dialer.Ended).End; end.Disposition != scheduler.LocalError || !strings.Contains(end.Native, "certificate") {
					t.Errorf("end %+v", end)
				}
				return
			}
			e := <-leg.events
			for e.Kind != dialer.Answered && e.Kind != dialer.Ended {
				e = <-leg.events
			}
			leg.hangUp(dialer.HangupNormal)
			leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
			peer.Wait()
		})
	}
}
