package scheduler

import (
	"context"
	"time"
)

// Action is what the receiver of a before-event wants of the attempt.
type Action string

// The actions.
const (
	ActionDial     Action = "dial" // also without an answer
	ActionSkip     Action = "skip"
	ActionPostpone Action = "postpone"
)

// Limits of what a before-event may do.
const (
	// MaxBeforeWait is how long an attempt waits for an answer at most.
	MaxBeforeWait = 3 * time.Second
	// MaxPostpone is how far ahead an attempt may be put off.
	MaxPostpone = 30 * 24 * time.Hour
)

// Answer is what the receiver of a before-event said. The zero Answer is to
// dial.
type Answer struct {
	Action Action
	Until  time.Time // of a postponed attempt
}

// Question is the before-event of an attempt that waits for its answer.
type Question struct {
	Task    TaskID
	Kind    EventKind
	Attempt int
}

// Receivers are asked what to do with an attempt.
type Receivers interface {
	// Ask sends the event and returns its answer; the zero Answer if there is none
	// before ctx ends, or if the receiver takes nothing now.
	Ask(ctx context.Context, q Question) Answer
}

// question returns what is to be asked before the attempt is dialled, and for
// how long; ok is false if nothing is.
func (tr Transition) question() (q Question, wait time.Duration, ok bool) {
	for _, e := range tr.Events {
		if e.Wait > 0 {
			return Question{Task: tr.Task.ID, Kind: e.Kind, Attempt: tr.Task.Attempts}, e.Wait, true
		}
	}
	return Question{}, 0, false
}

// Asks returns a start whose before-event is asked for its answer.
func (tr Transition) Asks(wait time.Duration) Transition {
	for i := range tr.Events {
		tr.Events[i].Wait = wait
	}
	return tr
}

// answered returns what becomes of a started task after an answer; ok is false
// if it is to be dialled.
func (t Task) answered(a Answer, now time.Time) (tr Transition, ok bool) {
	switch {
	case a.Action == ActionSkip:
		return t.Skip(now), true
	case a.Action == ActionPostpone && a.Until.After(now) && !a.Until.After(now.Add(MaxPostpone)):
		return t.Postpone(now, a.Until), true
	}
	return Transition{}, false
}

// ask waits for the answer to the before-event of a started task, if it asks for
// one; ok is false if it is to be dialled.
func (d *Dispatcher) ask(ctx context.Context, s *Started) (tr Transition, ok bool) {
	q, wait, asks := s.Transition.question()
	if !asks {
		return Transition{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.Transition.Task.answered(d.o.Receivers.Ask(ctx, q), d.o.Now())
}
