package scheduler

import "time"

// BulkID is the number of a bulk action.
type BulkID int64

// BulkAction is what is done to many tasks at once.
type BulkAction string

// The bulk actions.
const (
	BulkCancel  BulkAction = "cancel"  // what waits, and on demand what is executed
	BulkRunNow  BulkAction = "run_now" // what waits for a later time is due at once
	BulkRequeue BulkAction = "requeue" // what is finished is asked again, as new tasks
	BulkMove    BulkAction = "move"    // what waits goes to another queue of its client
)

// BulkState is how far a bulk action is.
type BulkState string

// The states of a bulk action.
const (
	BulkRunning BulkState = "running"
	BulkDone    BulkState = "done"
	BulkFailed  BulkState = "failed" // Error says why; what was changed stays so
)

// Limits of bulk actions.
const (
	BulkSlice    = 1000   // tasks of one transaction
	BulkAtOnce   = 10_000 // tasks that are changed within the request
	BulkFailures = 10     // transactions that may fail one after another
)

// Bulk is an action on the tasks of a queue that a filter selects, and how far
// it is. It is the row as it is stored.
type Bulk struct {
	ID       BulkID `gorm:"primaryKey"`
	ClientID ClientID
	QueueID  QueueID
	Action   BulkAction
	Filter   TaskFilter `gorm:"serializer:json"`
	HangUp   bool       // cancel: also what is executed
	Target   QueueID    // move: where to; else 0
	State    BulkState
	Error    string
	Matched  int    // tasks that the filter selected when it began
	Eligible int    // those of them that the action applied to then
	Changed  int    // so far
	After    TaskID // tasks up to this one are done
	Upto     TaskID // later ones were not there yet when it began
	Failures int    // transactions that failed since the last one that did not

	CreatedAt time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	WorkedAt  time.Time `gorm:"serializer:instant"` // by the latest transaction
	EndedAt   time.Time `gorm:"serializer:instant"` // zero: it runs
}

// TableName names the table for gorm.
func (Bulk) TableName() string { return "bulk_jobs" }

// Again returns a new task, due at once, that asks for the same as a finished
// one. An external id names one task, and stays with the former; a deadline
// that has passed is left out.
func (t Task) Again(now time.Time) Task {
	again := Task{
		ClientID: t.ClientID, QueueID: t.QueueID, ExtensionID: t.ExtensionID, RequeuedFrom: t.ID, Name: t.Name,
		ANumber: t.ANumber, ANumberE164: t.ANumberE164, BNumber: t.BNumber, BNumberE164: t.BNumberE164,
		TryCount: t.TryCount, TryPause: t.TryPause, TryCountCaller: t.TryCountCaller, TryPauseCaller: t.TryPauseCaller,
		URLBefore: t.URLBefore, URLBeforeAgain: t.URLBeforeAgain, URLSuccess: t.URLSuccess, URLAfter: t.URLAfter,
		StartAt: now, ReadyAt: now, Params: t.Params, Variables: t.Variables, Status: Scheduled, CreatedAt: now, UpdatedAt: now,
	}
	if t.Deadline.After(now) {
		again.Deadline = t.Deadline
	}
	return again
}
