package scheduler

import "time"

// Keep is how long what is over is kept.
type Keep struct {
	Finished time.Duration // tasks
	Calls    time.Duration // the call history
}

// How long the rest is kept.
const (
	DeliveredKeep   = 7 * 24 * time.Hour  // events that their receiver took
	UndeliveredKeep = 30 * 24 * time.Hour // those that it never did
	BulksKeep       = 30 * 24 * time.Hour // bulk actions that have ended
)
