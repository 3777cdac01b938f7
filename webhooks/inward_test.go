package webhooks_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// special are the ranges that are not of the public internet, by IANA's
// registries, and single addresses that clouds keep for themselves.
var special = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"168.63.129.16/32", "100.100.100.200/32", "169.254.169.254/32", "192.0.0.192/32",
	"::1/128", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20", "fc00::/7",
	"fd00:ec2::254/128", "fd20:ce::254/128", "fec0::/10",
}

// broadcast are addresses that TCP has no connections to.
var broadcast = []netip.Addr{netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("127.255.255.255")}

// insides returns addresses of the ranges: the first, the last, and some
// between; and IPv6 addresses that carry those of IPv4.
func insides(ranges []string) []netip.Addr {
	seen := map[netip.Addr]bool{}
	for _, r := range ranges {
		p := netip.MustParsePrefix(r)
		for _, a := range []netip.Addr{p.Addr(), last(p), middle(p)} {
			if p.Contains(a) && a != netip.IPv4Unspecified() && !slices.Contains(broadcast, a) {
				seen[a] = true
			}
		}
	}
	for a := range maps.Clone(seen) {
		if !a.Is4() {
			continue
		}
		b := a.As4()
		var nat64, sixToFour, compatible [16]byte
		copy(nat64[:], []byte{0, 0x64, 0xff, 0x9b})
		copy(nat64[12:], b[:])
		sixToFour[0], sixToFour[1] = 0x20, 0x02
		copy(sixToFour[2:], b[:])
		copy(compatible[12:], b[:])
		for _, raw := range [][16]byte{nat64, sixToFour, compatible} {
			seen[netip.AddrFrom16(raw)] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare)
}

func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().As16()
	from := p.Bits()
	if p.Addr().Is4() {
		from += 96
	}
	for i := from; i < 128; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(raw).Unmap()
}

func middle(p netip.Prefix) netip.Addr {
	raw := last(p).As16()
	raw[15] ^= 0x55
	return netip.AddrFrom16(raw).Unmap()
}

// outside are addresses of the internet.
var outside = []netip.Addr{
	netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2606:4700:4700::1111"), netip.MustParseAddr("2a00:1450:4001::1"),
}

// probes are URLs, each with an origin of its own, that
// lead inwards by a literal address, a name, or an odd spelling.
func probes(dns *names, inside []netip.Addr) (hooks []string, spelled int) {
	for i, a := range inside {
		host := a.String()
		if a.Is6() {
			host = "[" + host + "]"
		}
		hooks = append(hooks, "http://"+host+"/")
		if i%4 == 0 {
			name := fmt.Sprintf("named-%d.test", i)
			dns.all[name] = []netip.Addr{a}
			hooks = append(hooks, "http://"+name+"/")
		}
	}
	for _, a := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.254", "172.16.3.4"} {
		for _, s := range spellings(netip.MustParseAddr(a)) {
			hooks = append(hooks, "http://"+s+"/")
			spelled++
		}
	}
	for i, a := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"} {
		inward := netip.MustParseAddr(a)
		mixed, rebinds := fmt.Sprintf("mixed-%d.test", i), fmt.Sprintf("rebinds-%d.test", i)
		dns.all[mixed] = append([]netip.Addr{inward}, outside...)
		dns.turns[rebinds] = []netip.Addr{outside[0], inward}
		hooks = append(hooks, "http://"+mixed+"/", "http://"+rebinds+"/")
	}
	dns.all["redirects.test"] = outside[:1]
	return append(hooks, "http://redirects.test/redirect"), spelled
}

// reach sends an event to each URL on every path there is: the first try, a
// retry, one that is sent again, and a test event.
func reach(t *testing.T, transport *http.Transport, hooks []string) {
	t.Helper()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := newRig(t, storetest.Open(t, storetest.SQLiteURL(t)))
	strict := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if a, ok := loose(host); ok {
			address = net.JoinHostPort(a.String(), port)
		}
		return strict(ctx, network, address)
	}
	r.o.Transport, r.o.Now, r.o.Log = transport, now, slog.New(slog.DiscardHandler)
	r.owe(hooks...)
	n, stop := r.run()
	defer stop()
	all := func(what string, done func(scheduler.Delivery) bool) (rows []scheduler.Delivery) {
		for end := time.Now().Add(time.Minute); ; {
			found, err := r.s.Deliveries(t.Context(), r.cl.ID, webhooks.Filter{}, scheduler.Page{Number: 1, Size: 5000})
			if err != nil {
				t.Fatal(err)
			}
			left := slices.IndexFunc(found.Rows, func(d scheduler.Delivery) bool { return !done(d) })
			if left < 0 {
				return found.Rows
			}
			if time.Now().After(end) {
				t.Fatalf("%s: it is not made of %s", what, found.Rows[left].URL)
			}
			ahead.Add(int64(time.Minute)) // no breaker stays open
			n.Wake()
			<-time.After(100 * time.Millisecond)
		}
	}
	all("the first try", func(d scheduler.Delivery) bool { return d.Tries > 0 })
	rows := all("a retry", func(d scheduler.Delivery) bool { return d.State.Ended() || d.Tries > 1 })
	for _, d := range rows {
		if _, err := r.s.Resend(t.Context(), r.cl.ID, d.ID, now().Add(2*webhooks.Lease)); err != nil {
			t.Fatal(err)
		}
	}
	all("one sent again", func(d scheduler.Delivery) bool { return d.TriesBefore > 0 && d.Tries > d.TriesBefore })
	secrets, err := r.s.Secrets(t.Context(), r.cl.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range hooks {
		n.Send(t.Context(), webhooks.Work{Secrets: secrets, Delivery: scheduler.Delivery{EventID: "evt_test", URL: url, Body: []byte("{}")}})
	}
}

