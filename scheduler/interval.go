package scheduler

import (
	"slices"
	"time"
)

// IntervalID is the row number of an interval.
type IntervalID int64

// Horizon is how far ahead an opening is looked for: a window that does not
// open within it never does.
const Horizon = 366 * 24 * time.Hour

// Interval is a calling window: open whenever one of its conditions holds, by
// the clock on the wall of its zone.
type Interval struct {
	ID         IntervalID `gorm:"primaryKey"`
	ClientID   ClientID
	Name       string
	TimeZone   string      // IANA
	Conditions []Condition `gorm:"serializer:json"`
	CreatedAt  time.Time   `gorm:"serializer:instant;autoCreateTime:false"`
}

// Condition holds at a moment when everything that is set in it does. Zero
// values are unset.
type Condition struct {
	StartDOW  int       `json:"start_dow,omitempty"` // 1–7, 1 is Sunday; may wrap
	EndDOW    int       `json:"end_dow,omitempty"`
	StartMDay int       `json:"start_mday,omitempty"` // 1–31
	EndMDay   int       `json:"end_mday,omitempty"`
	StartTime TimeOfDay `json:"start_time,omitempty"`
	EndTime   TimeOfDay `json:"end_time,omitempty"` // exclusive; 0 with StartTime: not set
	Month     int       `json:"month,omitempty"`    // 1–12
	Start     WallTime  `json:"start,omitempty"`    // with End, the only thing that counts
	End       WallTime  `json:"end,omitempty"`      // exclusive
}

// TimeOfDay is seconds since midnight by the clock on the wall, 0 to 86400.
type TimeOfDay int

// EndOfDay is the end of the last second of a day; 23:59:59 means it.
const EndOfDay TimeOfDay = 24 * 60 * 60

// WallTime is a date and time without a zone, as seconds since 1970-01-01
// 00:00:00 on the same wall; 0 is unset.
type WallTime int64

// wall returns what the clock on the wall shows at t.
func wall(t time.Time) WallTime {
	_, offset := t.Zone()
	return WallTime(t.Unix() + int64(offset))
}

const day = WallTime(EndOfDay)

// holds reports whether the condition holds at a moment on the wall.
func (c Condition) holds(w WallTime) bool {
	if c.Start != 0 && c.End != 0 {
		return c.Start <= w && w < c.End
	}
	date := time.Unix(int64(w), 0).UTC()
	return c.holdsOn(date) && c.holdsAt(TimeOfDay(w%day))
}

// holdsOn reports whether the date is one of the condition's.
func (c Condition) holdsOn(date time.Time) bool {
	if c.Month != 0 && int(date.Month()) != c.Month {
		return false
	}
	if c.StartMDay != 0 && (date.Day() < c.StartMDay || date.Day() > c.EndMDay) {
		return false
	}
	if c.StartDOW == 0 {
		return true
	}
	dow := int(date.Weekday()) + 1
	if c.StartDOW <= c.EndDOW {
		return c.StartDOW <= dow && dow <= c.EndDOW
	}
	return dow >= c.StartDOW || dow <= c.EndDOW
}

func (c Condition) holdsAt(at TimeOfDay) bool {
	return c.EndTime == 0 || c.StartTime <= at && at < c.EndTime
}

// Open reports whether the window is open at t and, if it is not, when it opens
// next: the zero time if that is not within the Horizon. zone is the interval's.
func (i Interval) Open(t time.Time, zone *time.Location) (open bool, next time.Time) {
	if i.holds(t.In(zone)) {
		return true, time.Time{}
	}
	return false, i.turns(t, zone)
}

// Closes returns when the window, open at t, closes next: the zero time if that
// is not within the Horizon.
func (i Interval) Closes(t time.Time, zone *time.Location) time.Time { return i.turns(t, zone) }

func (i Interval) holds(local time.Time) bool {
	w := wall(local)
	return slices.ContainsFunc(i.Conditions, func(c Condition) bool { return c.holds(w) })
}

// turns returns the first moment after t, within the Horizon, when the window
// is not as it is at t. Between two changes of the zone's offset the wall runs
// evenly, so that only its midnights and the conditions' own times need a look.
func (i Interval) turns(t time.Time, zone *time.Location) time.Time {
	was, end := i.holds(t.In(zone)), t.Add(Horizon)
	for from := t.In(zone); from.Before(end); {
		_, until := from.ZoneBounds() // the zero time: no more changes
		if until.IsZero() || until.After(end) {
			until = end
		}
		_, offset := from.Zone()
		toUTC := func(w WallTime) time.Time { return time.Unix(int64(w)-int64(offset), 0).In(zone) }
		for w := wall(from); ; {
			w = i.nextMark(w)
			at := toUTC(w)
			if !at.Before(until) {
				break
			}
			if i.holds(at) != was {
				return at.UTC()
			}
		}
		if until.Before(end) && i.holds(until.In(zone)) != was {
			return until.UTC()
		}
		from = until.In(zone)
	}
	return time.Time{}
}

// nextMark returns the first moment on the wall after w at which a condition
// may begin or cease to hold: midnight, or a time one of them names.
func (i Interval) nextMark(w WallTime) WallTime {
	midnight := w - w%day
	next := midnight + day
	mark := func(at WallTime) {
		if at > w && at < next {
			next = at
		}
	}
	for _, c := range i.Conditions {
		mark(c.Start)
		mark(c.End)
		mark(midnight + WallTime(c.StartTime))
		mark(midnight + WallTime(c.EndTime))
	}
	return next
}
