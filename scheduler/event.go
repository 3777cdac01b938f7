package scheduler

import "time"

// EventKind is what a task's owner is told of.
type EventKind string

// The kinds of event.
const (
	EventBefore      EventKind = "before"       // attempt 1 begins
	EventBeforeAgain EventKind = "before_again" // a later attempt begins
	EventSuccess     EventKind = "success"      // A and B are connected
	EventAfter       EventKind = "after"        // the task is finished
	EventAccountTask EventKind = "account_task" // a run of a recurring task has ended: see RunEvent
)

// Event is owed to a URL of a task by a transition; it is written in the
// transaction that makes it true.
type Event struct {
	Kind     EventKind
	At       time.Time
	Sequence int    // of the task's events over all its URLs, from 1
	URL      string // never empty: what nobody asked for is no event
	Task     Task   // as it became
	// Wait is how long the event is kept for whoever asks for its answer, before it
	// is sent like every other.
	Wait time.Duration
}

// url returns where the task wants to hear of a kind; "" if nowhere.
func (t Task) url(kind EventKind) string {
	switch kind {
	case EventBefore:
		return t.URLBefore
	case EventBeforeAgain:
		return t.URLBeforeAgain
	case EventSuccess:
		return t.URLSuccess
	case EventAfter:
		return t.URLAfter
	}
	return ""
}
