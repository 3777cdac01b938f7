package scheduler

import (
	"slices"
	"time"
)

// Role is which side of a call a leg is.
type Role string

// The two sides.
const (
	LegA Role = "a"
	LegB Role = "b"
)

// CallerID is what a leg is shown of its caller; empty fields leave it to the
// trunk.
type CallerID struct {
	Name   string
	Number string
}

// Call is one attempt as a dialer is given it.
type Call struct {
	ID          CallID
	Client      ClientID
	Queue       QueueID
	Task        TaskID
	Attempt     int      // from 1
	A           []Number // rung at the same time; the first is the task's own
	B           Number
	Trunk       string   // the only one that it may go by; "": as its numbers say
	CallerA     CallerID // shown to A
	CallerB     CallerID // shown to B
	Ring        time.Duration
	MaxDuration time.Duration // from the bridge
	Variables   map[string]string
	// Ids of announcements; "": none.
	AnnounceA    string // to A, before B is called
	AnnounceBoth string // to A and B, before they are connected
	DigitsB      string // DTMF to B after it answered, see Params.DstDTMF; "": none
}

// Leg is one side of a call as the CDR keeps it. Times that did not happen are
// zero.
type Leg struct {
	Role        Role        `json:"role"`
	Try         int         `json:"try"` // from 1; more on another trunk
	Number      string      `json:"number"`
	Trunk       string      `json:"trunk,omitempty"`
	StartedAt   time.Time   `json:"started_at"`
	RangAt      time.Time   `json:"rang_at,omitzero"`
	AnsweredAt  time.Time   `json:"answered_at,omitzero"`
	EndedAt     time.Time   `json:"ended_at,omitzero"`
	Disposition Disposition `json:"disposition"`
	Q850        int         `json:"q850,omitempty"`
	SIP         int         `json:"sip,omitempty"`
	Native      string      `json:"native,omitempty"` // the peer's own word, raw
	By          Party       `json:"by,omitempty"`
	Lost        bool        `json:"lost,omitempty"` // a fork another leg beat
}

// PDD is the post-dial delay: from the request to the first ringing signal;
// zero if it never rang.
func (l Leg) PDD() time.Duration {
	if l.RangAt.IsZero() {
		return 0
	}
	return l.RangAt.Sub(l.StartedAt)
}

// Party is who ended a leg.
type Party string

// The parties.
const (
	ByPeer Party = "peer"
	ByUs   Party = "us"
)

// Cut is why a call was ended from outside it.
type Cut string

// The outside ends.
const (
	CutNone     Cut = ""
	CutAPI      Cut = "api"      // a client asked for it
	CutShutdown Cut = "shutdown" // the process stops
	CutFenced   Cut = "fenced"   // another node owns the task now
)

// CutError is the cause (context.Cause) of a cancelled context of a call: it
// says why the call is cut.
type CutError struct{ Cut Cut }

func (e CutError) Error() string { return "call is cut: " + string(e.Cut) }

// Outcome is the end of an attempt.
type Outcome struct {
	Legs      []Leg
	BridgedAt time.Time // zero: never bridged
	EndedAt   time.Time
	Cut       Cut
	Simulated bool // no network was involved
}

// Reached reports whether A answered.
func (o Outcome) Reached() bool {
	for _, l := range o.Legs {
		if l.Role == LegA && !l.AnsweredAt.IsZero() {
			return true
		}
	}
	return false
}

// Free reports whether nothing was signalled, so that the attempt does not
// count. A number that no trunk takes is not free: trying again cannot help.
func (o Outcome) Free() bool {
	for _, l := range o.Legs {
		if l.Disposition != LocalError {
			return false
		}
	}
	return true
}

// precedence is what an attempt takes when every fork of a side fails. What
// trying again cannot help comes last: it decides only if all forks agree.
var precedence = []Disposition{
	UserBusy, NoAnswer, Rejected, Absent, Congestion, Failed, LocalError, Cancelled, InvalidNumber, NoRoute,
}

// Decider returns the leg that decided an attempt that was not bridged: B's if
// A was reached or never dialled, else the best of A's. A leg that was tried
// again is judged by its last try. A itself decides if it answered and B was
// not dialled or answered, too. ok is false if nothing was dialled.
func (o Outcome) Decider() (leg Leg, ok bool) {
	role := LegA
	if o.Reached() || !o.dialled(LegA) {
		role = LegB
	}
	if leg, ok = o.best(role); ok {
		return leg, true
	}
	if leg, ok = o.winner(LegA); ok {
		return leg, true
	}
	for _, l := range o.Legs {
		if !l.AnsweredAt.IsZero() {
			return l, true
		}
	}
	return Leg{}, false
}

// best returns the leg that decides for a side of which none was answered.
func (o Outcome) best(role Role) (leg Leg, ok bool) {
	last := map[string]int{}
	for _, l := range o.Legs {
		if l.Role == role {
			last[l.Number] = max(last[l.Number], l.Try)
		}
	}
	for _, d := range precedence {
		for _, l := range o.Legs {
			if l.Role == role && l.Disposition == d && last[l.Number] == l.Try {
				return l, true
			}
		}
	}
	return Leg{}, false
}

// Took returns how a side took the attempt: answered if one of its legs was,
// else the best of them by their last tries; "" if none was dialled.
func (o Outcome) Took(role Role) Disposition {
	if slices.ContainsFunc(o.Legs, func(l Leg) bool { return l.Role == role && l.Disposition == Answered }) {
		return Answered
	}
	leg, _ := o.best(role)
	return leg.Disposition
}

func (o Outcome) dialled(role Role) bool {
	return slices.ContainsFunc(o.Legs, func(l Leg) bool { return l.Role == role })
}

// winner returns the leg of a role that was answered and kept.
func (o Outcome) winner(role Role) (Leg, bool) {
	for _, l := range o.Legs {
		if l.Role == role && !l.AnsweredAt.IsZero() && !l.Lost {
			return l, true
		}
	}
	return Leg{}, false
}

// CommentNoBridge is the comment of a call whose sides answered and could not
// be connected.
const CommentNoBridge = "not connected"

// Comment says why an attempt that was not bridged failed, in the words of
// finish_comment: "b_number no_answer".
func (o Outcome) Comment() string {
	switch o.Cut {
	case CutAPI:
		return CommentCancelled
	case CutShutdown:
		return CommentCut
	case CutNone, CutFenced:
	}
	leg, ok := o.Decider()
	a, reached := o.winner(LegA)
	b, both := o.winner(LegB)
	switch {
	case !ok, leg.Disposition == LocalError && leg.Role == LegA:
		return string(LocalError)
	case reached && a.By == ByPeer && (both || !o.dialled(LegB) || leg.Disposition == Cancelled):
		return "a_number hung up"
	case both && b.By == ByPeer:
		return "b_number hung up"
	case both:
		return CommentNoBridge
	case leg.Role == LegA && leg.Disposition == Answered: // too late: we had given up
		return "a_number " + string(NoAnswer)
	}
	return string(leg.Role) + "_number " + string(leg.Disposition)
}

// final reports whether trying again cannot help.
func (o Outcome) final() bool {
	leg, ok := o.Decider()
	return ok && leg.Disposition.Final()
}
