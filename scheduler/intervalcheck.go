package scheduler

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// MaxConditions is how many conditions an interval has at most.
const MaxConditions = 100

// Check adds what is wrong with the interval to faults.
func (i Interval) Check(faults *Faults) {
	if n := utf8.RuneCountInString(i.Name); n < 1 || n > MaxName {
		faults.Add("Name", "must be 1 to %d characters long", MaxName)
	}
	if _, err := time.LoadLocation(i.TimeZone); err != nil || i.TimeZone == "" || i.TimeZone == "Local" {
		faults.Add("TimeZone", "must be the IANA name of a time zone, such as Europe/Rome")
	}
	if n := len(i.Conditions); n < 1 || n > MaxConditions {
		faults.Add("Conditions", "must be 1 to %d", MaxConditions)
		return
	}
	for n, c := range i.Conditions {
		c.check(fmt.Sprintf("Conditions[%d].", n), faults)
	}
}

// check adds what is wrong with the condition, its fields below path. What is
// given in pairs must be, and set where it counts.
func (c Condition) check(path string, faults *Faults) {
	if c == (Condition{}) {
		faults.Add(path[:len(path)-1], "must set something")
		return
	}
	pair := func(from, to int, low, high int, start, end string, wraps bool) {
		for _, side := range []struct {
			field, other string
			value, pair  int
		}{{start, end, from, to}, {end, start, to, from}} {
			switch {
			case side.value == 0 && side.pair != 0:
				faults.Add(path+side.field, "is required with its pair")
			case side.value != 0 && (side.value < low || side.value > high):
				faults.Add(path+side.field, "must be between %d and %d", low, high)
			}
		}
		if !wraps && from != 0 && to != 0 && from > to {
			faults.Add(path+start, "must not be after the end")
		}
	}
	pair(c.StartDOW, c.EndDOW, 1, 7, "StartDOW", "EndDOW", true)
	pair(c.StartMDay, c.EndMDay, 1, 31, "StartMDay", "EndMDay", false)
	if c.Month < 0 || c.Month > 12 {
		faults.Add(path+"Month", "must be between 1 and 12")
	}
	if c.StartTime >= c.EndTime && (c.StartTime != 0 || c.EndTime != 0) {
		faults.Add(path+"StartTime", "must be before the end")
	}
	switch {
	case (c.Start == 0) != (c.End == 0):
		field := "Start"
		if c.End == 0 {
			field = "End"
		}
		faults.Add(path+field, "is required with its pair")
	case c.Start > c.End || c.Start != 0 && c.Start == c.End:
		faults.Add(path+"Start", "must be before the end")
	}
}

// Opening is a time in which a window is open; Closes is the zero time if that
// is not within the Horizon.
type Opening struct {
	Opens, Closes time.Time
}

// Openings returns when the window is open between from and to, at most limit
// of them. One that is under way at from begins there.
func (i Interval) Openings(from, to time.Time, zone *time.Location, limit int) []Opening {
	var all []Opening
	for at := from; len(all) < limit; {
		if open, next := i.Open(at, zone); !open {
			at = next
		}
		if at.IsZero() || !at.Before(to) {
			break
		}
		o := Opening{Opens: at, Closes: i.Closes(at, zone)}
		all = append(all, o)
		if at = o.Closes; at.IsZero() {
			break
		}
	}
	return all
}

// Never returns the places, from 0, of the conditions that do not hold at any
// moment within the Horizon of now.
func (i Interval) Never(now time.Time, zone *time.Location) []int {
	never := []int{}
	for n, c := range i.Conditions {
		if open, next := (Interval{Conditions: []Condition{c}}).Open(now, zone); !open && next.IsZero() {
			never = append(never, n)
		}
	}
	return never
}
