package webhooks

import (
	"math"
	"net/http"
	"time"

	"ringback/scheduler"
)

// DestinationID is the row number of a destination.
type DestinationID int64

// Destination is where the events of a client go that share an origin: what
// slots, pauses and the breaker are kept for. It is the row as it is stored,
// shared by all nodes; the zero time is NULL.
type Destination struct {
	ID        DestinationID `gorm:"primaryKey"`
	ClientID  scheduler.ClientID
	Origin    string    // scheme, host and port
	CreatedAt time.Time `gorm:"serializer:instant;autoCreateTime:false"`

	MaxInFlight int       // requests at a time over all nodes, up to MaxInFlight; 0: the service's default
	MaxRate     float64   // requests a second, up to MaxRate; 0: as many as there are slots for
	PausedAt    time.Time `gorm:"serializer:instant"` // by its owner; zero: it is not
	DisabledAt  time.Time `gorm:"serializer:instant"` // by us, after DisableAfter; zero: it is not

	FailuresInRow  int       // tries that failed since one did not
	WindowFrom     time.Time `gorm:"serializer:instant"` // the first failure of a window of the breaker
	WindowTries    int       // in the window
	WindowFailures int       // among them
	OpenUntil      time.Time `gorm:"serializer:instant"` // zero: closed; past: half open
	OpenFor        time.Duration
	ProbeID        scheduler.DeliveryID // the probe in flight; 0: none
	ProbeUntil     time.Time            `gorm:"serializer:instant"` // when its lease ends
	Probes         int                  // that succeeded in a row
	RampFrom       time.Time            `gorm:"serializer:instant"` // when the breaker closed; zero: the ramp is over
	NextSend       time.Time            `gorm:"serializer:instant"` // of one with a rate
	SucceededAt    time.Time            `gorm:"serializer:instant"` // the last success, to the minute
	FailingSince   time.Time            `gorm:"serializer:instant"` // the first failure after it
	Failures       int                  // since then

	// What claims go by, derived by Settle.

	Slots   int       // requests at a time now; 0: the service's default
	Careful bool      // a claim has to look under the row's lock
	LookAt  time.Time `gorm:"serializer:instant"` // from when on; zero: nothing is claimed
}

// DestinationState is how a destination stands.
type DestinationState string

// The states of a destination.
const (
	DestinationActive   DestinationState = "active"    // events are sent as they come
	DestinationRamp     DestinationState = "ramp"      // the breaker closed a moment ago: slowly at first
	DestinationOpen     DestinationState = "open"      // too many failures: nothing is sent for a while
	DestinationHalfOpen DestinationState = "half_open" // one probe at a time
	DestinationPaused   DestinationState = "paused"    // by its owner; events wait
	DestinationDisabled DestinationState = "disabled"  // no success for days; events are dead at once
)

// DestinationStates are all of them.
var DestinationStates = []DestinationState{
	DestinationActive, DestinationRamp, DestinationOpen, DestinationHalfOpen, DestinationPaused, DestinationDisabled,
}

// The breaker. A window begins with a failure.
const (
	openAfter   = 5                // failures in a row
	openSample  = 20               // tries of a window, at least half of them failures
	openWindow  = 60 * time.Second // its length
	openFirst   = 5 * time.Second
	openMost    = 5 * time.Minute
	closeAfter  = 2 // probes that succeed
	rampLength  = 30 * time.Second
	rampDoubles = 3 * time.Second // the rate of the ramp, from one a second
)

// When a destination is disabled: all three.
const (
	// DisableAfter is for how long there was no success.
	DisableAfter = 72 * time.Hour
	// DisableFailures is how many tries failed since.
	DisableFailures = 20
	// DisableOver is for how long they did.
	DisableOver = 24 * time.Hour
)

// MaxInFlight is how many requests at a time a destination may be given.
const MaxInFlight = 64

// Limits of the rate that a destination may be given, in requests a second.
const (
	MinRate = 0.01
	MaxRate = 1000
)

// unproven is how many requests at a time go to a destination that did not take
// the last one: it may keep each for as long as it likes, and they are everyone's.
const unproven = 2

// successStep is how old the time of the last success may be: it is not worth
// a write for every event.
const successStep = time.Minute

