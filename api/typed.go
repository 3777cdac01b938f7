package api

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/scheduler"
)

// Values of the admin API that have a type of their own. Each may come as text,
// with space around it, in any format. A reader's ok is false for null, which XML
// and forms may tell as "", and for what is faulty.

// isoForm is how the admin API tells times: ISO 8601 with offset.
const isoForm = "2006-01-02T15:04:05.0000000-07:00"

// isoDate tells a time.
func isoDate(t time.Time) string { return t.UTC().Format(isoForm) }

// isoDateOrNull tells a time that may be unset.
func isoDateOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return new(isoDate(t))
}

// word reads a scalar as text without the space around it; what names the type
// that it should have had.
func (d *decoder) word(what string) (word string, ok bool) {
	switch d.kind() {
	case kindString:
		if word = strings.TrimSpace(d.string()); word == "" && !d.untyped {
			d.fault("must be " + what)
		}
		return word, word != ""
	case kindNumber:
		return d.number(), true
	case kindTrue, kindFalse:
		return d.raw(), true
	}
	d.expect(kindString, what) // it is none
	return "", false
}

// truth reads true or false, which text may tell as 1 or 0 (XML Schema, part 2).
func (d *decoder) truth() (is, ok bool) {
	number := d.kind() == kindNumber
	word, ok := d.word("true or false")
	if !ok {
		return false, false
	}
	if number {
		word = "a number"
	}
	switch strings.ToLower(word) {
	case "true", "1":
		return true, true
	case "false", "0":
		return false, true
	}
	d.fault("must be true or false")
	return false, false
}

// guid reads a GUID, and returns it in lower case.
func (d *decoder) guid() (guid string, ok bool) {
	word, ok := d.word("a GUID")
	if !ok {
		return "", false
	}
	if guid, ok = scheduler.ParseGUID(strings.Trim(word, "{}")); !ok {
		d.fault("must be a GUID")
	}
	return guid, ok
}

// enum reads one of names: its number, from 0, or the name in any case.
func (d *decoder) enum(names []string) (n int, ok bool) {
	word, ok := d.word("one of " + strings.Join(names, ", "))
	if !ok {
		return 0, false
	}
	if n = numbered(names, word); n < 0 {
		d.fault("must be one of " + strings.Join(names, ", ") + ", or its number from 0 to " + strconv.Itoa(len(names)-1))
		return 0, false
	}
	return n, true
}

// numbered returns the number of a name, which word may be already; -1 if it
// is neither.
func numbered(names []string, word string) int {
	if n, err := strconv.Atoi(word); err == nil {
		if n >= 0 && n < len(names) {
			return n
		}
		return -1
	}
	return slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, word) })
}

// flags reads a set: the sum of its flags, or their names in any case between
// commas or space, or as a list. The first of names is the empty set; the
// others are 1, 2, 4 and so on.
func (d *decoder) flags(names []string) (sum int, ok bool) {
	var words []string
	if d.kind() == kindArray && !d.untyped {
		d.texts(&words)
	} else if word, ok := d.word("a set of " + strings.Join(names, ", ")); ok {
		words = strings.FieldsFunc(word, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	} else {
		return 0, false
	}
	all := 1<<(len(names)-1) - 1
	for _, word := range words {
		n, err := strconv.Atoi(word)
		if err != nil {
			if n = numbered(names, word); n > 0 {
				n = 1 << (n - 1)
			}
		}
		if n < 0 || n > all {
			d.fault("must be names of " + strings.Join(names, ", ") + ", or their sum from 0 to " + strconv.Itoa(all))
			return 0, false
		}
		sum |= n
	}
	return sum, true
}

// tellFlags tells a set as the names of its flags.
func tellFlags(names []string, sum int) string {
	var set []string
	for i, name := range names[1:] {
		if sum&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return names[0]
	}
	return strings.Join(set, ", ")
}

// momentForms are how requests may tell a time (ISO 8601); a fraction of its
// second may follow the seconds.
var momentForms = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02",
}

// maxFraction is how many digits a fraction of a second may have.
const maxFraction = 7

// moment reads a time; without an offset it is in the zone of the account.
func (d *decoder) moment() (at time.Time, ok bool) {
	const form = "a date of ISO 8601, such as 2026-01-31T08:30:00+01:00"
	word, ok := d.word(form)
	if !ok {
		return time.Time{}, false
	}
	if dot := strings.IndexAny(word, ".,"); dot >= 0 {
		digits := strings.IndexFunc(word[dot+1:], func(r rune) bool { return r < '0' || r > '9' })
		if digits < 0 {
			digits = len(word) - dot - 1
		}
		if digits > maxFraction {
			d.fault("must have at most " + strconv.Itoa(maxFraction) + " digits of a second's fraction")
			return time.Time{}, false
		}
	}
	zone := d.zone
	if zone == nil {
		zone = time.UTC
	}
	for _, form := range momentForms {
		at, err := time.ParseInLocation(form, word, zone)
		if at = at.UTC(); err == nil && at.Year() >= 1 && at.Year() <= 9999 {
			return at, true
		}
	}
	d.fault("must be " + form)
	return time.Time{}, false
}
