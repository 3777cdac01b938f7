package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Noted is a step of a task that no other row tells of, and how often it was
// taken in one attempt. It is the row as it is stored.
type Noted struct {
	QueueID QueueID `gorm:"primaryKey"`
	TaskID  TaskID  `gorm:"primaryKey"`
	Attempt int     `gorm:"primaryKey"`
	Step    Step    `gorm:"primaryKey"`
	Times   int
	FirstAt time.Time `gorm:"serializer:instant"`
	LastAt  time.Time `gorm:"serializer:instant"`
}

// TableName names the table for gorm.
func (Noted) TableName() string { return "task_steps" }

// StepChange is noted when what was asked of a waiting task is changed.
const StepChange Step = "change"

// Note returns what is to be noted of a transition: the steps that leave no
// attempt, or say less of it than happened. ok is false for the others.
func (t Transition) Note() (n Noted, ok bool) {
	n = Noted{
		QueueID: t.Task.QueueID, TaskID: t.Task.ID, Attempt: t.Task.Attempts, Step: t.Step, Times: 1, FirstAt: t.At, LastAt: t.At,
	}
	switch t.Step {
	case StepRelease, StepPostpone, StepSkip:
		n.Attempt++ // which was taken back
		return n, true
	case StepCancel:
		return n, t.Task.Status == Executed
	case StepLose:
		return n, true
	}
	return n, false
}

// Sent is a try to deliver an event of a task.
type Sent struct {
	Kind    EventKind
	Attempt int
	Origin  string // of the receiver
	Number  int    // of the event's tries, from 1
	At      time.Time
	Took    time.Duration
	Status  int    // HTTP; 0 without an answer
	Error   string // a code; "" for a success
}

// Trace is everything that is stored of a task.
type Trace struct {
	Task     Task
	Attempts []Attempt
	Steps    []Noted
	Holds    []Change // of its queue, while it lived
	Events   []Delivery
	Sent     []Sent
}

// MomentKind is what happened at a moment of a task's life.
type MomentKind string

// The kinds of moment, in the order of those that happened at the same time.
const (
	MomentCreated   MomentKind = "created"
	MomentChanged   MomentKind = "changed" // what was asked of it
	MomentHold      MomentKind = "hold"    // of its queue; an empty result: nothing holds any more
	MomentStarted   MomentKind = "started" // an attempt began
	MomentDialled   MomentKind = "leg_dialled"
	MomentRang      MomentKind = "leg_rang"
	MomentAnswered  MomentKind = "leg_answered"
	MomentConnected MomentKind = "connected" // A and B heard each other
	MomentAsked     MomentKind = "cancel_requested"
	MomentLegEnded  MomentKind = "leg_ended"
	MomentReleased  MomentKind = "released" // an attempt was taken back: nothing was signalled
	MomentLost      MomentKind = "lost"     // an attempt's node was gone
	MomentEnded     MomentKind = "ended"    // an attempt
	MomentFinished  MomentKind = "finished"
	MomentEvent     MomentKind = "event"    // was owed to a URL
	MomentDelivery  MomentKind = "delivery" // a try to send it
)

var momentOrder = []MomentKind{
	MomentCreated, MomentChanged, MomentHold, MomentStarted, MomentDialled, MomentRang, MomentAnswered, MomentConnected, MomentAsked,
	MomentLegEnded, MomentReleased, MomentLost, MomentEnded, MomentFinished, MomentEvent, MomentDelivery,
}

// Moment is one thing that happened to a task.
type Moment struct {
	At      time.Time
	Kind    MomentKind
	Attempt int    // 0: of none
	CallID  CallID // of that attempt, as far as its row is there
	Leg     Role
	Result  string // in the words of the resource that it is about
	Detail  string
}

