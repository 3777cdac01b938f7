package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// direction is which way media flows, seen by who says it (RFC 3264, section 5.1).
type direction string

const (
	sendRecv direction = "sendrecv"
	sendOnly direction = "sendonly"
	recvOnly direction = "recvonly"
	inactive direction = "inactive"
)

// mirror returns the direction that answers an offered one.
func (d direction) mirror() direction {
	switch d {
	case sendOnly:
		return recvOnly
	case recvOnly:
		return sendOnly
	}
	return d
}

// hears reports whether who says d wants to be sent anything.
func (d direction) hears() bool { return d == sendRecv || d == recvOnly }

// local is our side of a session description.
type local struct {
	id      uint64
	version uint64
	addr    netip.Addr
	port    int
	codecs  []codec
	dtmf    int // payload type of telephone-event, or noDTMF
	dir     direction
}

// marshal writes the description (RFC 8866), short enough for one datagram.
func (l local) marshal() []byte {
	origin := label{l.id, l.version, l.addr}.origin()
	formats := make([]string, 0, 3)
	attributes := make([]sdp.Attribute, 0, 6)
	for _, c := range l.codecs {
		pt := strconv.Itoa(int(c.payload))
		formats = append(formats, pt)
		attributes = append(attributes, sdp.NewAttribute("rtpmap", pt+" "+c.name+"/"+c.rate))
		if c.format != "" {
			attributes = append(attributes, sdp.NewAttribute("fmtp", pt+" "+c.format))
		}
	}
	if l.dtmf != noDTMF {
		pt := strconv.Itoa(l.dtmf)
		formats = append(formats, pt)
		attributes = append(attributes,
			sdp.NewAttribute("rtpmap", pt+" telephone-event/8000"), sdp.NewAttribute("fmtp", pt+" 0-15"))
	}
	attributes = append(attributes, sdp.NewAttribute("ptime", "20"), sdp.NewPropertyAttribute(string(l.dir)))
	description := sdp.SessionDescription{
		Origin:      origin,
		SessionName: "-",
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: origin.AddressType, Address: &sdp.Address{Address: l.addr.String()},
		},
		TimeDescriptions: []sdp.TimeDescription{{}},
		MediaDescriptions: []*sdp.MediaDescription{{
			MediaName: sdp.MediaName{
				Media: "audio", Port: sdp.RangedPort{Value: l.port}, Protos: []string{"RTP", "AVP"}, Formats: formats,
			},
			Attributes: attributes,
		}},
	}
	body, _ := description.Marshal() // writes to memory: no error
	return body
}

// remote is what a peer's description says of its audio.
type remote struct {
	addr  netip.AddrPort // invalid: a host name, or 0.0.0.0; wait for its packets
	codec codec
	law   codec // of G.711, for what we say ourselves; zero: the peer takes none
	dtmf  int   // payload type of telephone-event, or noDTMF
	dir   direction
}

// parseSDP reads a peer's description, which must have audio over plain RTP in
// one of the offered codecs.
func parseSDP(body []byte, offered []codec) (remote, error) {
	var description sdp.SessionDescription
	if err := description.Unmarshal(body); err != nil {
		return remote{}, fmt.Errorf("parse session description: %w", err)
	}
	audio, err := findAudio(description.MediaDescriptions)
	if err != nil {
		return remote{}, err
	}
	r := remote{dtmf: noDTMF, dir: directionOf(audio.Attributes, directionOf(description.Attributes, sendRecv))}
	if r.codec, r.law, err = chooseCodec(audio, offered); err != nil {
		return remote{}, err
	}
	r.dtmf = findDTMF(audio)
	connection := audio.ConnectionInformation
	if connection == nil {
		connection = description.ConnectionInformation
	}
	if connection == nil || connection.Address == nil {
		return remote{}, errors.New("session description has no address")
	}
	if r.addr, err = hostAddr(connection.Address.Address, audio.MediaName.Port.Value); err != nil {
		return remote{}, err
	}
	if held(connection.Address.Address) {
		r.dir = inactive
	}
	return r, nil
}

// held reports whether an address is the old way to hold (RFC 2543).
func held(host string) bool { return host == "0.0.0.0" || host == "::" }

// hostAddr returns where to send; nowhere for a host name, which is no fault
// (RFC 8866, section 5.7), and for no address at all.
func hostAddr(host string, port int) (netip.AddrPort, error) {
	if strings.Contains(host, "/") { // of multicast, with its TTL
		return netip.AddrPort{}, errors.New("session description has an address that is not one host's")
	}
	addr, err := netip.ParseAddr(host)
	if addr = addr.Unmap(); err != nil || addr.IsUnspecified() {
		return netip.AddrPort{}, nil //nolint:nilerr // a host name
	}
	if addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.AddrPort{}, errors.New("session description has an address that is not one host's")
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

func findAudio(descriptions []*sdp.MediaDescription) (*sdp.MediaDescription, error) {
	for _, m := range descriptions {
		n := m.MediaName
		switch {
		case n.Media != "audio" || !slices.Equal(n.Protos, []string{"RTP", "AVP"}):
		case n.Port.Value == 0:
			return nil, errors.New("session description refuses audio")
		case n.Port.Value < 0 || n.Port.Value > 65535:
			return nil, errors.New("session description has no valid port")
		default:
			return m, nil
		}
	}
	return nil, errors.New("session description has no audio over RTP/AVP")
}

func directionOf(attributes []sdp.Attribute, fallback direction) direction {
	for _, a := range attributes {
		switch d := direction(a.Key); d {
		case sendRecv, sendOnly, recvOnly, inactive:
			return d
		}
	}
	return fallback
}

// findDTMF returns the payload type a peer uses for telephone-event.
func findDTMF(audio *sdp.MediaDescription) int {
	for _, a := range audio.Attributes {
		pt, encoding, ok := strings.Cut(a.Value, " ")
		if a.Key != "rtpmap" || !ok || !strings.EqualFold(strings.TrimSpace(encoding), "telephone-event/8000") {
			continue
		}
		if n, err := strconv.Atoi(pt); err == nil && n >= 96 && n <= 127 && slices.Contains(audio.MediaName.Formats, pt) {
			return n
		}
	}
	return noDTMF
}
