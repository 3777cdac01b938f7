package scheduler

import (
	"fmt"
	"math"
	"time"
)

// Basis is the ratio that a brake looks at.
type Basis string

// The two ratios (ITU-T E.425). Both are of A's side: NER leaves out what says
// nothing of the network, ASR asks for an answer.
const (
	BasisNER Basis = "ner"
	BasisASR Basis = "asr"
)

// BrakeSettings say when a queue stops calling into a network that does not
// connect.
type BrakeSettings struct {
	MinPercent  float64 // the ratio it needs, 1–100; 0: no brake
	Basis       Basis
	Window      int // seconds that the ratio is of
	MinAttempts int // under so many it says nothing
	Pause       int // seconds of the first pause
}

// DefaultBrake are the settings of a queue that names none: no brake.
var DefaultBrake = BrakeSettings{Basis: BasisNER, Window: 600, MinAttempts: 30, Pause: 300}

// Limits of a brake's settings.
const (
	MinBrakeWindow   = 60     // seconds
	MaxBrakeWindow   = 86_400 // seconds
	MaxBrakeAttempts = 10_000
	MaxBrakePause    = 1800 // seconds; also how far the pause doubles
)

// BrakeState is where a brake stands.
type BrakeState string

// The states of a brake.
const (
	BrakeClosed  BrakeState = ""        // calls go
	BrakeOpen    BrakeState = "open"    // nothing starts until a time, then probes do
	BrakeProbing BrakeState = "probing" // a few calls find out how the network is
)

// brakeSlots is into how many parts the window is cut: it slides by one of
// them.
const brakeSlots = 20

// Brake is what a queue's brake remembers. It is part of the queue's row, so
// that every node sees the same and a restart changes nothing.
type Brake struct {
	State    BrakeState `json:"state,omitempty"`
	Pause    int        `json:"pause,omitempty"`     // seconds, of the latest one
	Until    time.Time  `json:"until,omitzero"`      // open: when probes may start
	Since    time.Time  `json:"since,omitzero"`      // probing: no call that began before is a probe
	InFlight int        `json:"in_flight,omitempty"` // probes of which nothing is known yet
	Probed   int        `json:"probed,omitempty"`    // probes that say something
	Passed   int        `json:"passed,omitempty"`    // of them
	Why      string     `json:"why,omitempty"`       // why it opened, in words
	Ring     []Trials   `json:"ring,omitempty"`      // oldest first
}

// Trials are the attempts that ended in one slot of a brake's window.
type Trials struct {
	Slot int64 `json:"t"` // Unix time over the length of a slot
	N    int   `json:"n"`
	Good int   `json:"g,omitempty"`
}

// on reports whether the queue has a brake.
func (s BrakeSettings) on() bool { return s.MinPercent > 0 }

// judge says whether an attempt that A took so counts, and how.
func (s BrakeSettings) judge(a Disposition) (counts, good bool) {
	if s.Basis == BasisASR {
		return a.Signalled(), a == Answered
	}
	return a.Judged(), a.Effective()
}

// under reports whether good of n is under the ratio that is needed.
func (s BrakeSettings) under(good, n int) bool {
	return float64(good)*100 < s.MinPercent*float64(n)
}

// told is a ratio in words: "NER 41 %".
func (s BrakeSettings) told(good, n int) string {
	return fmt.Sprintf("%s %d %%", s.name(), good*100/max(n, 1))
}

func (s BrakeSettings) name() string {
	if s.Basis == BasisASR {
		return "ASR"
	}
	return "NER"
}

// probes is how many calls find out whether the network is well again.
func (q Queue) probes() int { return max(1, q.Limit/10) }

// Kept is the brake as its row keeps it: nil if there is nothing to remember.
func (b Brake) Kept() any {
	if b.State == BrakeClosed && len(b.Ring) == 0 {
		return nil
	}
	return b
}

// Started returns the brake after a call of the queue began at a time that the
// brake let it: the first one after a pause, and those after it, are probes.
func (b Brake) Started(q Queue, at time.Time) Brake {
	switch {
	case !q.Brake.on():
	case b.State == BrakeOpen:
		b.State, b.Until, b.Since = BrakeProbing, time.Time{}, at.UTC().Truncate(time.Millisecond)
		b.InFlight, b.Probed, b.Passed = 1, 0, 0
	case b.State == BrakeProbing:
		b.InFlight++
	}
	return b
}

// Settled returns the brake after it became known at a time how A took a call
// of the queue, which has the id; a is "" if it never will be.
func (b Brake) Settled(q Queue, id CallID, a Disposition, at time.Time) Brake {
	if !q.Brake.on() {
		return b
	}
	counts, good := q.Brake.judge(a)
	if b.State == BrakeProbing && !id.Began().Before(b.Since) {
		return b.probed(q, counts, good, at)
	}
	if counts {
		b = b.count(q.Brake, good, at)
	}
	if b.State == BrakeClosed {
		b = b.tested(q.Brake, at)
	}
	return b
}

