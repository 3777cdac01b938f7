package scheduler

import (
	"testing"
	"time"
)

var callStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// callTime is a moment of a call, in seconds from its start; 0 is never.
func callTime(s int) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return callStart.Add(time.Duration(s) * time.Second)
}

// legOf is a leg that ended after some seconds; answered is when, or 0.
func legOf(role Role, number string, d Disposition, by Party, answered, ended int) Leg {
	return Leg{Role: role, Try: 1, Number: number, StartedAt: callStart, AnsweredAt: callTime(answered), EndedAt: callTime(ended), Disposition: d, By: by}
}

func aFailed(d Disposition, by Party) Leg { return legOf(LegA, "1", d, by, 0, 9) }
func bFailed(d Disposition, by Party) Leg { return legOf(LegB, "2", d, by, 0, 9) }

func aAnswered(by Party, ended int) Leg { return legOf(LegA, "1", Answered, by, 3, ended) }
func bAnswered(by Party, ended int) Leg { return legOf(LegB, "2", Answered, by, 5, ended) }

// forkFailed is a leg to an extended A number.
func forkFailed(number string, d Disposition) Leg { return legOf(LegA, number, d, ByPeer, 0, 9) }

func beaten(l Leg) Leg { l.Lost = true; return l }

func withCause(l Leg, q850 int) Leg { l.Q850 = q850; return l }

func secondTry(l Leg) Leg { l.Try = 2; return l }

