package scheduler

import "time"

// Change is an entry of what was stored of a queue: the tasks that one
// transaction wrote, and what holds the queue if that changed.
type Change struct {
	Seq   int64 // of the queue, from 1, in the order of the commits; without gaps while somebody listens
	At    time.Time
	Tasks []TaskID // ascending
	// Hold is what holds the queue from then on, the zero Hold nothing; nil: it
	// is as it was.
	Hold *Hold
}

// ChangesKeep is how long changes are kept for those who listen, and how long
// after the last of them was there.
const ChangesKeep = 24 * time.Hour
