package scheduler

import (
	"slices"
	"time"
)

// MaxStarts is the most tasks that one claim starts.
const MaxStarts = 500

// Ready is a locked queue, as admission sees it.
type Ready struct {
	Queue   Queue
	Runtime Runtime
	Window  Window // its interval; the zero Window is always open
	Head    []Head // its first due tasks, by due time, then id
	// Limits are those that it shares with other queues: of its client, and of
	// the extensions of its Head. What one queue of a client says holds for all.
	Limits []CallLimit
}

// Head is a due task at the head of its queue.
type Head struct {
	Task      TaskID
	Extension ExtensionID
	Due       time.Time
	Deadline  time.Time // zero: none
	Blocked   bool      // its extension may not call
}

// Verdict is what admission decides for a queue.
type Verdict struct {
	Queue  QueueID
	Start  []TaskID // in order
	Finish []Drop   // tasks that can never start
	Hold   Hold     // the hold to be kept; zero: none
	// NextStart is when the start rate lets the next task start.
	NextStart time.Time
	never     bool // the window never opens
	slots     slots
}

// Drop is a task that ends without an attempt.
type Drop struct {
	Task    TaskID
	Comment string
}

// Comments of tasks that end without an attempt.
const (
	CommentExpired   = "expired"
	CommentCancelled = "cancelled"
	CommentBlocked   = "extension blocked"
	CommentNever     = "interval never opens"
)

// Plan decides which tasks start at now, at most room of them, which can never
// start, and what holds each queue; the verdicts stand in the order of ready.
// Room is dealt one start at a time: to the clients in turn, and to the queues
// of a client by their weights. Every rule of admission lives here; order
// within a queue never changes.
func Plan(ready []Ready, room int, now time.Time) []Verdict {
	verdicts := make([]Verdict, len(ready))
	next := make([]int, len(ready)) // first head of each queue not yet decided
	shared := slotsOf(ready)
	for i, r := range ready {
		verdicts[i] = Verdict{Queue: r.Queue.ID, NextStart: r.Runtime.NextStart, slots: shared}
		verdicts[i].Hold, verdicts[i].never = r.Window.hold(r.Runtime.Hold, now)
	}
	clients := shares(ready)
	for room > 0 && len(clients) > 0 {
		for c := 0; c < len(clients) && room > 0; {
			i, more := clients[c].take(ready, verdicts)
			switch {
			case !more:
				clients = slices.Delete(clients, c, c+1)
			case startNext(&ready[i], &verdicts[i], &next[i], now):
				room--
				c++
			default:
				clients[c].leave(i)
			}
		}
	}
	return verdicts
}

// startNext starts the queue's next task if it may, dropping those before it
// that never can.
func startNext(r *Ready, v *Verdict, next *int, now time.Time) bool {
	if !r.Queue.On || !r.Queue.DeletedAt.IsZero() || v.Hold.Until.After(now) {
		return false
	}
	spacing := r.Queue.spacing()
	for *next < len(r.Head) {
		h := r.Head[*next]
		if h.Due.After(now) {
			return false
		}
		comment := h.never(now)
		if v.never {
			comment = CommentNever
		}
		if comment != "" {
			v.Finish = append(v.Finish, Drop{Task: h.Task, Comment: comment})
			*next++
			continue
		}
		if r.Queue.Limit > 0 && r.Runtime.Running+len(v.Start) >= r.Queue.Limit {
			return false
		}
		if len(v.Start) >= r.Runtime.Brake.room(r.Queue, r.Runtime.Running, now) {
			return false
		}
		if spacing > 0 && v.NextStart.After(now) {
			return false
		}
		if full, ok := v.slots.take(r.Queue.ClientID, h.Extension); !ok {
			v.Hold = full.hold(now)
			return false
		}
		if spacing > 0 {
			// From now, not from when it might have started: a queue that stood
			// still does not catch up.
			v.NextStart = now.Add(spacing)
		}
		v.Start = append(v.Start, h.Task)
		*next++
		return true
	}
	return false
}

// never returns why the task can never start, or "".
func (h Head) never(now time.Time) string {
	switch {
	case !h.Deadline.IsZero() && !now.Before(h.Deadline):
		return CommentExpired
	case h.Blocked:
		return CommentBlocked
	}
	return ""
}
