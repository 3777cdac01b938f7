package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// Bounds of what is asked of the DNS, and of what is believed of an address.
const (
	lookupLimit = 5 * time.Second
	mostTargets = 8           // addresses of one name that are tried
	avoidFor    = time.Minute // that an address which failed is tried last
)

// finder finds the addresses of names, for one transport (RFC 3263). There is
// no choice of a transport to be made (NAPTR): the trunk's is configured.
type finder struct {
	resolver *net.Resolver
	over     transport
	v4       bool // we have an IPv4 address, else an IPv6 one
}

// find returns where requests to a URI may go, in the order in which they are
// to be tried: the address it has; or those of its name, at the port it has; or
// those of the servers that SRV records name, by priority and weight (RFC
// 2782), and if there are none, those of the name at the usual port.
func (f finder) find(ctx context.Context, uri msg.Uri) ([]netip.AddrPort, error) {
	host, port := strings.Trim(uri.Host, "[]"), uint16(uri.Port)
	usual := uint16(defaultPort)
	if f.over == overTLS {
		usual = defaultTLSPort
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if port == 0 {
			port = usual
		}
		return []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	if port == 0 {
		list, err := f.servers(ctx, host)
		if len(list) > 0 || err != nil {
			return list, err
		}
		port = usual
	}
	return f.addresses(ctx, host, port)
}

// servers returns the addresses of the servers of a domain; none, without an
// error, if it names no servers.
func (f finder) servers(ctx context.Context, domain string) ([]netip.AddrPort, error) {
	service, proto := "sip", strings.ToLower(string(f.over))
	if f.over == overTLS {
		service, proto = "sips", "tcp"
	}
	_, records, err := f.resolver.LookupSRV(ctx, service, proto, domain)
	var answer *net.DNSError
	switch {
	case len(records) > 0: // in their order already
	case err == nil, errors.As(err, &answer) && answer.IsNotFound:
		return nil, nil
	default:
		return nil, err
	}
	if len(records) == 1 && records[0].Target == "." {
		return nil, fmt.Errorf("%s offers no SIP over %s", domain, f.over)
	}
	var list []netip.AddrPort
	var faults []error
	for _, r := range records[:min(len(records), mostTargets)] {
		found, err := f.addresses(ctx, r.Target, r.Port)
		list, faults = append(list, found...), append(faults, err)
	}
	if len(list) == 0 {
		return nil, errors.Join(faults...)
	}
	return list[:min(len(list), mostTargets)], nil
}

// addresses returns the addresses of a host: at least one, or an error.
func (f finder) addresses(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	network := "ip6"
	if f.v4 {
		network = "ip4"
	}
	found, err := f.resolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, 0, len(found))
	for _, addr := range found[:min(len(found), mostTargets)] {
		list = append(list, netip.AddrPortFrom(addr.Unmap(), port))
	}
	return list, nil
}

// nextHop is where a request goes, as it is named.
func nextHop(req *msg.Request) msg.Uri {
	if route := req.Route(); route != nil {
		return route.Address
	}
	return req.Recipient
}

// targets returns where a request outside of dialogs may go, at least one
// address: what failed lately comes last.
func (t *trunk) targets(ctx context.Context, req *msg.Request) ([]netip.AddrPort, error) {
	list, err := t.finder.find(ctx, nextHop(req))
	if err != nil {
		return nil, err
	}
	t.condition.mu.Lock()
	defer t.condition.mu.Unlock()
	t.condition.peers = t.condition.peers[:0:0]
	for _, at := range list {
		t.condition.peers = append(t.condition.peers, at.Addr())
	}
	now := time.Now()
	slices.SortStableFunc(list, func(a, b netip.AddrPort) int {
		return max(0, int(t.condition.avoid[a].Sub(now))) - max(0, int(t.condition.avoid[b].Sub(now)))
	})
	return list, nil
}

// avoid notes that an address failed: it is tried last for a while.
func (t *trunk) avoid(at netip.AddrPort, wait time.Duration) {
	now := time.Now()
	t.condition.mu.Lock()
	defer t.condition.mu.Unlock()
	for old, until := range t.condition.avoid {
		if until.Before(now) {
			delete(t.condition.avoid, old)
		}
	}
	t.condition.avoid[at] = now.Add(wait)
}

// locate sets where a request goes: the first of its addresses.
func (t *trunk) locate(ctx context.Context, req *msg.Request) error {
	list, err := t.finder.find(ctx, nextHop(req))
	if err == nil {
		req.SetDestination(list[0].String())
	}
	return err
}

// addressOf returns where the requests of a dialog go; "" if that cannot be
// found out now.
func (t *trunk) addressOf(d *dialog) string {
	next := d.target
	if len(d.route) > 0 {
		next = d.route[0]
	}
	list, err := t.finder.find(context.Background(), next)
	if err != nil {
		return ""
	}
	return list[0].String()
}
