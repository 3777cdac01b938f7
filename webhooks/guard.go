package webhooks

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrBlockedAddress is what a connection to an inward address fails with.
var ErrBlockedAddress = errors.New("blocked address")

// allowSetting is the setting that allows inward receivers.
const allowSetting = "RINGBACK_WEBHOOK_ALLOW_CIDRS"

// outward knows the addresses of the internet at large: IANA's special-purpose
// registries, and what they leave to be asked for.
var outward = ssrf.New(ssrf.WithAnyPort(),
	ssrf.WithDeniedV4Prefixes(netip.MustParsePrefix("168.63.129.16/32")), // Azure's wire server
	ssrf.WithDeniedV6Prefixes(
		netip.MustParsePrefix("2002::/16"), // 6to4
		netip.MustParsePrefix("2001::/32"), // Teredo
		netip.MustParsePrefix("3fff::/20"), // documentation (RFC 9637)
	))

// never are the addresses that no setting allows: link-local ones, and where
// clouds tell machines their credentials.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
}

// neverNames are the names of such services.
var neverNames = []string{"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal", "instance-data"}

// carriers are IPv6 ranges whose addresses carry an IPv4 address, and the byte
// it begins at.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64 (RFC 6052)
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4 (RFC 3056)
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible (RFC 4291)
}

// loopback is what "localhost" stands for.
var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}

// Guard keeps events from inward addresses. It looks twice: at the URL when it
// is given, and at the address when it is connected to. Its zero value allows
// the internet alone.
type Guard struct {
	Allow []netip.Prefix // inward networks that are receivers' all the same
}

// CheckURL says why events can never be delivered to a URL; the sentence goes
// on from the name of the field ("must be …").
func (g Guard) CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("must be an absolute URL that begins with http:// or https://")
	}
	if u.User != nil {
		return errors.New("must not hold credentials")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("must have a port between 1 and 65535")
		}
	}
	return g.checkHost(strings.ToLower(u.Hostname()))
}

func (g Guard) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.checkLiteral(addr)
	}
	name := strings.TrimSuffix(host, ".")
	if !isName(name) {
		return errors.New("must have a host: a name in ASCII (punycode for others) or a plain IP address")
	}
	switch {
	case slices.Contains(neverNames, name):
		return fmt.Errorf("must not lead to %s, which no setting allows", name)
	case name == "localhost", strings.HasSuffix(name, ".localhost"), name == "localhost.localdomain":
		for _, addr := range loopback {
			if g.check(addr) == nil {
				return nil
			}
		}
		return g.checkLiteral(loopback[0])
	}
	return nil
}

func (g Guard) checkLiteral(addr netip.Addr) error {
	if err := g.check(addr); err != nil {
		return fmt.Errorf("must not lead to %w", err)
	}
	return nil
}

// isName reports whether s is a DNS name: labels of letters, digits, hyphens
// and underscores (RFC 1123, section 2.1). The last one is no number, or it
// would be an address in disguise (0x7f.1, 2130706433, 127.1).
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if len(label) < 1 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

// check says why an address may not be connected to.
func (g Guard) check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap() // a prefix contains no address with a zone
	for _, a := range append(carried(addr), addr) {
		for _, p := range never {
			if p.Contains(a) {
				return fmt.Errorf("%s: it is link-local or a metadata service, which no setting allows", addr)
			}
		}
	}
	for _, p := range g.Allow {
		if p.Contains(addr) {
			return nil
		}
	}
	if outward.SafeAddr(addr) != nil {
		return fmt.Errorf("%s: it is not of the public internet (%s allows inward receivers)", addr, allowSetting)
	}
	return nil
}

// carried returns the IPv4 address that an IPv6 address carries.
func carried(addr netip.Addr) []netip.Addr {
	for _, c := range carriers {
		if addr.Is6() && c.prefix.Contains(addr) {
			raw := addr.As16()
			return []netip.Addr{netip.AddrFrom4([4]byte(raw[c.at : c.at+4]))}
		}
	}
	return nil
}

// Control is for net.Dialer: it refuses a resolved address before anything is
// sent to it, with ErrBlockedAddress.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: network %s", ErrBlockedAddress, network)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBlockedAddress, err)
	}
	if err := g.check(to.Addr()); err != nil {
		return fmt.Errorf("%w: %w", ErrBlockedAddress, err)
	}
	return nil
}

// Origin returns the scheme, host and port of a URL, spelled in one way: what
// order is kept for, and what one receiver shares.
func Origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw // never one that CheckURL let through
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + ":" + port
}
