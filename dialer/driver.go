// Package dialer places calls: an Engine calls A, then B, and bridges them,
// over legs that a Driver makes.
package dialer

import (
	"context"
	"time"

	"ringback/scheduler"
)

// LegID names a leg on the network it is made on. The engine chooses it, so
// that a leg can be found again after a restart: call id, role, place among the
// numbers of that role and, from the second trunk on, the try. A rings at
// <call>-a1, its extended numbers at -a2, -a3, …, B at -b1; a second try of
// the first is -a1.2.
type LegID string

// Originate is a leg to be made.
type Originate struct {
	ID        LegID
	Trunk     string // the name of the trunk it goes by, for drivers that serve several
	Call      scheduler.CallID
	Task      scheduler.TaskID
	Attempt   int
	Role      scheduler.Role
	Number    scheduler.Number
	Caller    scheduler.CallerID
	Variables map[string]string
	// Partner is the answered leg that this one will be bridged to; "" for A.
	Partner LegID
}

// EventKind is what happens to a leg.
type EventKind int

// The events of a leg, in the only order they may come: Ringing and
// EarlyMedia at most once each, Answered at most once, Played once for each
// Play and Press, Ended exactly once, last.
const (
	Ringing EventKind = iota + 1
	EarlyMedia
	Answered
	Played
	Ended
)

// Event is told by a driver of a leg it accepted.
type Event struct {
	Kind  EventKind
	At    time.Time
	State []byte // of Answered: what a Recoverer needs to end the leg later; nil: nothing can
	End   End    // of Ended
}

// End is why a leg ended.
type End struct {
	Disposition scheduler.Disposition // Answered if it was
	Q850        int                   // ITU-T Q.850 cause; 0: not told
	SIP         int                   // final response code; 0: none
	Native      string                // the peer's own word, raw
	By          scheduler.Party
}

// Driver makes legs on one kind of network. Its methods may be called from
// many goroutines. Originate promises: with an error nothing was signalled and
// no event comes; without one the leg's events come in order, one at a time,
// and end with exactly one Ended, whatever happens. A cancelled ctx hangs up
// every leg that was originated under it.
type Driver interface {
	// Originate starts a leg and returns at once; events tells what becomes of
	// it, maybe before Originate has returned. It does not block and does not
	// call the driver. After Close every Originate is refused with an error.
	Originate(ctx context.Context, o Originate, events func(Event)) error
	// Ringback plays ringing tone to an answered leg, or stops it. Early media
	// of a leg with a Partner is the driver's to pass on in its place.
	Ringback(ctx context.Context, leg LegID, on bool) error
	// Play lets an answered leg hear a sound, and nothing else meanwhile, and
	// returns at once. Played tells that it is over, whatever kept it from being
	// heard; it does not come of a leg that ends before. A leg that plays, or is
	// bridged, is given no second order of this kind.
	Play(ctx context.Context, leg LegID, s Sound) error
	// Press sends DTMF to an answered leg as Play plays a sound: digits are 0-9,
	// *, #, A-D and the pauses that PauseOf knows. Who listens to the leg goes on
	// hearing what it heard.
	Press(ctx context.Context, leg LegID, digits string) error
	// Bridge lets two answered legs hear each other.
	Bridge(ctx context.Context, a, b LegID) error
	// Hangup ends a leg, answered or not; its Ended still comes. A leg that is
	// gone already is no error. A leg that was not answered ends as NoAnswer
	// after HangupTimeout and as Cancelled after any other reason, unless the
	// peer's own refusal was faster; an answer that was faster is told first.
	Hangup(ctx context.Context, leg LegID, reason HangupReason) error
	// Health is nil if the network can be reached now, as far as the driver
	// knows already: it does not wait for the network.
	Health(ctx context.Context) error
	// Close ends every leg and waits for what it started; a second one does
	// nothing.
	Close(ctx context.Context) error
}

// HangupReason is why the engine ends a leg: it becomes the Reason header of a
// CANCEL or BYE (RFC 3326).
type HangupReason int

// The reasons.
const (
	HangupNormal    HangupReason = iota // Q.850 16
	HangupTimeout                       // it rang for too long: no answer
	HangupElsewhere                     // another leg answered: Q.850 26
	HangupCancel                        // a client or our own stop ended the call
)
