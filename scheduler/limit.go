package scheduler

import (
	"fmt"
	"time"
)

// LimitKey names what a limit of calls is for.
type LimitKey struct {
	ClientID    ClientID
	ExtensionID ExtensionID // 0: the client as a whole
}

// CallLimit is how many calls a client, or one of its extensions, may have
// under way at one time over all nodes, and how many it has. It is the row as
// it is stored, which is there only while there is a limit, and changed only
// under its lock.
type CallLimit struct {
	LimitKey `gorm:"embedded"`
	Most     int
	Running  int
}

// Full reports whether no more calls may begin.
func (l CallLimit) Full() bool { return l.Running >= l.Most }

// lookAgain is how long a queue is left alone whose first task is held by a
// limit that it shares with other queues. What ends there wakes nobody: a
// client may have any number of queues.
const lookAgain = 250 * time.Millisecond

// fullFor returns how the limits that the queue shares hold a task of an extension
// behind its first one, in the order of Gates. No time ends any of it.
func (r Runtime) fullFor(ext ExtensionID) []Hold {
	var holds []Hold
	for _, l := range r.Full {
		if l.ExtensionID == 0 || l.ExtensionID == r.Head || l.ExtensionID == ext {
			gate, detail := l.told()
			holds = append(holds, Hold{Gate: gate, Detail: detail})
		}
	}
	return holds
}

// Lasting is a hold as it is told: one that only says when to look again ends
// with a call, at no time that is known.
func (h Hold) Lasting() Hold {
	if h.Gate == GateExtension || h.Gate == GateClient {
		h.Until = time.Time{}
	}
	return h
}

// hold is what a full limit does to a queue.
func (l CallLimit) hold(now time.Time) Hold {
	gate, detail := l.told()
	return Hold{Gate: gate, Until: now.Add(lookAgain), Detail: detail}
}

// Refuse is the error of a call that the limit has no room for: Busy, and the
// limit's name.
func (l CallLimit) Refuse() error {
	gate, detail := l.told()
	return Errorf(Busy, "%s: %s", gate, detail)
}

// told is the limit's gate, and its use in words.
func (l CallLimit) told() (Gate, string) {
	if l.ExtensionID == 0 {
		return GateClient, fmt.Sprintf("%d of %d calls of the client are under way", l.Running, l.Most)
	}
	return GateExtension, fmt.Sprintf("%d of %d calls of extension %d are under way", l.Running, l.Most, l.ExtensionID)
}

// slots counts what a claim takes of the limits that its queues share.
type slots map[LimitKey]*CallLimit

// slotsOf gathers the limits of some queues; nil if there are none.
func slotsOf(ready []Ready) slots {
	var s slots
	for _, r := range ready {
		for _, l := range r.Limits {
			if s == nil {
				s = slots{}
			}
			s[l.LimitKey] = &l
		}
	}
	return s
}

// of returns the limits that a call of an extension counts for.
func (s slots) of(client ClientID, ext ExtensionID) []*CallLimit {
	var limits []*CallLimit
	for _, key := range []LimitKey{{client, ext}, {client, 0}} {
		if l, ok := s[key]; ok {
			limits = append(limits, l)
		}
	}
	return limits
}

// take takes a slot of every limit for a call; if one is full it takes none,
// and returns it.
func (s slots) take(client ClientID, ext ExtensionID) (full CallLimit, ok bool) {
	if s == nil {
		return CallLimit{}, true
	}
	limits := s.of(client, ext)
	for _, l := range limits {
		if l.Full() {
			return *l, false
		}
	}
	for _, l := range limits {
		l.Running++
	}
	return CallLimit{}, true
}

// QueueLimit is how many tasks of a queue may be executed at one time, and how
// many are.
type QueueLimit struct {
	QueueID QueueID
	Most    int
	Running int
}
