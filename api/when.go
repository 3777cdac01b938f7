package api

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// The dates of the callback API are UTC: to the second in resources, with
// fractions in the call history.
const (
	dateForm     = "2006-01-02 15:04:05"
	fractionForm = "2006-01-02 15:04:05.000000"
)

// maxAhead is how far ahead a start may lie.
const maxAhead = 10 * 365 * 24 * time.Hour

var errDate = errors.New("must be a date in the form YYYY-MM-DD HH:MM:SS")

var errStart = errors.New("must be a date in the form YYYY-MM-DD HH:MM:SS, or a number of seconds from now")

var errAhead = errors.New("must be within ten years")

// parseDate reads a UTC date. Stray spaces are fine, also between its parts:
// the source documents "HH: MM: SS".
func parseDate(s string) (time.Time, error) {
	t, err := time.Parse(dateForm, tidyDate(s))
	if err != nil {
		return time.Time{}, errDate
	}
	return t, nil
}

// tidyDate takes the spaces out of a date but for the one before the time.
func tidyDate(s string) string {
	s = strings.TrimSpace(s)
	if strings.Count(s, " ") == 1 {
		return s
	}
	parts := strings.Fields(s)
	if len(parts) == 0 || len(s) > 64 {
		return s
	}
	// The date ends with its first ten digits and hyphens.
	joined := strings.Join(parts, "")
	if len(joined) < len("2006-01-02") {
		return s
	}
	return joined[:len("2006-01-02")] + " " + joined[len("2006-01-02"):]
}

// parseStart reads a start: a date, or seconds from now. A past one is fine.
func parseStart(s string, now time.Time) (time.Time, error) {
	if seconds, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
		return startIn(seconds, now)
	}
	t, err := parseDate(s)
	switch {
	case err != nil:
		return time.Time{}, errStart
	case t.Sub(now) > maxAhead:
		return time.Time{}, errAhead
	}
	return t, nil
}

// startIn returns the start in a number of seconds from now.
func startIn(seconds int64, now time.Time) (time.Time, error) {
	switch {
	case seconds < 0:
		return time.Time{}, errStart
	case seconds > int64(maxAhead/time.Second):
		return time.Time{}, errAhead
	}
	return now.Add(time.Duration(seconds) * time.Second), nil
}

// date tells a time to the second; "" for none.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(dateForm)
}

// fraction tells a time with fractions; nil for none.
func fraction(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(fractionForm)
	return &s
}

// start reads a start: null is none, which means now.
func (d *decoder) start(now time.Time, into *time.Time) {
	*into = time.Time{}
	var err error
	switch d.kind() {
	case kindString:
		*into, err = parseStart(d.string(), now)
	case kindNumber:
		seconds, bad := strconv.ParseInt(d.number(), 10, 64)
		if err = errStart; bad == nil {
			*into, err = startIn(seconds, now)
		}
	case kindNull:
		d.skip()
	default:
		err = errStart
		d.skip()
	}
	if err != nil {
		d.fault(err.Error())
	}
}

// date reads a date: null and "" are none.
func (d *decoder) date(into *time.Time) {
	*into = time.Time{}
	if !d.expect(kindString, "a date in the form YYYY-MM-DD HH:MM:SS") {
		return
	}
	s := d.string()
	if strings.TrimSpace(s) == "" {
		return
	}
	t, err := parseDate(s)
	if err != nil {
		d.fault(err.Error())
		return
	}
	*into = t
}
