package scheduler

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// braked is a queue that needs 60 % of at least four attempts in ten minutes
// and pauses for five; its limit lets two probes through.
func braked(basis Basis) Queue {
	return Queue{ID: 1, On: true, Limit: 20, Brake: BrakeSettings{MinPercent: 60, Basis: basis, Window: 600, MinAttempts: 4, Pause: 300}}
}

// words are the dispositions of the scripts of these tests.
var words = map[string]Disposition{
	"good": Answered, "busy": UserBusy, "silent": NoAnswer, "rejects": Rejected, "absent": Absent,
	"bad": Congestion, "fails": Failed, "invalid": InvalidNumber, "cancelled": Cancelled, "nothing": LocalError, "unknown": "",
}

// brakeScript plays words on a brake: "+5m" lets time pass, "start" starts a
// call (in the order of the alphabet: a, b, …) if the brake lets it, "a=bad"
// settles one, "bad" one that began before everything.
type brakeScript struct {
	queue Queue
	brake Brake
	now   time.Time
	calls []CallID
	up    int
}

func (s *brakeScript) play(t *testing.T, script string) {
	t.Helper()
	for _, word := range strings.Fields(script) {
		call, how, named := strings.Cut(word, "=")
		wait, isWait := strings.CutPrefix(word, "+")
		switch {
		case isWait:
			d, err := time.ParseDuration(wait)
			if err != nil {
				t.Fatal(err)
			}
			s.now = s.now.Add(d)
		case word == "start":
			id := CallID("")
			if s.brake.room(s.queue, s.up, s.now) > 0 {
				id = NewCallID(s.now)
				s.brake = s.brake.Started(s.queue, s.now)
				s.up++
			}
			s.calls = append(s.calls, id)
		case named:
			id := s.calls[call[0]-'a']
			if id == "" {
				t.Fatalf("%s was not started", call)
			}
			s.up--
			s.brake = s.brake.Settled(s.queue, id, words[how], s.now)
		default:
			s.brake = s.brake.Settled(s.queue, NewCallID(began.Add(-time.Minute)), words[word], s.now)
		}
	}
}

