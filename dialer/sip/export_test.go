package sip

import (
	"context"
	"net"
	"net/netip"

	msg "github.com/emiago/sipgo/sip"
)

// Address is the first of the driver's own SIP addresses, as host:port.
func Address(d *Driver) string { return d.stations[0].addr.String() }

// Find is where requests to a URI may go over UDP, as the resolver has it.
func Find(ctx context.Context, resolver *net.Resolver, v4 bool, uri msg.Uri) ([]netip.AddrPort, error) {
	return finder{resolver: resolver, over: overUDP, v4: v4}.find(ctx, uri)
}
