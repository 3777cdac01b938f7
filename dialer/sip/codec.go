package sip

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// codec is what sound is encoded in, as a description names it.
type codec struct {
	name    string // encoding name
	payload uint8  // payload type
	rate    string // clock rate, with the channels if there are several
	format  string // its fmtp; "": none
}

// The codecs that we speak ourselves (RFC 3551, table 4).
var (
	pcma = codec{name: "PCMA", payload: 8, rate: "8000"}
	pcmu = codec{name: "PCMU", payload: 0, rate: "8000"}
)

// known are the codecs that are relayed: all but G.711 only between peers that
// both speak them. Opus has a payload type of the dynamic range (RFC 7587).
var known = []codec{
	pcma, pcmu, {name: "G722", payload: 9, rate: "8000"}, {name: "G729", payload: 18, rate: "8000"},
	{name: "GSM", payload: 3, rate: "8000"}, {name: "opus", payload: 111, rate: "48000/2"},
}

// isLaw reports whether a codec is G.711, which we speak and convert.
func (c codec) isLaw() bool { return c == pcma || c == pcmu }

// same reports whether two descriptions mean the same codec.
func (c codec) same(o codec) bool { return c.name == o.name }

// dtmfPayload is the payload type we offer for telephone-event (RFC 4733).
const dtmfPayload = 101

// noDTMF stands for a peer that takes no telephone-event.
const noDTMF = -1

// parseCodecs reads codec names in order of preference; none means G.711.
func parseCodecs(names []string) ([]codec, error) {
	if len(names) == 0 {
		return []codec{pcma, pcmu}, nil
	}
	var list []codec
	for _, name := range names {
		i := slices.IndexFunc(known, func(c codec) bool { return strings.EqualFold(c.name, name) })
		if i < 0 {
			return nil, fmt.Errorf("has %q; PCMA, PCMU, G722, G729, GSM and opus are supported", name)
		}
		if slices.Contains(list, known[i]) {
			return nil, fmt.Errorf("has %s twice", known[i].name)
		}
		list = append(list, known[i])
	}
	if !slices.ContainsFunc(list, codec.isLaw) {
		return nil, errors.New("must have PCMA or PCMU: ringing and announcements are spoken in them")
	}
	return list, nil
}

// offerBeside is what a B is offered by a trunk of codecs beside an A: what A
// speaks, and G.711 if A takes it; else G.711, which the relay converts.
func offerBeside(a remote, codecs []codec) []codec {
	var shared []codec
	for _, c := range []codec{a.codec, a.law} {
		if c != (codec{}) && !slices.Contains(shared, c) && slices.ContainsFunc(codecs, c.same) {
			shared = append(shared, c)
		}
	}
	if len(shared) > 0 {
		return shared
	}
	return slices.DeleteFunc(slices.Clone(codecs), func(c codec) bool { return !c.isLaw() })
}

// chooseCodec returns the first of the peer's formats that was offered, its
// own preference, as the peer describes it, and the first that is G.711.
func chooseCodec(audio *sdp.MediaDescription, offered []codec) (first, law codec, err error) {
	for _, format := range audio.MediaName.Formats {
		c, ok := described(audio, format, offered)
		if !ok {
			continue
		}
		if first == (codec{}) {
			first = c
		}
		if law == (codec{}) && c.isLaw() {
			law = c
		}
	}
	if first == (codec{}) {
		return first, law, errors.New("session description has no codec in common")
	}
	return first, law, nil
}

// described returns which of the offered codecs a format of a description is.
// The types of G.711 are fixed; of the others those of the peer count.
func described(audio *sdp.MediaDescription, format string, offered []codec) (codec, bool) {
	n, err := strconv.ParseUint(format, 10, 7)
	if err != nil {
		return codec{}, false
	}
	name, rate := "", ""
	params := ""
	for _, a := range audio.Attributes {
		pt, value, _ := strings.Cut(a.Value, " ")
		switch {
		case pt != format:
		case a.Key == "rtpmap":
			name, rate, _ = strings.Cut(strings.TrimSpace(value), "/")
		case a.Key == "fmtp":
			params = strings.TrimSpace(value)
		}
	}
	for _, c := range offered {
		static := uint64(c.payload) == n
		switch {
		case c.isLaw() && static:
			return c, true
		case c.isLaw():
		case name == "" && static && n < 96, strings.EqualFold(name, c.name) && strings.TrimSuffix(rate, "/1") == c.rate:
			c.payload, c.format = uint8(n), params
			return c, true
		}
	}
	return codec{}, false
}