func TestBrake(t *testing.T) {
	const opened = "bad bad bad bad "
	const probing = opened + "+5m start start "
	for claim, tc := range map[string]struct {
		basis  Basis
		script string
		want   string // hold, until when from the beginning, why
		room   int
	}{
		"nothing happened":                                 {BasisNER, "", "", 0},
		"fewer than the least say nothing":                 {BasisNER, "bad bad bad", "", 0},
		"the least sample under the ratio":                 {BasisNER, "bad bad bad bad", "asr 5m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
		"exactly the ratio is enough":                      {BasisNER, "good good good bad bad", "", 0},
		"just under it is not":                             {BasisNER, "good good good bad bad bad", "asr 5m0s NER 50 % of 6 attempts in 10 min, needs 60 %", 0},
		"what users do is no fault of the network":         {BasisNER, "busy silent rejects absent busy silent", "", 0},
		"a failure is the network's":                       {BasisNER, "fails fails fails fails", "asr 5m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
		"what NER leaves out is not counted":               {BasisNER, "bad bad bad invalid cancelled nothing unknown", "", 0},
		"for ASR a busy user is no answer":                 {BasisASR, "good busy busy silent", "asr 5m0s ASR 25 % of 4 attempts in 10 min, needs 60 %", 0},
		"ASR counts what was signalled":                    {BasisASR, "good good bad invalid nothing unknown", "asr 5m0s ASR 50 % of 4 attempts in 10 min, needs 60 %", 0},
		"what is older than the window is past":            {BasisNER, "bad bad bad +10m1s bad", "", 0},
		"what is in the window is not":                     {BasisNER, "bad bad bad +9m bad", "asr 14m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
		"an open brake stays for its pause":                {BasisNER, opened + "+4m59s", "asr 5m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
		"what was up when it opened changes nothing":       {BasisNER, opened + "good good good good good good good good good", "asr 5m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
		"after the pause a tenth of the limit starts":      {BasisNER, opened + "+5m", "", 2},
		"no more than that":                                {BasisNER, probing, "asr never NER 0 % of 4 attempts in 10 min, needs 60 %; 2 probes under way", 0},
		"what began before the pause is no probe":          {BasisNER, probing + "good good bad bad", "asr never NER 0 % of 4 attempts in 10 min, needs 60 %; 2 probes under way", 0},
		"one probe is not enough":                          {BasisNER, probing + "a=good", "asr never NER 0 % of 4 attempts in 10 min, needs 60 %; 1 probe under way", 0},
		"probes that pass close it, and clear the window":  {BasisNER, probing + "a=good b=busy bad bad bad", "", 0},
		"one that fails is enough if the rest cannot help": {BasisNER, probing + "a=bad", "asr 15m0s NER 0 % of 1 probe, needs 60 %", 0},
		"a probe that says nothing is replaced":            {BasisNER, probing + "a=invalid", "", 1},
		"a probe that was lost is replaced":                {BasisNER, probing + "a=unknown b=unknown start c=good", "", 1},
		"the pause doubles":                                {BasisNER, probing + "a=bad +10m start c=bad", "asr 35m0s NER 0 % of 1 probe, needs 60 %", 0},
		"a probe of the round before is none of this one":  {BasisNER, probing + "a=bad +10m start b=good", "asr", 1},
		"up to half an hour":                               {BasisNER, probing + "a=bad +10m start c=bad +20m start d=bad +30m start e=bad", "asr 1h35m0s NER 0 % of 1 probe, needs 60 %", 0},
		"once it was closed the pause is the first again":  {BasisNER, probing + "a=bad +10m start start c=good d=good bad bad bad bad", "asr 20m0s NER 0 % of 4 attempts in 10 min, needs 60 %", 0},
	} {
		t.Run(claim, func(t *testing.T) {
			s := &brakeScript{queue: braked(tc.basis), now: began}
			s.play(t, tc.script)
			got := ""
			if h := s.brake.Hold(s.queue, s.up, s.now); h != (Hold{}) {
				until := "never"
				if !h.Until.IsZero() {
					until = h.Until.Sub(began).String()
				}
				got = fmt.Sprintf("%s %s %s", h.Gate, until, h.Detail)
			}
			if tc.room > 0 {
				if room := s.brake.room(s.queue, s.up, s.now); room != tc.room || got != "" {
					t.Errorf("room for %d, held by %q; want room for %d", room, got, tc.room)
				}
				return
			}
			if got != tc.want {
				t.Errorf("held by %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBrakeLetsAtLeastOneProbeThrough(t *testing.T) {
	for limit, want := range map[int]int{0: 1, 1: 1, 9: 1, 10: 1, 19: 1, 20: 2, 1000: 100} {
		if got := (Queue{Limit: limit}).probes(); got != want {
			t.Errorf("limit %d: %d probes, want %d", limit, got, want)
		}
	}
}

func TestBrakeEdited(t *testing.T) {
	set := func(f func(*BrakeSettings)) func(BrakeSettings) BrakeSettings {
		return func(s BrakeSettings) BrakeSettings { f(&s); return s }
	}
	for claim, tc := range map[string]struct {
		script string
		edit   func(BrakeSettings) BrakeSettings
		state  BrakeState
		ring   bool
	}{
		"something else changed":            {"bad bad bad bad", set(func(*BrakeSettings) {}), BrakeOpen, true},
		"a lower ratio lets go":             {"good good bad bad", set(func(s *BrakeSettings) { s.MinPercent = 50 }), BrakeClosed, true},
		"a higher ratio holds at once":      {"good good good bad bad", set(func(s *BrakeSettings) { s.MinPercent = 61 }), BrakeOpen, true},
		"a smaller sample holds at once":    {"bad bad bad", set(func(s *BrakeSettings) { s.MinAttempts = 3 }), BrakeOpen, true},
		"another ratio begins from nothing": {"bad bad bad bad", set(func(s *BrakeSettings) { s.Basis = BasisASR }), BrakeClosed, false},
		"another window does, too":          {"bad bad bad bad", set(func(s *BrakeSettings) { s.Window = 60 }), BrakeClosed, false},
		"no brake remembers nothing":        {"bad bad bad bad", set(func(s *BrakeSettings) { s.MinPercent = 0 }), BrakeClosed, false},
	} {
		t.Run(claim, func(t *testing.T) {
			s := &brakeScript{queue: braked(BasisNER), now: began}
			s.play(t, tc.script)
			got := s.brake.Edited(s.queue.Brake, tc.edit(s.queue.Brake), s.now)
			if got.State != tc.state || len(got.Ring) > 0 != tc.ring {
				t.Errorf("became %+v", got)
			}
		})
	}
	if s := (brakeScript{queue: Queue{}}); true {
		s.play(t, "start bad bad bad bad bad bad")
		if s.brake.Kept() != nil {
			t.Errorf("a queue without a brake remembers %+v", s.brake)
		}
	}
}

// The brake agrees with one that keeps every attempt, whatever happens in
// whatever order; and never are more probes up than may be.
func TestBrakeAgreesWithAListOfAttempts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := braked(rapid.SampledFrom([]Basis{BasisNER, BasisASR}).Draw(t, "basis"))
		q.Limit = rapid.IntRange(0, 50).Draw(t, "limit")
		now := began
		var b Brake
		type attempt struct {
			slot int64
			good bool
		}
		var ended []attempt // that count, since the brake was closed last
		up := map[CallID]bool{}
		var order []CallID
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "start") {
				if b.room(q, len(order), now) > 0 {
					id := NewCallID(now)
					b = b.Started(q, now)
					up[id], order = b.State == BrakeProbing, append(order, id)
				}
			} else if len(order) > 0 {
				n := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				id := order[n]
				order = append(order[:n:n], order[n+1:]...)
				how := rapid.SampledFrom([]Disposition{Answered, UserBusy, Congestion, InvalidNumber, ""}).Draw(t, "how")
				was := b
				b = b.Settled(q, id, how, now)
				counts, good := q.Brake.judge(how)
				if counts && (was.State != BrakeProbing || !up[id] || id.Began().Before(was.Since)) {
					ended = append(ended, attempt{q.Brake.slot(now), good})
				}
				if was.State == BrakeProbing && b.State == BrakeClosed {
					ended = nil
				}
				n, goods := 0, 0
				for _, a := range ended {
					if a.slot > q.Brake.slot(now)-brakeSlots {
						n++
						if a.good {
							goods++
						}
					}
				}
				trips := n >= q.Brake.MinAttempts && goods*100 < 60*n
				if was.State == BrakeClosed && (b.State == BrakeOpen) != trips {
					t.Fatalf("%d of %d are good, the brake is %+v", goods, n, b)
				}
				delete(up, id)
			}
			probes := 0 // up
			for _, id := range order {
				if b.State == BrakeProbing && !id.Began().Before(b.Since) {
					probes++
				}
			}
			if b.State == BrakeProbing && (probes != b.InFlight || probes+b.Probed > q.probes()) {
				t.Fatalf("%d probes are up: %+v", probes, b)
			}
			if b.State == BrakeOpen && b.room(q, len(order), b.Until) <= 0 {
				t.Fatalf("nothing may start once it is over: %+v", b)
			}
		}
	})
}

func TestMoved(t *testing.T) {
	q := braked(BasisNER)
	id := NewCallID(began)
	up := fresh().Start(began, id, "n1", 5)
	talks := up.Task.Connect(began.Add(time.Second))
	for claim, tc := range map[string]struct {
		tr      Transition
		running int
		ring    []Trials
	}{
		"a start takes a slot":                          {up, 1, nil},
		"a bridge counts":                               {talks, 0, []Trials{{q.Brake.slot(talks.At), 1, 1}}},
		"the end of a bridged call does not again":      {talks.Task.End(connected, began), -1, nil},
		"the end of one whose bridge was not told does": {up.Task.End(connected, began), -1, []Trials{{q.Brake.slot(began), 1, 1}}},
		"an end without a bridge counts":                {up.Task.End(aBusy, began), -1, []Trials{{q.Brake.slot(began), 1, 1}}},
		"an answer counts, though B is busy":            {up.Task.End(bBusy, began), -1, []Trials{{q.Brake.slot(began), 1, 1}}},
		"an invalid number does not":                    {up.Task.End(aInvalid, began), -1, nil},
		"what was released does not":                    {up.Task.Release(began), -1, nil},
		"what was lost does not":                        {up.Task.Lose(began), -1, nil},
		"what was lost while talking counted":           {talks.Task.Lose(began), -1, nil},
		"a cancel does not":                             {fresh().Drop(began, CommentCancelled), 0, nil},
	} {
		t.Run(claim, func(t *testing.T) {
			got := Runtime{}.Moved(q, tc.tr)
			if got.Running != tc.running || !reflect.DeepEqual(got.Brake.Ring, tc.ring) {
				t.Errorf("became %+v", got)
			}
		})
	}
}

func TestTook(t *testing.T) {
	leg := func(number string, try int, d Disposition, lost bool) Leg {
		return Leg{Role: LegA, Number: number, Try: try, Disposition: d, Lost: lost}
	}
	for claim, tc := range map[string]struct {
		legs []Leg
		want Disposition
	}{
		"nothing was dialled":          {nil, ""},
		"one leg is what it is":        {[]Leg{leg("1", 1, Congestion, false)}, Congestion},
		"an answer wins":               {[]Leg{leg("1", 1, Cancelled, true), leg("2", 1, Answered, false)}, Answered},
		"of forks that fail the best":  {[]Leg{leg("1", 1, Congestion, false), leg("2", 1, UserBusy, false)}, UserBusy},
		"the last try counts":          {[]Leg{leg("1", 1, UserBusy, false), leg("1", 2, Congestion, false)}, Congestion},
		"an answer after a failed try": {[]Leg{leg("1", 1, Congestion, false), leg("1", 2, Answered, false)}, Answered},
		"B's leg is not A's":           {[]Leg{{Role: LegB, Disposition: Answered}}, ""},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := (Outcome{Legs: tc.legs}).Took(LegA); got != tc.want {
				t.Errorf("took it as %q, want %q", got, tc.want)
			}
		})
	}
}
