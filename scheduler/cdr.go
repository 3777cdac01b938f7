package scheduler

import "time"

// CallResult is the result of a call as the call history tells it.
type CallResult string

// The results of calls; "" while it lasts.
const (
	CallBridged     CallResult = "bridged"
	CallAnswered    CallResult = "answered"
	CallNotAnswered CallResult = "not answered"
	CallBusy        CallResult = "busy"
	CallRejected    CallResult = "rejected"
	CallFailed      CallResult = "failed"
)

var resultOf = map[Disposition]CallResult{
	Answered: CallAnswered, UserBusy: CallBusy, NoAnswer: CallNotAnswered, Absent: CallNotAnswered,
	Rejected: CallRejected, Cancelled: CallNotAnswered,
}

// CallResultOf returns how the call history calls a leg's disposition.
func CallResultOf(d Disposition) CallResult {
	if r, ok := resultOf[d]; ok {
		return r
	}
	return CallFailed
}

// Attempt is one dialling of a task, or of a call without one, live or ended;
// ended it is the CDR. It is the row as it is stored; the zero time is NULL.
type Attempt struct {
	CallID      CallID `gorm:"primaryKey"`
	ClientID    ClientID
	QueueID     QueueID // 0 without a task
	TaskID      TaskID  // 0 without a task
	ExtensionID ExtensionID
	Number      int // of the task, from 1
	Node        string
	From        string            `gorm:"column:a_number"` // as given
	To          string            `gorm:"column:b_number"` // as given
	ToE164      string            `gorm:"column:b_number_e164"`
	StartedAt   time.Time         `gorm:"serializer:instant"` // dialling began
	AnsweredAt  time.Time         `gorm:"serializer:instant"` // A answered
	BridgedAt   time.Time         `gorm:"serializer:instant"` // A and B heard each other
	EndedAt     time.Time         `gorm:"serializer:instant"` // zero: live
	Result      CallResult        // "" while live
	HangupCause string            // Q.850 name
	HangupBy    HangupBy          // who ended it
	Simulated   bool              // no network was involved
	Legs        []Leg             `gorm:"serializer:json"`
	Variables   map[string]string `gorm:"serializer:json"`
}

// CauseName returns the Q.850 name of the end of the leg, that of its
// disposition if the peer gave no cause; "" while it lives.
func (l Leg) CauseName() string {
	if l.Q850 != 0 {
		return CauseName(l.Q850)
	}
	return CauseName(causeOf[l.Disposition])
}

// HangupBy is who ended a call, in the words of the call history.
type HangupBy string

// The ends of calls. The caller is A, whom the call was made for; the callee
// is B.
const (
	CalleeBye      HangupBy = "callee_bye"
	CallerBye      HangupBy = "caller_bye"
	CallerCancel   HangupBy = "caller_cancel"
	CalleeRefuse   HangupBy = "callee_refuse"
	InternalCancel HangupBy = "internal_cancel"
)

// close writes the outcome into the attempt.
func (a *Attempt) close(o Outcome) {
	a.Legs, a.Simulated, a.EndedAt, a.BridgedAt = o.Legs, o.Simulated, o.EndedAt, o.BridgedAt
	if leg, ok := o.winner(LegA); ok {
		a.AnsweredAt = leg.AnsweredAt
	}
	leg, ok := o.Decider()
	if !o.BridgedAt.IsZero() {
		a.Result = CallBridged
		a.HangupBy, leg = o.bridgedEnd()
	} else {
		a.Result, a.HangupBy = CallFailed, InternalCancel
		if ok {
			a.Result, a.HangupBy = CallResultOf(leg.Disposition), o.unbridgedEnd(leg)
		}
	}
	a.HangupCause = CauseName(leg.Q850)
	if leg.Q850 == 0 {
		a.HangupCause = CauseName(causeOf[leg.Disposition])
	}
}

// Live fills in how far a call under way has come.
func (a *Attempt) Live(legs []Leg) {
	a.Legs = legs
	if leg, ok := (Outcome{Legs: legs}).winner(LegA); ok {
		a.AnsweredAt = leg.AnsweredAt
	}
}

// lose writes into the attempt that its node is gone.
func (a *Attempt) lose(bridged, now time.Time) {
	a.BridgedAt, a.EndedAt = bridged, now
	a.Result, a.HangupBy, a.HangupCause = CallFailed, InternalCancel, CauseName(CauseTemporary)
	if !bridged.IsZero() {
		a.Result = CallBridged
	}
}

// bridgedEnd returns who ended a bridged call, and by which leg.
func (o Outcome) bridgedEnd() (HangupBy, Leg) {
	a, _ := o.winner(LegA)
	b, _ := o.winner(LegB)
	switch {
	case b.By == ByPeer && (a.By != ByPeer || b.EndedAt.Before(a.EndedAt)):
		return CalleeBye, b
	case a.By == ByPeer:
		return CallerBye, a
	}
	return InternalCancel, a
}

// unbridgedEnd returns who ended a call that leg decided.
func (o Outcome) unbridgedEnd(leg Leg) HangupBy {
	a, reached := o.winner(LegA)
	b, both := o.winner(LegB)
	switch {
	case o.Cut != CutNone:
		return InternalCancel
	case reached && a.By == ByPeer && (leg.Role == LegA || leg.By != ByPeer):
		return CallerCancel
	case both && b.By == ByPeer:
		return CalleeBye
	case leg.By == ByPeer:
		return CalleeRefuse
	}
	return InternalCancel
}
