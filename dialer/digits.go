package dialer

import "time"

// How DTMF digits are sent: each for as long as most equipment wants to hear
// it (ITU-T Q.24 asks for 40 ms at least), with as long a gap after it.
const (
	DigitTone = 100 * time.Millisecond
	DigitGap  = 100 * time.Millisecond
)

// PauseOf is how long a character of scheduler.Params.DstDTMF makes who sends
// the digits wait; zero for a digit.
func PauseOf(c byte) time.Duration {
	switch c {
	case 'w':
		return 500 * time.Millisecond
	case 'p':
		return 2 * time.Second
	}
	return 0
}

// DigitsTime is how long digits and their pauses take.
func DigitsTime(digits string) time.Duration {
	var total time.Duration
	for i := range len(digits) {
		if pause := PauseOf(digits[i]); pause > 0 {
			total += pause
		} else {
			total += DigitTone + DigitGap
		}
	}
	return total
}
