package scheduler

import "time"

// Page selects a part of a list ordered by id. After, a cursor, wins over
// Number.
type Page struct {
	Number     int    // from 1
	Size       int    // 1–1000
	Descending bool   // default ascending
	After      int64  // rows after this id in the list's order; 0: from the start
	AfterCall  CallID // the same of calls, which have no row numbers
}

// Offset is how many rows come before the page.
func (p Page) Offset() int {
	if p.After != 0 || p.AfterCall != "" {
		return 0
	}
	return (max(p.Number, 1) - 1) * p.Size
}

// CountLimit is how far lists are counted exactly.
const CountLimit = 10_000

// TaskFilter selects tasks of a queue; zero fields select all. From is
// inclusive, To exclusive.
type TaskFilter struct {
	Statuses               []Status // also the derived ones
	Result                 Result
	Name                   string
	A, B                   string // as given, or E.164
	ExternalID             string
	CreatedFrom, CreatedTo time.Time
	StartFrom, StartTo     time.Time
	UpdatedSince           time.Time
	IDs                    []TaskID
}

// CallFilter selects calls of a client's history; zero fields select all.
type CallFilter struct {
	From, To    time.Time // of the start; To exclusive
	ExtensionID ExtensionID
	ToNumber    string // as given, or E.164
	Result      CallResult
	TaskID      TaskID
	QueueID     QueueID
}

// List is a page of rows with how many there are in all, counted up to
// CountLimit (Total is CountLimit+1 beyond it).
type List[T any] struct {
	Rows  []T
	Total int
}
