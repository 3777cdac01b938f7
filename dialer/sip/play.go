package sip

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pion/rtp"

	"ringback/dialer"
)

// source is something that is played, frame by frame. It returns false when it
// is over, or shall be, as the peer with this path would see it.
type source func(v *voice, p *path) bool

// voice is a stream of packets of our own to a peer.
type voice struct {
	m      *media
	packet rtp.Packet
	buf    []byte
	frames int // sent so far
}

// say sends one packet; time goes on by a frame whether it is sent or not.
func (v *voice) say(p *path, payload uint8, content []byte) {
	v.packet.PayloadType, v.packet.Payload = payload, content
	if size, err := v.packet.MarshalTo(v.buf); err == nil {
		v.m.write(p, v.buf[:size])
	}
	v.packet.Marker = false
	v.packet.SequenceNumber++
}

// ring starts or stops the ringing tone.
func (m *media) ring(on bool) {
	if !on {
		m.start(nil, nil)
		return
	}
	m.fed.Store(false)
	m.start(func(v *voice, p *path) bool {
		if m.fed.Load() { // somebody's own sound is relayed to the peer
			return false
		}
		if !p.law.isLaw() {
			return false
		}
		v.say(p, p.law.payload, toneFrame(p.law, v.frames))
		return true
	}, nil)
}

// announce plays samples to the peer, who hears nobody meanwhile; over is
// called at their end, and must not block.
func (m *media) announce(pcm []int16, over func()) {
	m.busy.Add(1)
	frame := make([]byte, frameSamples)
	m.start(func(v *voice, p *path) bool {
		rest := pcm[min(v.frames*frameSamples, len(pcm)):]
		if len(rest) == 0 {
			return false
		}
		if !p.law.isLaw() {
			return false
		}
		encodeFrame(frame, rest, p.law)
		v.say(p, p.law.payload, frame)
		return true
	}, func() {
		m.busy.Add(-1)
		over()
	})
}

// encodeFrame encodes samples, and silence after the last of them.
func encodeFrame(frame []byte, pcm []int16, c codec) {
	encode := encodeALaw
	if c == pcmu {
		encode = encodeULaw
	}
	for i := range frame {
		sample := int16(0)
		if i < len(pcm) {
			sample = pcm[i]
		}
		frame[i] = encode(sample)
	}
}

// How long a digit and its gap are, in frames.
const (
	toneLength = int(dialer.DigitTone / frame)
	gapLength  = int(dialer.DigitGap / frame)
)

// press sends DTMF digits to the peer; over is called at their end, and must
// not block.
func (m *media) press(digits string, over func()) {
	at := 0 // frames since the present digit began
	m.busy.Add(1)
	m.start(func(v *voice, p *path) bool {
		if digits == "" {
			return false
		}
		last := toneLength + gapLength
		if pause := dialer.PauseOf(digits[0]); pause > 0 {
			last = int(pause / frame)
		} else {
			v.dtmf(p, digits[0], at)
		}
		if at++; at == last {
			digits, at = digits[1:], 0
		}
		return true
	}, func() {
		m.busy.Add(-1)
		over()
	})
}

// events are the digits by their RFC 4733 event codes.
const events = "0123456789*#ABCD"

// dtmf sends frame n of a digit: the event as long as it lasts so far, three
// times at its end (RFC 4733, section 2.5.1), and nothing in the gap; or the
// tone itself, and silence in the gap.
func (v *voice) dtmf(p *path, digit byte, n int) {
	code := strings.IndexByte(events, digit)
	if code < 0 {
		return
	}
	switch {
	case p.dtmf == noDTMF && p.law.isLaw():
		content := quietFrame[p.law]
		if n < toneLength {
			content = make([]byte, frameSamples)
			encodeFrame(content, digitTone(code, n), p.law)
		}
		v.say(p, p.law.payload, content)
		return
	case p.dtmf == noDTMF, n >= toneLength:
		return
	}
	const (
		end    = 0x80
		volume = 10 // dBm0 below 0
	)
	now := v.packet.Timestamp
	v.packet.Timestamp -= uint32(n * frameSamples) // all of an event's packets have that of its begin
	v.packet.Marker = n == 0
	lasts := uint16((n + 1) * frameSamples)
	content := []byte{byte(code), volume, byte(lasts >> 8), byte(lasts)}
	times := 1
	if n == toneLength-1 {
		content[1] |= end
		times = 3
	}
	for range times {
		v.say(p, uint8(p.dtmf), content)
	}
	v.packet.Timestamp = now
}

// The two frequencies of a digit (ITU-T Q.23), by its event code, and the peak
// of each: −7 dBm0, as most telephones send them.
var (
	lowHertz  = [16]float64{941, 697, 697, 697, 770, 770, 770, 852, 852, 852, 941, 941, 697, 770, 852, 941}
	highHertz = [16]float64{1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1477, 1633, 1633, 1633, 1633}
)

const digitPeak = 10000.0 // of 32124, the peak of a +3.14 dBm0 sine in G.711

// digitTone is frame n of a digit's tone.
func digitTone(code, n int) []int16 {
	pcm := make([]int16, frameSamples)
	for i := range pcm {
		t := 2 * math.Pi * float64(n*frameSamples+i) / sampleRate
		pcm[i] = int16(digitPeak * (math.Sin(lowHertz[code]*t) + math.Sin(highHertz[code]*t)))
	}
	return pcm
}

// start ends what is played, and plays a source in its place unless that is
// nil. over, if there is one, is called when the source has ended, whatever
// ended it.
func (m *media) start(what source, over func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quiet()
	switch {
	case what == nil:
	case m.over && over != nil:
		over()
	case !m.over:
		stop := make(chan struct{})
		m.tone = stop
		m.wg.Go(func() {
			if over != nil {
				defer over()
			}
			m.play(what, stop)
		})
	}
}

// quiet stops what is played; the lock is held.
func (m *media) quiet() {
	if m.tone != nil {
		close(m.tone)
		m.tone = nil
	}
}

// play sends a source to the peer, a frame every 20 ms, until it is over or
// stop is closed.
func (m *media) play(what source, stop <-chan struct{}) {
	ticker := time.NewTicker(frame)
	defer ticker.Stop()
	v := voice{m: m, packet: rtp.Packet{Header: rtp.Header{
		Version: 2, Marker: true, SSRC: rand.Uint32(),
		SequenceNumber: uint16(rand.Uint32()), Timestamp: rand.Uint32(),
	}}}
	v.buf = make([]byte, v.packet.MarshalSize()+frameSamples)
	for ; ; v.frames++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		p := m.path.Load()
		if p == nil || !what(&v, p) {
			return
		}
		v.packet.Timestamp += frameSamples
	}
}

// heardOut tells that a sound is over. It does not block: media waits for who
// calls it.
func (l *leg) heardOut() {
	select {
	case l.heard <- struct{}{}:
	default:
	}
}
