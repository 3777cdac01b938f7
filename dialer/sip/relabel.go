package sip

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/pion/sdp/v3"
)

// label is what a description says of who makes it.
type label struct {
	id, version uint64
	addr        netip.Addr
}

func (l label) origin() sdp.Origin {
	kind := "IP4"
	if l.addr.Is6() {
		kind = "IP6"
	}
	return sdp.Origin{
		Username: "ringback", SessionID: l.id, SessionVersion: l.version,
		NetworkType: "IN", AddressType: kind, UnicastAddress: l.addr.String(),
	}
}

// relabel returns the description of one peer as ours to another: the origin
// is ours, and the direction as given; "" leaves it.
func relabel(body []byte, as label, dir direction) ([]byte, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return nil, fmt.Errorf("parse session description: %w", err)
	}
	d.Origin, d.SessionName = as.origin(), "-"
	if dir != "" {
		d.Attributes = undirected(d.Attributes)
		for _, m := range d.MediaDescriptions {
			m.Attributes = append(undirected(m.Attributes), sdp.NewPropertyAttribute(string(dir)))
		}
	}
	return d.Marshal()
}

// undirected is attributes without those that say a direction.
func undirected(attributes []sdp.Attribute) []sdp.Attribute {
	return slices.DeleteFunc(attributes, func(a sdp.Attribute) bool { return directionOf([]sdp.Attribute{a}, "") != "" })
}

// plain is a description without who made it.
func plain(body []byte) []byte {
	same, err := relabel(body, label{addr: netip.IPv4Unspecified()}, "")
	if err != nil {
		return body
	}
	return same
}

// soundAt is where a description wants audio to be sent.
func soundAt(body []byte) string {
	var d sdp.SessionDescription
	if d.Unmarshal(body) != nil {
		return ""
	}
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Media != "audio" {
			continue
		}
		c := m.ConnectionInformation
		if c == nil {
			c = d.ConnectionInformation
		}
		if c != nil && c.Address != nil {
			return c.Address.Address + " " + strconv.Itoa(m.MediaName.Port.Value)
		}
	}
	return ""
}
