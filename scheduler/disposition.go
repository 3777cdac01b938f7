package scheduler

import "iter"

// Disposition is the verdict on a leg.
type Disposition string

// The dispositions. answered is decided only by an answer signal.
const (
	Answered      Disposition = "answered"
	UserBusy      Disposition = "busy"
	NoAnswer      Disposition = "no_answer"
	Rejected      Disposition = "rejected"
	Absent        Disposition = "absent"
	InvalidNumber Disposition = "invalid_number"
	NoRoute       Disposition = "no_route" // no trunk takes the number
	Congestion    Disposition = "congestion"
	Failed        Disposition = "failed"
	Cancelled     Disposition = "cancelled"
	LocalError    Disposition = "local_error" // nothing was signalled
)

// Final reports whether trying again cannot help.
func (d Disposition) Final() bool { return d == InvalidNumber || d == NoRoute }

// Signalled reports whether the network was asked at all: whether the leg is
// a seizure (ITU-T E.411).
func (d Disposition) Signalled() bool { return d != LocalError && d != NoRoute && d != "" }

// Effective reports whether the network did its part, whatever the user did
// with the call: NER counts it as a success (ITU-T E.425).
func (d Disposition) Effective() bool {
	return d == Answered || d == UserBusy || d == NoAnswer || d == Rejected || d == Absent
}

// Judged reports whether NER counts the leg at all: what is the caller's own
// doing (a number that is none, a call taken back, nothing signalled) is left
// out.
func (d Disposition) Judged() bool { return d.Effective() || d == Congestion || d == Failed }

// Q.850 cause values (ITU-T Q.850, table 1) that ringback itself sends or
// gives a meaning.
const (
	CauseUnallocated    = 1
	CauseNoRoute        = 3
	CauseNormalClearing = 16
	CauseUserBusy       = 17
	CauseNoUserResponse = 18
	CauseNoAnswer       = 19
	CauseAbsent         = 20
	CauseRejected       = 21
	CauseAnsweredElse   = 26
	CauseInvalidFormat  = 28
	CauseNormal         = 31
	CauseNoCircuit      = 34
	CauseTemporary      = 41
	CauseInterworking   = 127
)

var byQ850 = map[int]Disposition{
	17: UserBusy,
	18: NoAnswer, 19: NoAnswer,
	20: Absent,
	21: Rejected,
	1:  InvalidNumber, 22: InvalidNumber, 28: InvalidNumber,
	2: Congestion, 3: Congestion, 27: Congestion, 34: Congestion, 38: Congestion,
	41: Congestion, 42: Congestion, 47: Congestion, 102: Congestion,
}

var bySIP = map[int]Disposition{
	486: UserBusy, 600: UserBusy,
	480: NoAnswer,
	603: Rejected, 607: Rejected, 608: Rejected,
	404: InvalidNumber, 410: InvalidNumber, 484: InvalidNumber, 485: InvalidNumber, 604: InvalidNumber,
	403: Congestion, 500: Congestion, 502: Congestion, 503: Congestion, 504: Congestion,
}

// Causes yields the rows of the table: every Q.850 cause and every SIP code that
// decides by itself, and what it decides.
func Causes() iter.Seq2[Cause, Disposition] {
	return func(yield func(Cause, Disposition) bool) {
		for q850, d := range byQ850 {
			if !yield(Cause{Q850: q850}, d) {
				return
			}
		}
		for code, d := range bySIP {
			if !yield(Cause{SIP: code}, d) {
				return
			}
		}
	}
}

// Cause is what a peer said about the end of an unanswered leg; zero means it
// did not say.
type Cause struct {
	Q850      int  // native, or from a SIP Reason header (RFC 3326)
	SIP       int  // final response code (RFC 3261)
	Rang      bool // a provisional response or its like said that it rings
	TimedOut  bool // we gave up after the ring time-out
	Cancelled bool // we, or the API, gave up for another reason
}

// Disposition judges an unanswered leg. A Q.850 cause beats the SIP code, but
// 16, 26, 31 and 127 say nothing of why it was not answered.
func (c Cause) Disposition() Disposition {
	if c.Cancelled {
		return Cancelled
	}
	switch c.Q850 {
	case 0, CauseNormalClearing, CauseAnsweredElse, CauseNormal, CauseInterworking:
	default:
		if d, ok := byQ850[c.Q850]; ok {
			return d
		}
		return Failed
	}
	if d, ok := bySIP[c.SIP]; ok { // also one that crossed our CANCEL
		return d
	}
	if c.TimedOut || c.SIP == 408 && c.Rang {
		return NoAnswer
	}
	return Failed
}

// causeNames are the names of Q.850 causes as CDRs spell them.
var causeNames = map[int]string{
	1: "UNALLOCATED_NUMBER", 2: "NO_ROUTE_TRANSIT_NET", 3: "NO_ROUTE_DESTINATION",
	16: "NORMAL_CLEARING", 17: "USER_BUSY", 18: "NO_USER_RESPONSE", 19: "NO_ANSWER",
	20: "SUBSCRIBER_ABSENT", 21: "CALL_REJECTED", 22: "NUMBER_CHANGED",
	26: "NON_SELECTED_USER_CLEARING", 27: "DESTINATION_OUT_OF_ORDER",
	28: "INVALID_NUMBER_FORMAT", 31: "NORMAL_UNSPECIFIED", 34: "NORMAL_CIRCUIT_CONGESTION",
	38: "NETWORK_OUT_OF_ORDER", 41: "NORMAL_TEMPORARY_FAILURE", 42: "SWITCH_CONGESTION",
	47: "RESOURCE_UNAVAILABLE", 88: "INCOMPATIBLE_DESTINATION",
	102: "RECOVERY_ON_TIMER_EXPIRE", 127: "INTERWORKING",
}

// CauseName returns the name of a Q.850 cause; "" for 0, and UNSPECIFIED for
// one without a name here.
func CauseName(q850 int) string {
	if q850 == 0 {
		return ""
	}
	if name, ok := causeNames[q850]; ok {
		return name
	}
	return "UNSPECIFIED"
}

// causeOf is the cause told for a leg whose peer gave none.
var causeOf = map[Disposition]int{
	Answered: CauseNormalClearing, UserBusy: CauseUserBusy, NoAnswer: CauseNoAnswer,
	Rejected: CauseRejected, Absent: CauseAbsent, InvalidNumber: CauseUnallocated,
	NoRoute: CauseNoRoute, Congestion: CauseNoCircuit, Failed: CauseNormal,
	Cancelled: CauseNormalClearing, LocalError: CauseTemporary,
}
