package scheduler

import (
	"sort"
	"time"
)

// Grid is when something recurs, by the clock on the wall of a zone: at the
// anchor, and every hour, day, week, month, quarter or year after it. The 31st is
// the last day of a shorter month, and the 31st again in the next one. A time
// that the clock jumps over comes at once after the jump, one that it shows twice
// comes the first time. (The schedules of cron skip what is jumped over.)
type Grid struct {
	Frequency Frequency
	Anchor    time.Time
	Finish    time.Time // the last point at most; zero: none
	Zone      *time.Location
}

// Next returns the first point after t; the zero time if there is none.
func (g Grid) Next(t time.Time) time.Time {
	next := g.after(t)
	if !g.Finish.IsZero() && next.After(g.Finish) {
		return time.Time{}
	}
	return next
}

func (g Grid) after(t time.Time) time.Time {
	if t.Before(g.Anchor) {
		return g.Anchor.UTC()
	}
	if g.Frequency == FrequencyNone {
		return time.Time{}
	}
	return g.point(g.search(t, func(p time.Time) bool { return p.After(t) }))
}

// Before returns the last point before t; the zero time if there is none.
func (g Grid) Before(t time.Time) time.Time {
	switch {
	case !t.After(g.Anchor):
		return time.Time{}
	case g.Frequency == FrequencyNone:
		return g.Anchor.UTC()
	}
	return g.point(g.search(t, func(p time.Time) bool { return !p.Before(t) }) - 1)
}

// Points that the number of one by the wall is off by at most: the wall has
// jumped by as much as a day (Samoa, 2011).
const nearHours, nearOthers = 50, 3

// search returns the number of the first point near t that is as far as is asked.
func (g Grid) search(t time.Time, far func(time.Time) bool) int {
	a, w := clockFace(g.Anchor, g.Zone), clockFace(t, g.Zone)
	months := (w.Year()-a.Year())*12 + int(w.Month()-a.Month())
	off := nearOthers
	var k int
	switch g.Frequency {
	case Hourly:
		k, off = int(w.Sub(a)/time.Hour), nearHours
	case Daily:
		k = int(w.Sub(a) / (24 * time.Hour))
	case Weekly:
		k = int(w.Sub(a) / (7 * 24 * time.Hour))
	case Monthly:
		k = months
	case Quarterly:
		k = months / 3
	case Yearly:
		k = months / 12
	}
	from := max(k-off, 0)
	return from + sort.Search(k+off-from, func(i int) bool { return far(g.point(from + i)) })
}

// point returns the point of a number, from 0; they never go back.
func (g Grid) point(k int) time.Time {
	if k == 0 {
		return g.Anchor.UTC()
	}
	a := clockFace(g.Anchor, g.Zone)
	switch g.Frequency {
	case Hourly:
		return fromWall(a.Add(time.Duration(k)*time.Hour), g.Zone)
	case Daily:
		return fromWall(a.AddDate(0, 0, k), g.Zone)
	case Weekly:
		return fromWall(a.AddDate(0, 0, 7*k), g.Zone)
	case Quarterly:
		k *= 3
	case Yearly:
		k *= 12
	}
	first := a.AddDate(0, k, 1-a.Day()) // of the month
	day := min(a.Day(), first.AddDate(0, 1, -1).Day())
	return fromWall(first.AddDate(0, 0, day-1), g.Zone)
}

// clockFace returns what the clock on the wall of a zone shows at t, as a time in
// UTC.
func clockFace(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	_, offset := local.Zone()
	return local.Add(time.Duration(offset) * time.Second).UTC()
}

// fromWall returns when the clock on the wall of a zone first shows a time, given
// as one in UTC: if it jumps over it, the moment of the jump.
func fromWall(w time.Time, zone *time.Location) time.Time {
	for at := w.Add(-36 * time.Hour).In(zone); ; {
		begin, end := at.ZoneBounds()
		_, offset := at.Zone()
		t := w.Add(-time.Duration(offset) * time.Second)
		switch {
		case !end.IsZero() && !t.Before(end):
			at = end
			continue
		case !begin.IsZero() && t.Before(begin):
			return begin.UTC()
		}
		return t.UTC()
	}
}

// NextTimeOfDay returns when the clock on the wall of a zone next shows a time of
// day, at t or after it; see Grid for days on which it is jumped over.
func NextTimeOfDay(at TimeOfDay, t time.Time, zone *time.Location) time.Time {
	w := clockFace(t, zone)
	midnight := time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
	for day := -1; ; day++ {
		p := fromWall(midnight.AddDate(0, 0, day).Add(time.Duration(at)*time.Second), zone)
		if !p.Before(t) {
			return p
		}
	}
}
