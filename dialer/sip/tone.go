package sip

import (
	"math"
	"time"

	"ringback/dialer"
)

// Ringing tone as most of Europe hears it (ITU-T E.180, supplement 2): 425 Hz,
// one second on, four seconds off, at −13 dBm0.
const (
	toneHertz  = 425
	toneOn     = time.Second
	tonePeriod = 5 * time.Second
	tonePeak   = 5017.0 // of 32124, the peak of a +3.14 dBm0 sine in G.711
)

const (
	sampleRate   = dialer.SampleRate
	frame        = 20 * time.Millisecond
	frameSamples = 160
)

// toneFrames is one turn of the tone per codec: 17 periods of 425 Hz are
// exactly two frames.
var toneFrames = map[codec][2][]byte{
	pcma: makeTone(encodeALaw),
	pcmu: makeTone(encodeULaw),
}

// quietFrame is a frame of silence per codec.
var quietFrame = map[codec][]byte{
	pcma: makeQuiet(encodeALaw),
	pcmu: makeQuiet(encodeULaw),
}

func makeTone(encode func(int16) byte) (frames [2][]byte) {
	for i := range frames {
		frames[i] = make([]byte, frameSamples)
		for j := range frames[i] {
			t := float64(i*frameSamples+j) / sampleRate
			frames[i][j] = encode(int16(tonePeak * math.Sin(2*math.Pi*toneHertz*t)))
		}
	}
	return frames
}

func makeQuiet(encode func(int16) byte) []byte {
	quiet := make([]byte, frameSamples)
	for i := range quiet {
		quiet[i] = encode(0)
	}
	return quiet
}

// toneFrame returns what is sent n frames after the tone began.
func toneFrame(c codec, n int) []byte {
	at := time.Duration(n) * frame % tonePeriod
	if at >= toneOn {
		return quietFrame[c]
	}
	return toneFrames[c][n%2]
}
