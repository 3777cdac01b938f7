package sip

import (
	"net/netip"
	"strings"
	"testing"
)

// describe writes a peer's description from its lines.
func describe(lines ...string) []byte {
	return []byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n" + strings.Join(lines, "\r\n") + "\r\n")
}

func TestParseSDP(t *testing.T) {
	both := []codec{pcma, pcmu}
	at := netip.MustParseAddrPort("192.0.2.7:4000")
	for claim, c := range map[string]struct {
		body    []byte
		offered []codec
		want    remote
		fault   string // part of the error
	}{
		"the peer's first codec counts": {
			body: describe("m=audio 4000 RTP/AVP 0 8", "c=IN IP4 192.0.2.7"), offered: both,
			want: remote{addr: at, codec: pcmu, law: pcmu, dtmf: noDTMF, dir: sendRecv},
		},
		"a codec that was not offered is passed over": {
			body: describe("m=audio 4000 RTP/AVP 18 0 8", "c=IN IP4 192.0.2.7"), offered: []codec{pcma},
			want: remote{addr: at, codec: pcma, law: pcma, dtmf: noDTMF, dir: sendRecv},
		},
		"telephone-event has the peer's own number": {
			body:    describe("m=audio 4000 RTP/AVP 8 97", "c=IN IP4 192.0.2.7", "a=rtpmap:97 telephone-event/8000", "a=recvonly"),
			offered: both, want: remote{addr: at, codec: pcma, law: pcma, dtmf: 97, dir: recvOnly},
		},
		"a telephone-event that is not in the list is none": {
			body:    describe("m=audio 4000 RTP/AVP 8", "c=IN IP4 192.0.2.7", "a=rtpmap:97 telephone-event/8000"),
			offered: both, want: remote{addr: at, codec: pcma, law: pcma, dtmf: noDTMF, dir: sendRecv},
		},
		"0.0.0.0 is a hold": {
			body: describe("m=audio 4000 RTP/AVP 8", "c=IN IP4 0.0.0.0"), offered: both,
			want: remote{codec: pcma, law: pcma, dtmf: noDTMF, dir: inactive},
		},
		"a host name is waited for": {
			body: describe("m=audio 4000 RTP/AVP 8", "c=IN IP4 media.example.net"), offered: both,
			want: remote{codec: pcma, law: pcma, dtmf: noDTMF, dir: sendRecv},
		},
		"video beside audio does not matter": {
			body: describe("m=video 5000 RTP/AVP 96", "c=IN IP4 192.0.2.8", "m=audio 4000 RTP/AVP 8", "c=IN IP4 192.0.2.7"), offered: both,
			want: remote{addr: at, codec: pcma, law: pcma, dtmf: noDTMF, dir: sendRecv},
		},
		"nothing at all":    {body: nil, offered: both, fault: "no audio"},
		"no description":    {body: []byte("hello"), offered: both, fault: "parse"},
		"lines disordered":  {body: describe("c=IN IP4 192.0.2.7"), offered: both, fault: "parse"},
		"video alone":       {body: describe("m=video 4000 RTP/AVP 8", "c=IN IP4 192.0.2.7"), offered: both, fault: "no audio"},
		"encrypted audio":   {body: describe("m=audio 4000 RTP/SAVP 8", "c=IN IP4 192.0.2.7"), offered: both, fault: "no audio"},
		"audio refused":     {body: describe("m=audio 0 RTP/AVP 8", "c=IN IP4 192.0.2.7"), offered: both, fault: "refuses"},
		"no common codec":   {body: describe("m=audio 4000 RTP/AVP 18", "c=IN IP4 192.0.2.7"), offered: both, fault: "no codec"},
		"no address":        {body: describe("m=audio 4000 RTP/AVP 8"), offered: both, fault: "no address"},
		"multicast":         {body: describe("m=audio 4000 RTP/AVP 8", "c=IN IP4 239.1.2.3"), offered: both, fault: "one host"},
		"broadcast":         {body: describe("m=audio 4000 RTP/AVP 8", "c=IN IP4 255.255.255.255"), offered: both, fault: "one host"},
		"a port too high":   {body: describe("m=audio 70000 RTP/AVP 8", "c=IN IP4 192.0.2.7"), offered: both, fault: "parse"},
		"a port below zero": {body: describe("m=audio -1 RTP/AVP 8", "c=IN IP4 192.0.2.7"), offered: both, fault: "parse"},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := parseSDP(c.body, c.offered)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Fatalf("error %v, want one about %q", err, c.fault)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %+v %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestOurDescriptionIsUnderstoodByOurselves(t *testing.T) {
	for claim, l := range map[string]local{
		"IPv4": {id: 1, version: 1, addr: netip.MustParseAddr("192.0.2.7"), port: 4000, codecs: []codec{pcmu, pcma}, dtmf: dtmfPayload, dir: sendRecv},
		"IPv6": {id: 1, version: 2, addr: netip.MustParseAddr("2001:db8::7"), port: 4000, codecs: []codec{pcma}, dtmf: noDTMF, dir: recvOnly},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := parseSDP(l.marshal(), []codec{pcma, pcmu})
			want := remote{addr: netip.AddrPortFrom(l.addr, 4000), codec: l.codecs[0], law: l.codecs[0], dtmf: l.dtmf, dir: l.dir}
			if err != nil || got != want {
				t.Errorf("got %+v %v, want %+v of\n%s", got, err, want, l.marshal())
			}
		})
	}
}

// FuzzParseSDP looks for panics, and for an address we must not send to.
func FuzzParseSDP(f *testing.F) {
	f.Add(describe("m=audio 4000 RTP/AVP 0 8 101", "c=IN IP4 192.0.2.7", "a=rtpmap:101 telephone-event/8000"))
	f.Add(describe("m=audio 0 RTP/AVP 8", "c=IN IP6 ff02::1/3"))
	f.Add([]byte("v=0\nm=audio nonsense\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseSDP(body, []codec{pcma, pcmu})
		if err != nil {
			return
		}
		if r.codec != pcma && r.codec != pcmu || r.dtmf != noDTMF && (r.dtmf < 96 || r.dtmf > 127) {
			t.Errorf("codec %+v dtmf %d", r.codec, r.dtmf)
		}
		if a := r.addr.Addr(); r.addr.IsValid() && (a.IsMulticast() || a.IsUnspecified() || r.addr.Port() == 0) {
			t.Errorf("address %s", r.addr)
		}
	})
}
