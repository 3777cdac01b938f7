package scheduler

import "time"

// Queue is the resource that paces tasks (wire: task_scheduler).
type Queue struct {
	ID       QueueID `gorm:"primaryKey"`
	ClientID ClientID
	Name     string
	Comment  string
	On       bool `gorm:"column:is_on"`
	Limit    int  `gorm:"column:concurrent_limit"` // tasks executed at one time over all nodes; 0: no limit
	// IntervalID is the calling window; nil: always open.
	IntervalID *IntervalID
	// StartRate is the most starts a second, evenly spaced; 0: no limit.
	StartRate float64
	// Priority is 0 to 9; beside other queues of its client the queue weighs one
	// more than it.
	Priority int
	Brake    BrakeSettings `gorm:"embedded;embeddedPrefix:asr_"`
	// BeforeWait is how long, in milliseconds, a call waits for the answer to its
	// before-event; 0: not at all.
	BeforeWait int
	CreatedAt  time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	DeletedAt  time.Time `gorm:"serializer:instant"` // zero: live
}

// Limits of a queue's start rate, in starts a second.
const (
	MinStartRate = 0.001
	MaxStartRate = 100
)

// Limits of a queue's priority, and what it is by default.
const (
	MaxPriority     = 9
	DefaultPriority = 5
)

// spacing is the least time between two starts; 0 without a start rate.
func (q Queue) spacing() time.Duration {
	if q.StartRate <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / q.StartRate)
}

// Runtime is the part of a queue that moves with its calls. It is changed
// only under its row's lock.
type Runtime struct {
	QueueID QueueID `gorm:"primaryKey"`
	Running int     // tasks executed now
	// NextStart is when the start rate lets the next task start; zero: at once.
	NextStart time.Time `gorm:"serializer:instant"`
	Hold      Hold      `gorm:"embedded;embeddedPrefix:hold_"`
	Closed    Hold      `gorm:"-"` // by the window, as At read it
	Node      []Hold    `gorm:"-"` // what holds all that is due on the node that tells of it
	// Full are the limits of its client and of extensions that have no room, and
	// Head is the extension of its first due task; 0: none is due.
	Full  []CallLimit `gorm:"-"`
	Head  ExtensionID `gorm:"-"`
	Brake Brake       `gorm:"serializer:json"`
	// WakeAt is a lower bound of the next moment when something of the queue
	// may start; zero: nothing can until something is written. See Wake.
	WakeAt time.Time `gorm:"serializer:instant"`
	// Changes is the Seq of the queue's latest Change, kept or not; 0: none.
	Changes int64
}

// TableName names the table for gorm.
func (Runtime) TableName() string { return "queue_runtime" }

// Gate is a reason why a due task may not start.
type Gate string

// The gates of this release.
const (
	GateOff        Gate = "scheduler_off"
	GateNotDue     Gate = "not_due"
	GateInterval   Gate = "interval"
	GateASR        Gate = "asr"
	GateConcurrent Gate = "concurrent"
	GateStartRate  Gate = "start_rate"
	GateExtension  Gate = "extension_limit"
	GateClient     Gate = "client_limit"
	GateTrunkLimit Gate = "trunk_limit"
	GateWorkers    Gate = "workers"
	GateDialer     Gate = "dialer"
)

// Hold keeps a queue from starting anything until a time. Only gates that
// open by time hold; a full queue is woken by what ends.
type Hold struct {
	Gate   Gate
	Until  time.Time `gorm:"serializer:instant"` // zero: no hold
	Detail string
}

// Wake returns the next moment when something of the queue may start, the
// zero time if nothing can: the queue is off, full or empty. first is when its
// first waiting task is due, zero if none waits. Every writer of a runtime row
// calls it under the row's lock: too early costs an empty look, too late loses
// a task.
func (r Runtime) Wake(q Queue, first time.Time) time.Time {
	if !q.On || !q.DeletedAt.IsZero() || first.IsZero() || r.full(q) {
		return time.Time{}
	}
	wake := later(later(first, r.Hold.Until), r.Brake.Until)
	if r.Brake.room(q, r.Running, wake) <= 0 {
		return time.Time{} // until a probe ends
	}
	if q.StartRate > 0 {
		wake = later(wake, r.NextStart)
	}
	return wake
}

// Reconsider returns the row as it is after the queue's settings changed to q:
// the next claim looks at the window anew, and a faster start rate holds at
// once.
func (r Runtime) Reconsider(q Queue, now time.Time) Runtime {
	if r.Hold.Gate == GateInterval {
		r.Hold = Hold{}
	}
	if soon := now.Add(q.spacing()); r.NextStart.After(soon) {
		r.NextStart = soon
	}
	return r
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
