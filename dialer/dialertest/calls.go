package dialertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// moment is when something is done to a call from outside.
type moment int

const (
	never moment = iota
	aRings
	bRings
	announced
	bridged
)

// call is one call of the suite and what must become of it.
type call struct {
	a     []Behaviour // A, and the extended A numbers
	b     Behaviour
	limit bool // the maximum duration is half the talk
	cutAt moment
	cut   scheduler.Cut
	// Ids of sounds: to A, to both; and digits to B.
	announceA, announceBoth, digits string

	// What is wanted. A leg is "role disposition by", with " lost"; of several
	// lists of legs one must fit.
	legs    [][]string
	comment string // "": it was bridged
	result  scheduler.CallResult
	by      scheduler.HangupBy
	cause   string         // name of the Q.850 cause; "": whatever the network says
	step    scheduler.Step // what the outcome makes of the task; "": StepEnd
	final   bool           // no further try, though there are some
}

func legs(l ...string) [][]string { return [][]string{l} }

// calls are the outcomes that every driver must produce.
var calls = map[string]call{
	"A and B talk until B hangs up": {
		a: []Behaviour{Answers}, b: Leaves,
		legs:   legs("a answered us", "b answered peer"),
		result: scheduler.CallBridged, by: scheduler.CalleeBye, cause: "NORMAL_CLEARING", final: true,
	},
	"A and B talk until A hangs up": {
		a: []Behaviour{Leaves}, b: Answers,
		legs:   legs("a answered peer", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.CallerBye, cause: "NORMAL_CLEARING", final: true,
	},
	"the maximum duration ends the talk": {
		a: []Behaviour{Answers}, b: Answers, limit: true,
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, cause: "NORMAL_CLEARING", final: true,
	},

	"A is busy": {
		a: []Behaviour{Busy}, b: Answers, legs: legs("a busy peer"), comment: "a_number busy",
		result: scheduler.CallBusy, by: scheduler.CalleeRefuse, cause: "USER_BUSY",
	},
	"A does not answer": {
		a: []Behaviour{Silent}, b: Answers, legs: legs("a no_answer us"), comment: "a_number no_answer",
		result: scheduler.CallNotAnswered, by: scheduler.InternalCancel, cause: "NO_ANSWER",
	},
	"A rejects": {
		a: []Behaviour{Rejects}, b: Answers, legs: legs("a rejected peer"), comment: "a_number rejected",
		result: scheduler.CallRejected, by: scheduler.CalleeRefuse, cause: "CALL_REJECTED",
	},
	"A is no valid number": {
		a: []Behaviour{Invalid}, b: Answers, legs: legs("a invalid_number peer"), comment: "a_number invalid_number",
		result: scheduler.CallFailed, by: scheduler.CalleeRefuse, final: true,
	},
	"the network to A is congested": {
		a: []Behaviour{Congested}, b: Answers, legs: legs("a congestion peer"), comment: "a_number congestion",
		result: scheduler.CallFailed, by: scheduler.CalleeRefuse,
	},

	"B is busy": {
		a: []Behaviour{Answers}, b: Busy, legs: legs("a answered us", "b busy peer"), comment: "b_number busy",
		result: scheduler.CallBusy, by: scheduler.CalleeRefuse, cause: "USER_BUSY",
	},
	"B does not answer": {
		a: []Behaviour{Answers}, b: Silent, legs: legs("a answered us", "b no_answer us"), comment: "b_number no_answer",
		result: scheduler.CallNotAnswered, by: scheduler.InternalCancel, cause: "NO_ANSWER",
	},
	"B rejects": {
		a: []Behaviour{Answers}, b: Rejects, legs: legs("a answered us", "b rejected peer"), comment: "b_number rejected",
		result: scheduler.CallRejected, by: scheduler.CalleeRefuse, cause: "CALL_REJECTED",
	},
	"B is no valid number": {
		a: []Behaviour{Answers}, b: Invalid, legs: legs("a answered us", "b invalid_number peer"), comment: "b_number invalid_number",
		result: scheduler.CallFailed, by: scheduler.CalleeRefuse, final: true,
	},
	"the network to B is congested": {
		a: []Behaviour{Answers}, b: Congested, legs: legs("a answered us", "b congestion peer"), comment: "b_number congestion",
		result: scheduler.CallFailed, by: scheduler.CalleeRefuse,
	},
	"A hangs up while B rings": {
		a: []Behaviour{LeavesEarly}, b: Answers, legs: legs("a answered peer", "b cancelled us"), comment: "a_number hung up",
		result: scheduler.CallNotAnswered, by: scheduler.CallerCancel,
	},

	"an extended A answers and A is cancelled": {
		a: []Behaviour{Silent, Answers}, b: Leaves,
		legs:   legs("a cancelled us lost", "a answered us", "b answered peer"),
		result: scheduler.CallBridged, by: scheduler.CalleeBye, final: true,
	},
	"an extended A answers after A was busy": {
		a: []Behaviour{Busy, Answers}, b: Leaves,
		legs: [][]string{
			{"a busy peer", "a answered us", "b answered peer"},
			{"a cancelled us lost", "a answered us", "b answered peer"}, // the answer was faster
			{"a busy peer lost", "a answered us", "b answered peer"},    // they crossed
		},
		result: scheduler.CallBridged, by: scheduler.CalleeBye, final: true,
	},
	"two answer at once and one of them is hung up": {
		a: []Behaviour{Answers, Answers}, b: Leaves,
		legs: [][]string{
			{"a answered us", "a answered us lost", "b answered peer"},
			{"a answered us lost", "a answered us", "b answered peer"},
			{"a answered us", "a cancelled us lost", "b answered peer"},
			{"a cancelled us lost", "a answered us", "b answered peer"},
		},
		result: scheduler.CallBridged, by: scheduler.CalleeBye, final: true,
	},
	"busy outranks what the other A numbers say": {
		a: []Behaviour{Silent, Invalid, Busy, Rejects}, b: Answers,
		legs:    legs("a no_answer us", "a invalid_number peer", "a busy peer", "a rejected peer"),
		comment: "a_number busy", result: scheduler.CallBusy, by: scheduler.CalleeRefuse, cause: "USER_BUSY",
	},
	"an invalid A is final only if no other A can be tried again": {
		a: []Behaviour{Invalid, Congested}, b: Answers,
		legs:    legs("a invalid_number peer", "a congestion peer"),
		comment: "a_number congestion", result: scheduler.CallFailed, by: scheduler.CalleeRefuse,
	},

	"A hears its announcement before B is called": {
		a: []Behaviour{Answers}, b: Answers, limit: true, announceA: shortSound,
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, cause: "NORMAL_CLEARING", final: true,
	},
	"A and B hear their announcement before they are connected": {
		a: []Behaviour{Answers}, b: Answers, limit: true, announceBoth: shortSound,
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, cause: "NORMAL_CLEARING", final: true,
	},
	"B is sent digits before it is connected": {
		a: []Behaviour{Answers}, b: Answers, limit: true, digits: "1w*",
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, cause: "NORMAL_CLEARING", final: true,
	},
	"everything that can be heard, one after the other": {
		a: []Behaviour{Answers}, b: Answers, limit: true, announceA: shortSound, announceBoth: shortSound, digits: "12",
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, cause: "NORMAL_CLEARING", final: true,
	},
	"A hangs up during its announcement": {
		a: []Behaviour{LeavesEarly}, b: Answers, announceA: longSound,
		legs: legs("a answered peer"), comment: "a_number hung up",
		result: scheduler.CallAnswered, by: scheduler.CallerCancel,
	},
	"B hangs up during the announcement to both": {
		a: []Behaviour{Answers}, b: LeavesEarly, announceBoth: longSound,
		legs: legs("a answered us", "b answered peer"), comment: "b_number hung up",
		result: scheduler.CallAnswered, by: scheduler.CalleeBye,
	},
	"a client hangs up during the announcement to A": {
		a: []Behaviour{Answers}, b: Answers, announceA: longSound, cutAt: announced, cut: scheduler.CutAPI,
		legs: legs("a answered us"), comment: scheduler.CommentCancelled,
		result: scheduler.CallAnswered, by: scheduler.InternalCancel, final: true,
	},

	"a client hangs up while A rings": {
		a: []Behaviour{Silent}, b: Answers, cutAt: aRings, cut: scheduler.CutAPI,
		legs: legs("a cancelled us"), comment: scheduler.CommentCancelled,
		result: scheduler.CallNotAnswered, by: scheduler.InternalCancel, final: true,
	},
	"a client hangs up while B rings": {
		a: []Behaviour{Answers}, b: Silent, cutAt: bRings, cut: scheduler.CutAPI,
		legs: legs("a answered us", "b cancelled us"), comment: scheduler.CommentCancelled,
		result: scheduler.CallNotAnswered, by: scheduler.InternalCancel, final: true,
	},
	"a client hangs up the talk": {
		a: []Behaviour{Answers}, b: Answers, cutAt: bridged, cut: scheduler.CutAPI,
		legs:   legs("a answered us", "b answered us"),
		result: scheduler.CallBridged, by: scheduler.InternalCancel, final: true,
	},
	"a stop before A answered takes the attempt back": {
		a: []Behaviour{Silent, Silent}, b: Answers, cutAt: aRings, cut: scheduler.CutShutdown,
		legs: legs("a cancelled us", "a cancelled us"), comment: scheduler.CommentCut, step: scheduler.StepRelease,
	},
}

// run places the call and judges it.
func (c call) run(t *testing.T, p Peer) {
	r, e := p.start(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	cut := func(now moment) {
		if c.cutAt == now {
			cancel(scheduler.CutError{Cut: c.cut})
		}
	}
	r.Notify(func(o dialer.Originate, ev dialer.Event) {
		switch {
		case ev.Kind != dialer.Ringing:
		case o.Role == scheduler.LegA:
			cut(aRings)
		default:
			cut(bRings)
		}
	})
	r.NotifyPlay(func(dialer.LegID) { cut(announced) })
	var bridges []time.Time
	o := e.Dial(ctx, c.spec(p), func(at time.Time) {
		bridges = append(bridges, at)
		cut(bridged)
	})
	if open := r.open(); len(open) > 0 {
		t.Errorf("the call is over before legs %v have ended", open)
	}
	c.judge(t, o, bridges)
	c.judgeSounds(t, r, o)
	c.judgeTask(t, o)
	if talk := o.EndedAt.Sub(o.BridgedAt); c.limit && (talk < p.Talk/2 || talk >= p.Talk) {
		t.Errorf("the talk lasted %v of at most %v", talk, p.Talk/2)
	}
	for _, id := range losers(o) {
		if why := r.hangups(id); len(why) > 0 && why[0] != dialer.HangupElsewhere {
			t.Errorf("leg %s lost and was hung up for reason %d", id, why[0])
		}
	}
}

const callID = scheduler.CallID("0123456789abcdef0123456789abcdef")

func (c call) spec(p Peer) scheduler.Call {
	spec := scheduler.Call{
		ID: callID, Task: 41, Attempt: 1, Ring: p.Ring, MaxDuration: time.Hour,
		CallerA: scheduler.CallerID{Name: "Ringback", Number: "+390655500000"},
		CallerB: scheduler.CallerID{Name: "Ringback", Number: "+390655500001"},
	}
	if c.limit {
		spec.MaxDuration = p.Talk / 2
	}
	spec.AnnounceA, spec.AnnounceBoth, spec.DigitsB = c.announceA, c.announceBoth, c.digits
	for n, b := range c.a {
		spec.A = append(spec.A, p.Number(scheduler.LegA, b, n))
	}
	spec.B = p.Number(scheduler.LegB, c.b, 0)
	return spec
}

// losers returns the ids of the legs that another one beat.
func losers(o scheduler.Outcome) []dialer.LegID {
	var ids []dialer.LegID
	for i, l := range o.Legs {
		if l.Lost {
			ids = append(ids, dialer.LegID(fmt.Sprintf("%s-a%d", callID, i+1)))
		}
	}
	return ids
}

func (c call) judge(t *testing.T, o scheduler.Outcome, bridges []time.Time) {
	t.Helper()
	got := make([]string, len(o.Legs))
	for i, l := range o.Legs {
		got[i] = fmt.Sprintf("%s %s %s", l.Role, l.Disposition, l.By)
		if l.Lost {
			got[i] += " lost"
		}
		judgeTimes(t, l)
	}
	if !slices.ContainsFunc(c.legs, func(want []string) bool { return slices.Equal(want, got) }) {
		t.Errorf("legs are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.legs[0], "\n\t"))
	}
	if o.Cut != c.cut {
		t.Errorf("cut %q, want %q", o.Cut, c.cut)
	}
	if c.comment != "" {
		if !o.BridgedAt.IsZero() || len(bridges) > 0 {
			t.Errorf("bridged at %v %v, want never", o.BridgedAt, bridges)
		}
		if got := o.Comment(); got != c.comment {
			t.Errorf("comment %q, want %q", got, c.comment)
		}
		return
	}
	if len(bridges) != 1 || !bridges[0].Equal(o.BridgedAt) || o.BridgedAt.IsZero() {
		t.Fatalf("bridged at %v, outcome says %v, want once and the same", bridges, o.BridgedAt)
	}
	for _, l := range o.Legs {
		if !l.Lost && l.AnsweredAt.After(o.BridgedAt) {
			t.Errorf("leg %s answered after it was bridged", l.Role)
		}
	}
}

func judgeTimes(t *testing.T, l scheduler.Leg) {
	t.Helper()
	last := l.StartedAt
	for _, at := range []time.Time{l.RangAt, l.AnsweredAt, l.EndedAt} {
		if at.IsZero() {
			continue
		}
		if at.Before(last) {
			t.Errorf("times of leg %s go back: %v %v %v %v", l.Role, l.StartedAt, l.RangAt, l.AnsweredAt, l.EndedAt)
		}
		last = at
	}
	if l.StartedAt.IsZero() || l.EndedAt.IsZero() {
		t.Errorf("leg %s started %v and ended %v", l.Role, l.StartedAt, l.EndedAt)
	}
	if l.Trunk != "peer" || l.Try != 1 {
		t.Errorf("leg %s is try %d on trunk %q", l.Role, l.Try, l.Trunk)
	}
}

// judgeTask sees what the outcome makes of a task with tries left.
func (c call) judgeTask(t *testing.T, o scheduler.Outcome) {
	t.Helper()
	task := scheduler.Task{Status: scheduler.Executed, CallID: callID, Attempts: 1, TryCount: 3, TryPause: 60}
	tr := task.End(o, o.EndedAt)
	if c.step != "" {
		if tr.Step != c.step {
			t.Errorf("step %s, want %s", tr.Step, c.step)
		}
		return
	}
	if got := tr.Task.Status == scheduler.Finished; got != c.final {
		t.Errorf("the task is %s, want finished: %t", tr.Task.Status, c.final)
	}
	a := tr.Attempt
	if a.Result != c.result || a.HangupBy != c.by {
		t.Errorf("result %q by %q, want %q by %q", a.Result, a.HangupBy, c.result, c.by)
	}
	if c.cause != "" && a.HangupCause != c.cause {
		t.Errorf("cause %s, want %s", a.HangupCause, c.cause)
	}
}
