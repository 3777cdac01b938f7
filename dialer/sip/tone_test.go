package sip

import (
	"math"
	"testing"
	"time"
)

func TestG711(t *testing.T) {
	for claim, c := range map[string]struct {
		encode func(int16) byte
		decode func(byte) int16
		known  map[int16]byte
	}{
		"A-law": {encodeALaw, decodeALaw, map[int16]byte{0: 0xd5, -1: 0x55, 32767: 0xaa, -32768: 0x2a}},
		"µ-law": {encodeULaw, decodeULaw, map[int16]byte{0: 0xff, 32767: 0x80, -32768: 0x00}},
	} {
		t.Run(claim, func(t *testing.T) {
			for sample, want := range c.known {
				if got := c.encode(sample); got != want {
					t.Errorf("%d is %#x, want %#x", sample, got, want)
				}
			}
			for s := math.MinInt16; s <= math.MaxInt16; s++ {
				got := int(c.decode(c.encode(int16(s))))
				if off := math.Abs(float64(got - s)); off > 16+math.Abs(float64(s))/24 {
					t.Fatalf("%d comes back as %d", s, got)
				}
			}
		})
	}
}

func TestTheToneIs425HzOneSecondInFive(t *testing.T) {
	for name, decode := range map[codec]func(byte) int16{pcma: decodeALaw, pcmu: decodeULaw} {
		t.Run(name.name, func(t *testing.T) {
			var loud int
			var sine, cosine, power, n float64
			frames := int(tonePeriod / frame)
			for f := range frames {
				quiet := true
				for i, b := range toneFrame(name, f) {
					v := float64(decode(b))
					at := 2 * math.Pi * toneHertz * float64(f*frameSamples+i) / sampleRate
					if math.Abs(v) > 100 {
						quiet = false
						sine, cosine, power, n = sine+v*math.Sin(at), cosine+v*math.Cos(at), power+v*v, n+1
					}
				}
				if !quiet {
					loud++
				}
				if quiet != (time.Duration(f)*frame >= toneOn) {
					t.Fatalf("frame %d is quiet: %t", f, quiet)
				}
			}
			if time.Duration(loud)*frame != toneOn {
				t.Errorf("loud for %v of %v", time.Duration(loud)*frame, tonePeriod)
			}
			if share := (sine*sine + cosine*cosine) / (n * power / 2); share < 0.99 {
				t.Errorf("only %.3f of the power is at 425 Hz", share)
			}
			if level := 10*math.Log10(power/n/(32124*32124/2)) + 3.14; math.Abs(level+13) > 0.5 {
				t.Errorf("level %.1f dBm0, want -13", level)
			}
		})
	}
}