// Timeline returns what happened to the task, in order.
func (t Trace) Timeline() []Moment {
	moments := []Moment{{At: t.Task.CreatedAt, Kind: MomentCreated}}
	for _, n := range t.Steps {
		moments = append(moments, n.moments()...)
	}
	for _, c := range t.Holds {
		if c.Hold != nil {
			moments = append(moments, Moment{At: c.At, Kind: MomentHold, Result: string(c.Hold.Gate), Detail: c.Hold.Detail})
		}
	}
	calls := map[int]CallID{}
	for _, a := range t.Attempts {
		calls[a.Number] = a.CallID
		moments = append(moments, a.moments()...)
	}
	for _, d := range t.Events {
		moments = append(moments, Moment{
			At: d.CreatedAt, Kind: MomentEvent, Attempt: d.Attempt, Result: string(d.Kind), Detail: fmt.Sprintf("%s, %s", d.Origin, d.State),
		})
	}
	for _, s := range t.Sent {
		moments = append(moments, s.moment())
	}
	if t.Task.Status == Finished {
		moments = append(moments, Moment{
			At: t.Task.UpdatedAt, Kind: MomentFinished, Attempt: t.Task.Attempts, Result: string(t.Task.Result), Detail: t.Task.Comment,
		})
	}
	for i := range moments {
		moments[i].CallID = calls[moments[i].Attempt]
	}
	slices.SortStableFunc(moments, func(a, b Moment) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(slices.Index(momentOrder, a.Kind), slices.Index(momentOrder, b.Kind)))
	})
	return moments
}

// moments are the first and the last time of a noted step.
func (n Noted) moments() []Moment {
	kind := map[Step]MomentKind{StepChange: MomentChanged, StepRelease: MomentReleased, StepSkip: MomentReleased, StepPostpone: MomentReleased,
		StepCancel: MomentAsked, StepLose: MomentLost}[n.Step]
	first := Moment{At: n.FirstAt, Kind: kind, Attempt: n.Attempt}
	if n.Step == StepSkip || n.Step == StepPostpone {
		first.Detail = "the receiver of its before-event said " + string(n.Step)
	}
	if n.Times == 1 {
		return []Moment{first}
	}
	last := first
	last.At, last.Detail = n.LastAt, fmt.Sprintf("the last of %d times", n.Times)
	return []Moment{first, last}
}

func (a Attempt) moments() []Moment {
	all := []Moment{{At: a.StartedAt, Kind: MomentStarted, Detail: "on node " + a.Node}}
	for _, l := range a.Legs {
		all = append(all, l.moments()...)
	}
	if !a.BridgedAt.IsZero() {
		all = append(all, Moment{At: a.BridgedAt, Kind: MomentConnected})
	}
	if !a.EndedAt.IsZero() {
		all = append(all, Moment{
			At: a.EndedAt, Kind: MomentEnded, Result: string(a.Result),
			Detail: strings.Trim(fmt.Sprintf("%s, %s", a.HangupBy, a.HangupCause), ", "),
		})
	}
	for i := range all {
		all[i].Attempt = a.Number
	}
	return all
}

func (l Leg) moments() []Moment {
	on := l.Number
	if l.Trunk != "" {
		on += " on " + l.Trunk
	}
	all := []Moment{{At: l.StartedAt, Kind: MomentDialled, Detail: on}}
	if !l.RangAt.IsZero() {
		all = append(all, Moment{At: l.RangAt, Kind: MomentRang, Detail: on})
	}
	if !l.AnsweredAt.IsZero() {
		all = append(all, Moment{At: l.AnsweredAt, Kind: MomentAnswered, Detail: on})
	}
	if !l.EndedAt.IsZero() {
		how := on + ": " + l.CauseName()
		if l.SIP != 0 {
			how += fmt.Sprintf(", SIP %d", l.SIP)
		}
		all = append(all, Moment{At: l.EndedAt, Kind: MomentLegEnded, Result: string(CallResultOf(l.Disposition)), Detail: how})
	}
	for i := range all {
		all[i].Leg = l.Role
	}
	return all
}

func (s Sent) moment() Moment {
	m := Moment{At: s.At, Kind: MomentDelivery, Attempt: s.Attempt, Result: string(s.Kind)}
	how := s.Error
	if how == "" {
		how = "taken"
	}
	if s.Status != 0 {
		how += fmt.Sprintf(", HTTP %d", s.Status)
	}
	m.Detail = fmt.Sprintf("try %d to %s: %s after %s", s.Number, s.Origin, how, s.Took.Round(time.Millisecond))
	return m
}