// TestOutcome is how attempts are judged: what they are called, whether they
// cost anything, and what the call history says of them.
func TestOutcome(t *testing.T) {
	for claim, c := range map[string]struct {
		legs    []Leg
		bridged int
		cut     Cut

		comment string
		reached bool
		free    bool
		final   bool
		result  CallResult
		by      HangupBy
		cause   string
	}{
		"B hangs up a bridged call": {
			legs: []Leg{aAnswered(ByUs, 21), bAnswered(ByPeer, 20)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: CalleeBye, cause: "NORMAL_CLEARING",
		},
		"A hangs up a bridged call": {
			legs: []Leg{aAnswered(ByPeer, 20), bAnswered(ByUs, 21)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: CallerBye, cause: "NORMAL_CLEARING",
		},
		"both hang up, A first": {
			legs: []Leg{aAnswered(ByPeer, 20), bAnswered(ByPeer, 21)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: CallerBye, cause: "NORMAL_CLEARING",
		},
		"both hang up, B first": {
			legs: []Leg{aAnswered(ByPeer, 21), bAnswered(ByPeer, 20)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: CalleeBye, cause: "NORMAL_CLEARING",
		},
		"the maximum duration ends a bridged call": {
			legs: []Leg{aAnswered(ByUs, 20), bAnswered(ByUs, 20)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: InternalCancel, cause: "NORMAL_CLEARING",
		},
		"a client hangs up a bridged call": {
			legs: []Leg{aAnswered(ByUs, 20), bAnswered(ByUs, 20)}, bridged: 6, cut: CutAPI,
			comment: CommentCancelled, reached: true, final: true, result: CallBridged, by: InternalCancel, cause: "NORMAL_CLEARING",
		},
		"the peer's own cause is told": {
			legs: []Leg{aAnswered(ByUs, 21), withCause(bAnswered(ByPeer, 20), 38)}, bridged: 6,
			reached: true, final: true, result: CallBridged, by: CalleeBye, cause: "NETWORK_OUT_OF_ORDER",
		},
		"a fork that was beaten is not the one that talked": {
			legs:    []Leg{beaten(legOf(LegA, "8", Answered, ByPeer, 2, 4)), aAnswered(ByUs, 21), bAnswered(ByPeer, 20)},
			bridged: 6, reached: true, final: true, result: CallBridged, by: CalleeBye, cause: "NORMAL_CLEARING",
		},

		"A is busy":    {legs: []Leg{aFailed(UserBusy, ByPeer)}, comment: "a_number busy", result: CallBusy, by: CalleeRefuse, cause: "USER_BUSY"},
		"A is absent":  {legs: []Leg{aFailed(Absent, ByPeer)}, comment: "a_number absent", result: CallNotAnswered, by: CalleeRefuse, cause: "SUBSCRIBER_ABSENT"},
		"A rejects":    {legs: []Leg{aFailed(Rejected, ByPeer)}, comment: "a_number rejected", result: CallRejected, by: CalleeRefuse, cause: "CALL_REJECTED"},
		"A is silent":  {legs: []Leg{aFailed(NoAnswer, ByUs)}, comment: "a_number no_answer", result: CallNotAnswered, by: InternalCancel, cause: "NO_ANSWER"},
		"A is invalid": {legs: []Leg{aFailed(InvalidNumber, ByPeer)}, comment: "a_number invalid_number", final: true, result: CallFailed, by: CalleeRefuse, cause: "UNALLOCATED_NUMBER"},
		"A is congested": {
			legs: []Leg{aFailed(Congestion, ByPeer)}, comment: "a_number congestion", result: CallFailed, by: CalleeRefuse, cause: "NORMAL_CIRCUIT_CONGESTION",
		},
		"A has no route": {legs: []Leg{aFailed(NoRoute, ByUs)}, comment: "a_number no_route", final: true, result: CallFailed, by: InternalCancel, cause: "NO_ROUTE_DESTINATION"},
		"nothing was signalled": {
			legs: []Leg{aFailed(LocalError, ByUs)}, comment: "local_error", free: true, result: CallFailed, by: InternalCancel,
		},
		"nothing was dialled": {comment: "local_error", free: true, result: CallFailed, by: InternalCancel},

		"B is busy":            {legs: []Leg{aAnswered(ByUs, 9), bFailed(UserBusy, ByPeer)}, comment: "b_number busy", reached: true, result: CallBusy, by: CalleeRefuse, cause: "USER_BUSY"},
		"B is silent":          {legs: []Leg{aAnswered(ByUs, 9), bFailed(NoAnswer, ByUs)}, comment: "b_number no_answer", reached: true, result: CallNotAnswered, by: InternalCancel, cause: "NO_ANSWER"},
		"B is invalid":         {legs: []Leg{aAnswered(ByUs, 9), bFailed(InvalidNumber, ByPeer)}, comment: "b_number invalid_number", reached: true, final: true, result: CallFailed, by: CalleeRefuse, cause: "UNALLOCATED_NUMBER"},
		"B finds no channel":   {legs: []Leg{aAnswered(ByUs, 9), bFailed(LocalError, ByUs)}, comment: "b_number local_error", reached: true, result: CallFailed, by: InternalCancel, cause: "NORMAL_TEMPORARY_FAILURE"},
		"B has no route":       {legs: []Leg{bFailed(NoRoute, ByUs)}, comment: "b_number no_route", final: true, result: CallFailed, by: InternalCancel, cause: "NO_ROUTE_DESTINATION"},
		"A leaves as B rings":  {legs: []Leg{aAnswered(ByPeer, 8), bFailed(Cancelled, ByUs)}, comment: "a_number hung up", reached: true, result: CallNotAnswered, by: CallerCancel, cause: "NORMAL_CLEARING"},
		"A leaves before that": {legs: []Leg{aAnswered(ByPeer, 3)}, comment: "a_number hung up", reached: true, result: CallAnswered, by: CallerCancel, cause: "NORMAL_CLEARING"},
		"A leaves as B answers": {
			legs: []Leg{aAnswered(ByPeer, 5), bAnswered(ByUs, 6)}, comment: "a_number hung up",
			reached: true, result: CallAnswered, by: CallerCancel, cause: "NORMAL_CLEARING",
		},
		"B leaves before the bridge": {
			legs: []Leg{aAnswered(ByUs, 7), bAnswered(ByPeer, 6)}, comment: "b_number hung up",
			reached: true, result: CallAnswered, by: CalleeBye, cause: "NORMAL_CLEARING",
		},
		"the bridge fails": {
			legs: []Leg{aAnswered(ByUs, 7), bAnswered(ByUs, 7)}, comment: CommentNoBridge,
			reached: true, result: CallAnswered, by: InternalCancel, cause: "NORMAL_CLEARING",
		},
		"A answers when we gave up": {
			legs: []Leg{aAnswered(ByUs, 4)}, comment: "a_number no_answer", reached: true, result: CallAnswered, by: InternalCancel, cause: "NORMAL_CLEARING",
		},

		"busy is the best of the forks": {
			legs:    []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed), forkFailed("4", Congestion), forkFailed("5", Absent), forkFailed("6", Rejected), forkFailed("7", NoAnswer), forkFailed("8", UserBusy)},
			comment: "a_number busy", result: CallBusy, by: CalleeRefuse, cause: "USER_BUSY",
		},
		"then no answer": {
			legs:    []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed), forkFailed("4", Congestion), forkFailed("5", Absent), forkFailed("6", Rejected), forkFailed("7", NoAnswer)},
			comment: "a_number no_answer", result: CallNotAnswered, by: CalleeRefuse, cause: "NO_ANSWER",
		},
		"then rejected": {
			legs:    []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed), forkFailed("4", Congestion), forkFailed("5", Absent), forkFailed("6", Rejected)},
			comment: "a_number rejected", result: CallRejected, by: CalleeRefuse, cause: "CALL_REJECTED",
		},
		"then absent": {
			legs:    []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed), forkFailed("4", Congestion), forkFailed("5", Absent)},
			comment: "a_number absent", result: CallNotAnswered, by: CalleeRefuse, cause: "SUBSCRIBER_ABSENT",
		},
		"then congestion": {
			legs:    []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed), forkFailed("4", Congestion)},
			comment: "a_number congestion", result: CallFailed, by: CalleeRefuse, cause: "NORMAL_CIRCUIT_CONGESTION",
		},
		"then failed": {
			legs: []Leg{forkFailed("1", InvalidNumber), forkFailed("3", Failed)}, comment: "a_number failed", result: CallFailed, by: CalleeRefuse, cause: "NORMAL_UNSPECIFIED",
		},
		"forks that never can be reached are final together": {
			legs: []Leg{forkFailed("1", NoRoute), forkFailed("3", InvalidNumber)}, comment: "a_number invalid_number", final: true,
			result: CallFailed, by: CalleeRefuse, cause: "UNALLOCATED_NUMBER",
		},
		"a fork that was not tried can be tried again": {
			legs: []Leg{forkFailed("1", InvalidNumber), aFailed(LocalError, ByUs)}, comment: "local_error", result: CallFailed, by: InternalCancel, cause: "NORMAL_TEMPORARY_FAILURE",
		},
		"a second try decides for its number": {
			legs: []Leg{aFailed(Congestion, ByPeer), secondTry(aFailed(InvalidNumber, ByPeer))}, comment: "a_number invalid_number", final: true,
			result: CallFailed, by: CalleeRefuse, cause: "UNALLOCATED_NUMBER",
		},

		"a client hangs up while A rings": {
			legs: []Leg{aFailed(Cancelled, ByUs)}, cut: CutAPI, comment: CommentCancelled, final: true,
			result: CallNotAnswered, by: InternalCancel, cause: "NORMAL_CLEARING",
		},
		"a client hangs up before anything": {
			cut: CutAPI, comment: CommentCancelled, free: true, final: true, result: CallFailed, by: InternalCancel,
		},
		"our own stop while B rings": {
			legs: []Leg{aAnswered(ByUs, 8), bFailed(Cancelled, ByUs)}, cut: CutShutdown, comment: CommentCut,
			reached: true, result: CallNotAnswered, by: InternalCancel, cause: "NORMAL_CLEARING",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			o := Outcome{Legs: c.legs, BridgedAt: callTime(c.bridged), EndedAt: callTime(30), Cut: c.cut}
			if c.bridged == 0 {
				if got := o.Comment(); got != c.comment {
					t.Errorf("comment %q, want %q", got, c.comment)
				}
			}
			if o.Reached() != c.reached || o.Free() != c.free {
				t.Errorf("reached %t, free %t", o.Reached(), o.Free())
			}
			task := Task{Status: Executed, Attempts: 1, TryCount: 3, CallID: "c"}
			tr := task.End(o, callTime(31))
			if c.free && c.cut == CutNone {
				if tr.Step != StepRelease || tr.Task.Attempts != 0 {
					t.Errorf("step %s, attempts %d", tr.Step, tr.Task.Attempts)
				}
				return
			}
			if got := tr.Task.Status == Finished; got != c.final || c.final && tr.Task.Comment != c.comment {
				t.Errorf("task is %s, %q", tr.Task.Status, tr.Task.Comment)
			}
			row := tr.Attempt
			if row.Result != c.result || row.HangupBy != c.by || row.HangupCause != c.cause {
				t.Errorf("%q by %q, %s; want %q by %q, %s", row.Result, row.HangupBy, row.HangupCause, c.result, c.by, c.cause)
			}
			if c.reached == row.AnsweredAt.IsZero() || c.reached && !row.AnsweredAt.Equal(callTime(3)) {
				t.Errorf("answered at %v", row.AnsweredAt)
			}
			if len(row.Legs) != len(c.legs) || !row.EndedAt.Equal(callTime(30)) || !row.BridgedAt.Equal(callTime(c.bridged)) {
				t.Errorf("row %+v", row)
			}
		})
	}
}

func TestStopBeforeAnswerIsReleased(t *testing.T) {
	o := Outcome{Legs: []Leg{aFailed(Cancelled, ByUs)}, EndedAt: callTime(9), Cut: CutShutdown}
	tr := Task{Status: Executed, Attempts: 1, TryCount: 1, CallID: "c"}.End(o, callTime(9))
	if tr.Step != StepRelease || o.Comment() != CommentCut {
		t.Errorf("step %s, comment %q", tr.Step, o.Comment())
	}
}

func TestPDD(t *testing.T) {
	l := Leg{StartedAt: callTime(1), RangAt: callTime(3)}
	if got := l.PDD(); got != 2*time.Second {
		t.Errorf("post-dial delay %v", got)
	}
	if got := (Leg{StartedAt: callTime(1)}).PDD(); got != 0 {
		t.Errorf("post-dial delay %v of a leg that never rang", got)
	}
}
