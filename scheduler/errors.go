package scheduler

import (
	"errors"
	"fmt"
	"strings"
)

// Kind sorts errors by what the caller can do about them. An error without a
// kind is internal: logged in full, told as nothing.
type Kind int

// The kinds of error that are told to a client.
const (
	Internal        Kind = iota
	Invalid              // the request is at fault; Faults says where
	Unauthenticated      // no valid credentials
	Forbidden            // valid credentials that may not do this
	NotFound             // no such thing, or another tenant's
	Conflict             // the state forbids it; the message names the state
	TooLarge             // over a size limit
	Busy                 // over a rate; try again
)

// Fault is one thing wrong with a request. Field is a path of Go field names,
// such as Tasks[3].TryCount; each dialect of the API spells it its own way. A
// name that is the client's own stands in it in quotes: Variables."vip".
type Fault struct {
	Field   string
	Message string // "must be between 1 and 50", without the field
	Status  string // wire status where it differs from the kind's own
}

// Error is an error of a known kind.
type Error struct {
	Kind    Kind
	Status  string // wire status where it differs from the kind's own
	Message string
	Faults  []Fault // every fault, of Kind Invalid
}

func (e *Error) Error() string {
	if e.Message != "" || len(e.Faults) == 0 {
		return e.Message
	}
	parts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		parts[i] = strings.TrimSpace(f.Field + " " + f.Message)
	}
	return strings.Join(parts, "; ")
}

// Errorf makes an error of a kind.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of err; Internal if it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Faults collects what is wrong with a request. Its zero value is ready.
type Faults []Fault

// Add notes a fault of a field.
func (f *Faults) Add(field, format string, args ...any) {
	*f = append(*f, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
}

// Err returns the faults as an error of kind Invalid, or nil if there are none.
// It has a status of its own if all faults have the same one.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	status := f[0].Status
	for _, fault := range f {
		if fault.Status != status {
			status = ""
		}
	}
	return &Error{Kind: Invalid, Status: status, Faults: f}
}

// ErrFenced is returned by writes of a node whose epoch is no longer its own:
// another process took over what it was doing. Nothing was written.
var ErrFenced = errors.New("node is fenced: another process took over its epoch")

// ErrData marks a write that the database refuses for the values in it:
// writing them again cannot help.
var ErrData = errors.New("the database refuses a row")
