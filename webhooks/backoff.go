package webhooks

import (
	"net/http"
	"time"

	"ringback/scheduler"
)

// schedule is how long after a failed try the next one comes; the first of all
// comes at once. When it is used up the delivery is dead.
var schedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

const (
	// spread is how far a delay of the schedule is moved at random, either way.
	spread = 0.2
	// maxRetryAfter is how long a receiver may ask us to wait.
	maxRetryAfter = time.Hour
	// clientErrorTries is how often a request is made that the receiver calls
	// wrong.
	clientErrorTries = 3
)

// Try is one request of a delivery, as it is recorded.
type Try struct {
	At         time.Time
	Took       time.Duration
	Remote     string        // the address that was connected to; "" if none was
	Status     int           // HTTP; 0 without an answer
	Error      string        // one of the Err codes; "" for a success
	Response   []byte        // the beginning of the answer's body, at most 8 KiB
	RetryAfter time.Duration // what the answer asked for; 0 if nothing
}

// Codes of what was wrong with a try. An answer with an unwanted status is
// http_ and its class (http_4xx), but for those named here.
const (
	ErrDNS            = "dns"
	ErrRefused        = "refused"
	ErrReset          = "reset"
	ErrUnreachable    = "unreachable"
	ErrTimeoutConnect = "timeout_connect"
	ErrTimeoutHeader  = "timeout_header"
	ErrTimeoutBody    = "timeout_body"
	ErrTLS            = "tls"
	ErrBlocked        = "blocked_address"
	ErrRedirect       = "redirect"
	ErrGone           = "gone"
	ErrProtocol       = "protocol"  // the answer is no HTTP, or the request could not be made
	ErrNoSecret       = "no_secret" // the client has no live secret: nothing was sent
	ErrDisabled       = "disabled"  // the destination is disabled: nothing was sent
)

// Verdict is what becomes of a delivery after a try.
type Verdict struct {
	State  scheduler.DeliveryState
	NextAt time.Time // of a ready one
}

// Judge decides what becomes of a delivery after a try that ended at now. Its
// Tries do not count this one. luck, from 0 to 1, spreads the delay.
func Judge(d scheduler.Delivery, t Try, now time.Time, luck float64) Verdict {
	made := d.Tries - d.TriesBefore + 1
	switch {
	case t.Error == "":
		return Verdict{State: scheduler.DeliveryDelivered}
	case t.Error == ErrGone,
		blamesUs(t.Status) && made >= clientErrorTries,
		made > len(schedule):
		return Verdict{State: scheduler.DeliveryDead}
	}
	delay := time.Duration(float64(schedule[made-1]) * (1 - spread + 2*spread*luck))
	delay = max(delay, min(t.RetryAfter, maxRetryAfter))
	next := now.Add(delay)
	if !d.ExpiresAt.IsZero() && !next.Before(d.ExpiresAt) {
		return Verdict{State: scheduler.DeliveryExpired}
	}
	return Verdict{State: scheduler.DeliveryReady, NextAt: next}
}

// blamesUs reports whether a status says that the request itself is wrong, so
// that another try is not likely to help.
func blamesUs(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}
