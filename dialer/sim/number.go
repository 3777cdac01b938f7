package sim

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"ringback/dialer"
)

// behaviour is what the far end of a leg does.
type behaviour int

const (
	answers   behaviour = iota + 1
	silent              // rings until it is hung up
	busy                // told without ringing
	rejects             // rings, then is declined
	invalid             // told without ringing
	congested           // told without ringing
	leaves              // answers, and hangs up while the other side rings
)

// bySuffix are the numbers whose last digits say what they do.
var bySuffix = []struct {
	suffix string
	does   behaviour
}{
	{"0486", busy}, {"0480", silent}, {"0408", silent}, {"0603", rejects},
	{"0404", invalid}, {"0503", congested}, {"0487", leaves},
}

// behaviourOf decides what a leg does. A number without a meaning of its own
// answers with the percentage of the options; the rest is no answer or busy,
// half and half. That is decided by seed, number, role, task and attempt alone:
// the order and the speed in which calls are made change nothing, another
// attempt may end in another way, and the call's random id plays no part. During
// an outage every number is congested.
func (d *Driver) behaviourOf(o dialer.Originate) behaviour {
	if into := time.Since(d.made) - d.o.Outage.After; into >= 0 && into < d.o.Outage.For {
		return congested
	}
	number := o.Number.Dial()
	for _, s := range bySuffix {
		if strings.HasSuffix(number, s.suffix) {
			return s.does
		}
	}
	if d.o.AnswerPercent == 100 {
		return answers
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, number+" "+string(o.Role)+" "+ // a hash takes every write
		strconv.FormatInt(int64(o.Task), 10)+" "+strconv.Itoa(o.Attempt))
	draw := rand.New(rand.NewPCG(d.o.Seed, h.Sum64()))
	switch {
	case draw.IntN(100) < d.o.AnswerPercent:
		return answers
	case draw.IntN(2) == 0:
		return silent
	}
	return busy
}