// In a network where every address answers, no event goes inward, however it is
// spelled or resolved, and on no path; without the guard each of them does; and
// with a range allowed, those in it alone.
func TestNothingGoesInward(t *testing.T) {
	t.Parallel()
	inNamespace(t, func(t *testing.T) {
		w, inside := newWorld(t), insides(special)
		dns := &names{all: map[string][]netip.Addr{}, turns: map[string][]netip.Addr{}, asked: map[string]int{}}
		hooks, spelled := probes(dns, inside)
		dns.serve(t)
		if len(inside) < 200 || spelled < 60 {
			t.Errorf("%d addresses, %d spellings", len(inside), spelled)
		}
		inward := func(met map[netip.Addr]int) map[netip.Addr]int {
			maps.DeleteFunc(met, func(a netip.Addr, _ int) bool { return slices.Contains(outside, a) })
			return met
		}

		reach(t, webhooks.NewTransport(webhooks.Guard{}, 2), hooks)
		met := w.connections()
		if met[outside[0]] == 0 {
			t.Error("what has an address of the internet, too, did not go there")
		}
		if in := inward(met); len(in) > 0 {
			t.Errorf("connections inward: %v", in)
		}

		allowed := netip.MustParsePrefix("10.0.0.0/8")
		reach(t, webhooks.NewTransport(webhooks.Guard{Allow: []netip.Prefix{allowed}}, 2), hooks)
		in := inward(w.connections())
		for _, a := range inside {
			if (in[a] > 0) != allowed.Contains(a) {
				t.Errorf("with %s allowed there were %d connections to %s", allowed, in[a], a)
			}
		}

		open := webhooks.NewTransport(webhooks.Guard{}, 2)
		open.DialContext = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
		reach(t, open, hooks)
		in = inward(w.connections())
		for _, a := range inside {
			if in[a] == 0 {
				t.Errorf("without the guard nothing went to %s", a)
			}
		}
		t.Logf("%d addresses, %d spellings, %d URLs: 0 connections with the guard, to %d addresses without", len(inside), spelled, len(hooks), len(in))
	})
}

// The whole way of an event that leads inward, with either database: it is tried
// on its schedule and sent again on demand, nothing is connected to, and the log
// says why.
func TestTheLogOfAnEventThatLeadsInward(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var met atomic.Int64
		receiver := httptest.NewUnstartedServer(http.NotFoundHandler())
		receiver.Config.ConnState = func(net.Conn, http.ConnState) { met.Add(1) }
		receiver.Start()
		defer receiver.Close()
		var ahead atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		r := newRig(t, s)
		r.o.Transport, r.o.Now = nil, now
		r.owe(receiver.URL)
		n, stop := r.run()
		defer stop()
		tried := func(want int) (d scheduler.Delivery, tries []webhooks.Try) {
			for end := time.Now().Add(time.Minute); len(tries) < want; <-time.After(10 * time.Millisecond) {
				var err error
				if d, tries, err = s.Delivery(t.Context(), r.cl.ID, 1); err != nil || time.Now().After(end) {
					t.Fatalf("%d tries, %v", len(tries), err)
				}
				n.Wake()
			}
			return d, tries
		}
		tried(1)
		ahead.Add(int64(time.Minute))
		d, _ := tried(2)
		if _, err := s.Resend(t.Context(), r.cl.ID, d.ID, now()); err != nil {
			t.Fatal(err)
		}
		_, tries := tried(3)
		for _, try := range tries {
			if try.Error != webhooks.ErrBlocked || try.Remote != "" || try.Status != 0 {
				t.Errorf("%+v", try)
			}
		}
		if met.Load() != 0 {
			t.Errorf("%d connections inward", met.Load())
		}
	})
}