// State returns how the destination stands at a time.
func (d Destination) State(now time.Time) DestinationState {
	switch {
	case !d.DisabledAt.IsZero():
		return DestinationDisabled
	case !d.PausedAt.IsZero():
		return DestinationPaused
	case d.OpenUntil.After(now):
		return DestinationOpen
	case !d.OpenUntil.IsZero():
		return DestinationHalfOpen
	case d.ramps(now):
		return DestinationRamp
	}
	return DestinationActive
}

func (d Destination) ramps(now time.Time) bool {
	return !d.RampFrom.IsZero() && now.Before(d.RampFrom.Add(rampLength))
}

// Rate returns how many requests a second may be sent at a time; +Inf if there
// is no limit.
func (d Destination) Rate(now time.Time) float64 {
	rate := math.Inf(1)
	if d.MaxRate > 0 {
		rate = d.MaxRate
	}
	if d.ramps(now) {
		rate = min(rate, math.Exp2(max(now.Sub(d.RampFrom), 0).Seconds()/rampDoubles.Seconds()))
	}
	return rate
}

// Allow returns how many deliveries may be claimed at a time, of any number of
// slots that are free: one while half open, a second's worth at most with a rate.
func (d Destination) Allow(now time.Time) int {
	switch d.State(now) {
	case DestinationDisabled, DestinationPaused, DestinationOpen:
		return 0
	case DestinationHalfOpen:
		if d.ProbeID != 0 && d.ProbeUntil.After(now) {
			return 0
		}
		return 1
	}
	rate := d.Rate(now)
	if math.IsInf(rate, 1) {
		return math.MaxInt32
	}
	from := d.sendFrom(now)
	if from.After(now) {
		return 0
	}
	return 1 + int(now.Sub(from).Seconds()*rate)
}

// sendFrom is when the next request could have been sent at the earliest: what
// was not sent for longer than a second is not made up for.
func (d Destination) sendFrom(now time.Time) time.Time {
	return latest(d.NextSend, now.Add(-time.Second))
}

// Sent returns the destination after deliveries to it were claimed.
func (d Destination) Sent(now time.Time, claimed []scheduler.Delivery) Destination {
	if len(claimed) == 0 {
		return d
	}
	if d.State(now) == DestinationHalfOpen {
		d.ProbeID, d.ProbeUntil = claimed[0].ID, claimed[0].LeaseUntil
	} else if rate := d.Rate(now); !math.IsInf(rate, 1) {
		d.NextSend = d.sendFrom(now).Add(time.Duration(float64(len(claimed)) / rate * float64(time.Second)))
	}
	return d.Settle(now)
}

// NewDestination makes a destination that nothing was sent to yet.
func NewDestination(client scheduler.ClientID, origin string, now time.Time) Destination {
	return Destination{ClientID: client, Origin: origin, CreatedAt: now}.Settle(now)
}

// Pause returns the destination paused, or no longer.
func (d Destination) Pause(paused bool, now time.Time) Destination {
	if !paused {
		d.PausedAt = time.Time{}
	} else if d.PausedAt.IsZero() {
		d.PausedAt = now
	}
	return d.Settle(now)
}

// Enable returns a destination that was disabled as one that is tried again, as
// if nothing had been sent to it before.
func (d Destination) Enable(now time.Time) Destination {
	if d.DisabledAt.IsZero() {
		return d
	}
	fresh := NewDestination(d.ClientID, d.Origin, d.CreatedAt)
	fresh.ID, fresh.MaxInFlight, fresh.MaxRate, fresh.PausedAt = d.ID, d.MaxInFlight, d.MaxRate, d.PausedAt
	return fresh.Settle(now)
}

