package sip

import (
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// hearing returns the packets that a leg's peer is sent until over is called.
func hearing(t *testing.T, dtmf int, c codec, play func(m *media, over func())) []rtp.Packet {
	t.Helper()
	m, err := newMedia(freePorts(t, 1), loopback, []codec{c}, dtmf)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	ear, err := listenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	peer := local{addr: loopback, port: ear.LocalAddr().(*net.UDPAddr).Port, codecs: []codec{c}, dtmf: dtmf, dir: sendRecv}
	if err := m.accept(peer.marshal()); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	play(m, func() { close(over) })
	m.relay(append([]byte{0x80, c.payload, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, "somebody else"...), 12, m.path.Load())
	var heard []rtp.Packet
	buf := make([]byte, maxDatagram)
	for {
		_ = ear.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := ear.Read(buf)
		if err != nil {
			select {
			case <-over:
				return heard
			case <-time.After(5 * time.Second):
				t.Fatal("it does not end")
			default:
				continue
			}
		}
		var p rtp.Packet
		if err := p.Unmarshal(slices.Clone(buf[:n])); err != nil {
			t.Fatal(err)
		}
		heard = append(heard, p)
	}
}

// TestASoundIsSentAsItIs: in either law, evenly numbered and stamped, the last
// frame filled with silence, and nobody else is heard meanwhile.
func TestASoundIsSentAsItIs(t *testing.T) {
	pcm := make([]int16, 3*frameSamples+1)
	for i := range pcm {
		pcm[i] = int16(20000 * math.Sin(float64(i)/7))
	}
	for _, c := range []codec{pcma, pcmu} {
		t.Run(c.name, func(t *testing.T) {
			encode := map[codec]func(int16) byte{pcma: encodeALaw, pcmu: encodeULaw}[c]
			packets := hearing(t, noDTMF, c, func(m *media, over func()) { m.announce(pcm, over) })
			if len(packets) != 4 {
				t.Fatalf("%d packets", len(packets))
			}
			for i, p := range packets {
				first := packets[0]
				if p.PayloadType != c.payload || p.SequenceNumber != first.SequenceNumber+uint16(i) || p.SSRC != first.SSRC ||
					p.Timestamp != first.Timestamp+uint32(i*frameSamples) || p.Marker != (i == 0) {
					t.Errorf("packet %d has header %+v", i, p.Header)
				}
				for j, b := range p.Payload {
					want := encode(0)
					if at := i*frameSamples + j; at < len(pcm) {
						want = encode(pcm[at])
					}
					if b != want {
						t.Fatalf("sample %d of packet %d is %#x, want %#x", j, i, b, want)
					}
				}
			}
		})
	}
}

// TestDigitsAreEvents: RFC 4733, section 2.5: all packets of an event have its
// time stamp, its duration grows, its end comes three times.
func TestDigitsAreEvents(t *testing.T) {
	packets := hearing(t, 97, pcma, func(m *media, over func()) { m.press("1wD", over) })
	var got []string
	for i, p := range packets {
		if p.PayloadType != 97 || p.SequenceNumber != packets[0].SequenceNumber+uint16(i) {
			t.Errorf("packet %d has header %+v", i, p.Header)
		}
		mark := ""
		if p.Marker {
			mark = " marked"
		}
		got = append(got, fmt.Sprintf("%d %s%s", p.Timestamp-packets[0].Timestamp, hex.EncodeToString(p.Payload), mark))
	}
	later := (toneLength + gapLength) + 25 // frames, half a second among them
	var want []string
	for at, event := range map[int]string{0: "01", later * frameSamples: "0f"} {
		for i, tail := range []string{"0a00a0", "0a0140", "0a01e0", "0a0280", "8a0320", "8a0320", "8a0320"} {
			mark := ""
			if i == 0 {
				mark = " marked"
			}
			want = append(want, fmt.Sprintf("%d %s%s%s", at, event, tail, mark))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// TestDigitsAreTones for a peer that takes no telephone-event: the two
// frequencies of ITU-T Q.23, 100 ms each, with a gap as long.
func TestDigitsAreTones(t *testing.T) {
	rows, columns := [4]float64{697, 770, 852, 941}, [4]float64{1209, 1336, 1477, 1633}
	keys := "123A456B789C*0#D"
	packets := hearing(t, noDTMF, pcmu, func(m *media, over func()) { m.press(keys[:6], over) })
	if len(packets) != 6*(toneLength+gapLength) {
		t.Fatalf("%d packets", len(packets))
	}
	for k := range keys {
		code := strings.IndexByte(events, keys[k])
		for n := range toneLength + gapLength {
			payload := make([]byte, frameSamples)
			if k < 6 {
				payload = packets[k*(toneLength+gapLength)+n].Payload
			} else if n < toneLength {
				encodeFrame(payload, digitTone(code, n), pcmu)
			} else {
				payload = quietFrame[pcmu]
			}
			low, high, power := strength(payload, rows[k/4]), strength(payload, columns[k%4]), strength(payload, 0)
			if n >= toneLength && power > 1000 || n < toneLength && (low < 0.4*power || high < 0.4*power) {
				t.Errorf("frame %d of %c: %.0f and %.0f of %.0f", n, keys[k], low, high, power)
			}
		}
	}
}

// strength is the power of µ-law samples at a frequency; of all of them at 0.
func strength(payload []byte, hertz float64) float64 {
	var sine, cosine, power float64
	for i, b := range payload {
		v, at := float64(decodeULaw(b)), 2*math.Pi*hertz*float64(i)/sampleRate
		sine, cosine, power = sine+v*math.Sin(at), cosine+v*math.Cos(at), power+v*v
	}
	if hertz == 0 {
		return power / float64(len(payload))
	}
	n := float64(len(payload))
	return 2 * (sine*sine + cosine*cosine) / (n * n)
}
