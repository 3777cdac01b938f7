package dialertest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// The sounds of the suite, by id.
const (
	shortSound = "short"
	longSound  = "long"
)

var soundLength = map[string]time.Duration{shortSound: 300 * time.Millisecond, longSound: 3 * time.Second}

// sounds writes the suite's sounds and loads them.
func (p Peer) sounds(t *testing.T) dialer.Sounds {
	t.Helper()
	dir := p.Sounds
	if dir == "" {
		dir = t.TempDir()
	}
	for id, length := range soundLength {
		if err := os.WriteFile(filepath.Join(dir, id+".wav"), Tone(620, length), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dialer.LoadSounds(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Tone is a WAV file of a sine of so many hertz: 16 bits, mono, 8 kHz.
func Tone(hertz float64, length time.Duration) []byte {
	n := int(length * dialer.SampleRate / time.Second)
	b := fmt.Appendf(nil, "RIFF%sWAVEfmt ", le32(36+2*n))
	b = append(b, 16, 0, 0, 0, 1, 0, 1, 0)
	b = append(b, le32(dialer.SampleRate)+le32(2*dialer.SampleRate)...)
	b = append(b, 2, 0, 16, 0)
	b = append(b, "data"+le32(2*n)...)
	for i := range n {
		b = binary.LittleEndian.AppendUint16(b, uint16(int16(8000*math.Sin(2*math.Pi*hertz*float64(i)/dialer.SampleRate))))
	}
	return b
}

func le32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// slack is how much earlier than a sound is over a network may tell so: what
// is under way to the far end.
const slack = 100 * time.Millisecond

// judgeSounds sees that the call waited for what was heard.
func (c call) judgeSounds(t *testing.T, r *Recorder, o scheduler.Outcome) {
	t.Helper()
	plays := func(role scheduler.Role) int { return r.Plays(dialer.LegID(fmt.Sprintf("%s-%s1", callID, role))) }
	given := func(s string) int { return min(len(s), 1) }
	wantA, wantB := given(c.announceA)+given(c.announceBoth), given(c.digits)+given(c.announceBoth)
	if a, b := plays(scheduler.LegA), plays(scheduler.LegB); a != wantA || b != wantB {
		t.Errorf("A was given %d sounds and B %d, want %d and %d", a, b, wantA, wantB)
	}
	if c.comment != "" || wantA+wantB == 0 {
		return
	}
	a, b := o.Legs[0], o.Legs[1]
	if gap := b.StartedAt.Sub(a.AnsweredAt); gap < soundLength[c.announceA]-slack {
		t.Errorf("B was called %v after A answered", gap)
	}
	if gap := o.BridgedAt.Sub(b.AnsweredAt); gap < soundLength[c.announceBoth]+dialer.DigitsTime(c.digits)-slack {
		t.Errorf("A and B were connected %v after B answered", gap)
	}
}