// Settle returns the destination with what is derived of it, as it is stored.
func (d Destination) Settle(now time.Time) Destination {
	d.Slots = d.MaxInFlight
	if d.SucceededAt.IsZero() || d.Failures > 0 {
		d.Slots = unproven
		if d.MaxInFlight > 0 {
			d.Slots = min(d.Slots, d.MaxInFlight)
		}
	}
	if !d.RampFrom.IsZero() && !d.ramps(now) {
		d.RampFrom = time.Time{}
	}
	d.Careful, d.LookAt = true, time.Time{}
	switch d.State(now) {
	case DestinationDisabled, DestinationPaused:
	case DestinationOpen:
		d.LookAt = d.OpenUntil
	case DestinationHalfOpen:
		d.LookAt = d.OpenUntil
		if d.ProbeID != 0 {
			d.LookAt = d.ProbeUntil
		}
	case DestinationRamp:
		d.LookAt = latest(d.RampFrom, d.NextSend)
	case DestinationActive:
		d.Careful = d.MaxRate > 0
		if d.Careful {
			d.LookAt = latest(d.CreatedAt, d.NextSend)
		}
	}
	return d
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Heard returns the destination after a try of a delivery that ended at a
// time. A try that was cancelled (nil) says nothing but that a probe is over.
func (d Destination) Heard(id scheduler.DeliveryID, try *Try, at time.Time) Destination {
	probe := id == d.ProbeID
	if probe {
		d.ProbeID, d.ProbeUntil = 0, time.Time{}
	}
	switch {
	case try == nil:
	case try.Error == "":
		d = d.succeeded(probe, at)
	case try.failed():
		d = d.failed(probe, at)
	}
	return d.Settle(at)
}

// failed reports whether a try says that the receiver is not well: no answer,
// 5xx or 429. Other answers are about the event and say nothing of the next one.
func (t Try) failed() bool {
	return t.Error != ErrNoSecret && (t.Status == 0 || t.Status >= 500 || t.Status == http.StatusTooManyRequests ||
		t.Error == ErrTimeoutBody || t.Error == ErrReset)
}

func (d Destination) succeeded(probe bool, at time.Time) Destination {
	d.FailuresInRow, d.Failures, d.FailingSince = 0, 0, time.Time{}
	if d.SucceededAt.IsZero() || at.Sub(d.SucceededAt) >= successStep {
		d.SucceededAt = at
	}
	if d.OpenUntil.IsZero() {
		return d.counted(false, at)
	}
	if !probe {
		return d // a straggler of before
	}
	if d.Probes++; d.Probes < closeAfter {
		return d
	}
	d.OpenUntil, d.OpenFor, d.Probes = time.Time{}, 0, 0
	d.WindowFrom, d.WindowTries, d.WindowFailures = time.Time{}, 0, 0
	d.RampFrom, d.NextSend = at, at
	return d
}

func (d Destination) failed(probe bool, at time.Time) Destination {
	if d.Failures == 0 {
		d.FailingSince = at
	}
	d.Failures++
	if d.hopeless(at) && d.DisabledAt.IsZero() {
		d.DisabledAt = at
	}
	if !d.OpenUntil.IsZero() {
		if probe {
			d = d.open(at)
		}
		return d
	}
	d.FailuresInRow++
	d = d.counted(true, at)
	if d.FailuresInRow >= openAfter || d.WindowTries >= openSample && 2*d.WindowFailures >= d.WindowTries {
		d = d.open(at)
	}
	return d
}

// hopeless reports whether the time has come to give a destination up.
func (d Destination) hopeless(at time.Time) bool {
	since := latest(d.SucceededAt, d.CreatedAt)
	return d.Failures >= DisableFailures && at.Sub(d.FailingSince) >= DisableOver && at.Sub(since) >= DisableAfter
}

// counted adds a try to the window of the breaker.
func (d Destination) counted(failed bool, at time.Time) Destination {
	if !d.WindowFrom.IsZero() && at.Sub(d.WindowFrom) >= openWindow {
		d.WindowFrom, d.WindowTries, d.WindowFailures = time.Time{}, 0, 0
	}
	if d.WindowFrom.IsZero() && !failed {
		return d
	}
	if d.WindowFrom.IsZero() {
		d.WindowFrom = at
	}
	d.WindowTries++
	if failed {
		d.WindowFailures++
	}
	return d
}

// open opens the breaker, for twice as long as the time before if a probe
// failed.
func (d Destination) open(at time.Time) Destination {
	d.OpenFor = min(max(2*d.OpenFor, openFirst), openMost)
	d.OpenUntil = at.Add(d.OpenFor)
	d.FailuresInRow, d.Probes, d.RampFrom, d.NextSend = 0, 0, time.Time{}, time.Time{}
	return d
}
