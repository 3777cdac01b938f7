package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// problem is an answer that says why a request was not done.
type problem struct {
	code    int    // HTTP
	status  string // of the contract; "" is that of the code
	message string // "" is that of the first fault
	faults  []scheduler.Fault
}

func (p *problem) Error() string { return p.message }

// codeOf is the HTTP status of each kind of error.
var codeOf = map[scheduler.Kind]int{
	scheduler.Internal:        http.StatusInternalServerError,
	scheduler.Invalid:         http.StatusBadRequest,
	scheduler.Unauthenticated: http.StatusUnauthorized,
	scheduler.Forbidden:       http.StatusForbidden,
	scheduler.NotFound:        http.StatusNotFound,
	scheduler.Conflict:        http.StatusConflict,
	scheduler.TooLarge:        http.StatusRequestEntityTooLarge,
	scheduler.Busy:            http.StatusTooManyRequests,
}

// statusOf is the status of the contract for each HTTP status.
var statusOf = map[int]string{
	http.StatusBadRequest:            "validation_error",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusForbidden:             "access_denied",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusConflict:              "conflict",
	http.StatusRequestEntityTooLarge: "too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusTooManyRequests:       "rate_limit_exceeded",
	http.StatusInternalServerError:   "internal_error",
	http.StatusServiceUnavailable:    "unavailable",
}

// problemOf returns what is told of an error. An error without a kind is
// internal: nothing is told of it.
func problemOf(err error) *problem {
	p := &problem{code: http.StatusInternalServerError}
	if known, ok := errors.AsType[*problem](err); ok {
		*p = *known
	} else if e, ok := errors.AsType[*scheduler.Error](err); ok {
		p.code, p.status, p.message, p.faults = codeOf[e.Kind], e.Status, e.Message, e.Faults
	} else if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		p.code = e.Code
	}
	if p.code >= http.StatusInternalServerError {
		p.message, p.faults, p.status = "", nil, ""
	}
	if p.status == "" {
		p.status = statusOf[p.code]
	}
	p.faults = p.faults[:min(len(p.faults), maxFaults)]
	if p.message == "" && len(p.faults) == 0 {
		p.message = defaultMessage(p.code)
	}
	return p
}

func defaultMessage(code int) string {
	switch code {
	case http.StatusNotFound:
		return "there is no such resource"
	case http.StatusMethodNotAllowed:
		return "the resource has no such method"
	case http.StatusInternalServerError:
		return "something went wrong here; the request can be tried again"
	}
	return http.StatusText(code)
}

// text returns the message of a problem: its own, or its first fault's.
func (p *problem) text(spell func(string) string) string {
	if p.message != "" || len(p.faults) == 0 {
		return p.message
	}
	first := p.faults[0]
	text := spell(first.Field) + " " + first.Message
	if more := len(p.faults) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}