// probed notes the end of a probe; the brake moves as soon as those still
// missing cannot change the verdict.
func (b Brake) probed(q Queue, counts, good bool, at time.Time) Brake {
	b.InFlight = max(b.InFlight-1, 0)
	if !counts {
		return b // another one takes its place
	}
	b.Probed++
	if good {
		b.Passed++
	}
	want := q.probes()
	missing := max(want-b.Probed, 0)
	n := b.Probed + missing
	switch {
	case !q.Brake.under(b.Passed, n):
		return Brake{}
	case q.Brake.under(b.Passed+missing, n):
		why := fmt.Sprintf("%s of %s, needs %g %%", q.Brake.told(b.Passed, b.Probed), plural(b.Probed, "probe"), q.Brake.MinPercent)
		return b.open(min(2*b.Pause, MaxBrakePause), why, at)
	}
	return b
}

// open stops the queue for a pause.
func (b Brake) open(pause int, why string, at time.Time) Brake {
	return Brake{State: BrakeOpen, Pause: pause, Until: at.UTC().Add(time.Duration(pause) * time.Second), Why: why, Ring: b.Ring}
}

// slot is the place of a moment in the window.
func (s BrakeSettings) slot(at time.Time) int64 {
	length := max(int64(s.Window)*1000/brakeSlots, 1)
	return at.UnixMilli() / length
}

// count adds an attempt to the window, of which it forgets what is too old.
func (b Brake) count(s BrakeSettings, good bool, at time.Time) Brake {
	slot := s.slot(at)
	ring := make([]Trials, 0, len(b.Ring)+1)
	for _, t := range b.Ring {
		if t.Slot > slot-brakeSlots {
			ring = append(ring, t)
		}
	}
	if n := len(ring); n == 0 || ring[n-1].Slot < slot {
		ring = append(ring, Trials{Slot: slot})
	}
	last := &ring[len(ring)-1] // also of what comes late
	last.N++
	if good {
		last.Good++
	}
	b.Ring = ring
	return b
}

// sample returns how many attempts of the window count at a time, and how many
// of them are good.
func (b Brake) sample(s BrakeSettings, at time.Time) (good, n int) {
	oldest := s.slot(at) - brakeSlots
	for _, t := range b.Ring {
		if t.Slot > oldest {
			n, good = n+t.N, good+t.Good
		}
	}
	return good, n
}

// tested opens a brake that is closed if the window says so.
func (b Brake) tested(s BrakeSettings, at time.Time) Brake {
	good, n := b.sample(s, at)
	if n < s.MinAttempts || !s.under(good, n) {
		return b
	}
	why := fmt.Sprintf("%s of %s in %s, needs %g %%", s.told(good, n), plural(n, "attempt"), span(s.Window), s.MinPercent)
	return b.open(s.Pause, why, at)
}

// Edited returns the brake after the settings of its queue changed: if they are
// its own, what the window says is judged anew, by another ratio from nothing.
func (b Brake) Edited(from, to BrakeSettings, at time.Time) Brake {
	switch {
	case from == to:
		return b
	case !to.on() || from.Basis != to.Basis || from.Window != to.Window:
		return Brake{}
	}
	return Brake{Ring: b.Ring}.tested(to, at)
}

// room is how many calls of the queue the brake lets start at now.
func (b Brake) room(q Queue, running int, now time.Time) int {
	switch {
	case b.State == BrakeOpen && b.Until.After(now):
		return 0
	case b.State == BrakeOpen:
		return q.probes()
	case b.State == BrakeProbing:
		return q.probes() - b.Probed - min(b.InFlight, running)
	}
	return math.MaxInt
}

// Hold is how the brake holds its queue at now; the zero Hold if it does not.
// While probes are up no time ends it.
func (b Brake) Hold(q Queue, running int, now time.Time) Hold {
	if b.room(q, running, now) > 0 {
		return Hold{}
	}
	h := Hold{Gate: GateASR, Until: b.Until, Detail: b.Why}
	if b.State == BrakeProbing {
		h.Detail += fmt.Sprintf("; %s under way", plural(min(b.InFlight, running), "probe"))
	}
	return h
}

// Moved returns the row after a transition of one of the queue's tasks.
func (r Runtime) Moved(q Queue, tr Transition) Runtime {
	r.Running += tr.Slot
	if tr.Step == StepStart {
		r.Brake = r.Brake.Started(q, tr.At)
	}
	if tr.Settles {
		r.Brake = r.Brake.Settled(q, tr.From.CallID, tr.A, tr.At)
	}
	return r
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// span is a number of seconds in words.
func span(seconds int) string {
	switch {
	case seconds%3600 == 0:
		return fmt.Sprintf("%d h", seconds/3600)
	case seconds%60 == 0:
		return fmt.Sprintf("%d min", seconds/60)
	}
	return fmt.Sprintf("%d s", seconds)
}
