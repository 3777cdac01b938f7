package scheduler_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"ringback/scheduler"
)

// gridZones are zones whose clocks jump in every way: by an hour at two or at
// midnight, by half an hour, by a whole day, and never.
var gridZones = []string{"Europe/Rome", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu"}

// gridStep is how fine the clock of the oracle goes: every change of these zones
// is at a multiple of it.
const gridStep = 15 * time.Minute

// look is a look at the clock on the wall.
type look struct {
	at    time.Time
	shows int64 // seconds since 1970 on the same wall
}

// looks looks at the clock of a zone from the beginning of 2010 on, for twelve
// years.
func looks(zone *time.Location) []look {
	var all []look
	for at := time.Date(2010, 1, 1, 0, 0, 0, 0, zone); at.Year() < 2022; at = at.Add(gridStep) {
		_, offset := at.Zone()
		all = append(all, look{at, at.Unix() + int64(offset)})
	}
	return all
}

// walked are the points of a grid as somebody notes them who looks at the clock on
// the wall all the time: whenever it shows a time of the list, or one beyond that
// it has not shown before, a point has come.
func walked(all []look, wall []time.Time, anchor time.Time) []time.Time {
	points := []time.Time{anchor.UTC()}
	from := int(anchor.Sub(all[0].at) / gridStep)
	for _, l := range all[from:] {
		for len(wall) > 0 && wall[0].Unix() <= l.shows {
			if last := points[len(points)-1]; last.Before(l.at) {
				points = append(points, l.at.UTC())
			}
			wall = wall[1:]
		}
	}
	return points
}

// calendar lists what the wall shows at the points of a grid, by leafing through
// it, without the first.
func calendar(f scheduler.Frequency, first, until time.Time) []time.Time {
	var all []time.Time
	if f == scheduler.Hourly {
		for w := first.Add(time.Hour); w.Before(until); w = w.Add(time.Hour) {
			all = append(all, w)
		}
		return all
	}
	months := map[scheduler.Frequency]int{scheduler.Monthly: 1, scheduler.Quarterly: 3, scheduler.Yearly: 12}[f]
	days := 0
	for w := first.Add(24 * time.Hour); w.Before(until); w = w.Add(24 * time.Hour) {
		days++
		lastOfMonth := w.Add(24*time.Hour).Month() != w.Month()
		since := int(w.Month()) - int(first.Month()) + 12*(w.Year()-first.Year())
		switch {
		case f == scheduler.Daily,
			f == scheduler.Weekly && days%7 == 0,
			months > 0 && since > 0 && since%months == 0 && (w.Day() == first.Day() || lastOfMonth && w.Day() < first.Day()):
			all = append(all, w)
		}
	}
	return all
}

func TestGridIsWhatTheWallShows(t *testing.T) {
	anchors := map[scheduler.Frequency][]time.Time{
		scheduler.Hourly:    {time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2010, 1, 1, 0, 30, 0, 0, time.UTC)},
		scheduler.Daily:     {time.Date(2010, 1, 1, 2, 30, 0, 0, time.UTC), time.Date(2010, 1, 1, 0, 15, 0, 0, time.UTC), time.Date(2010, 1, 1, 2, 0, 0, 0, time.UTC)},
		scheduler.Weekly:    {time.Date(2010, 1, 3, 2, 30, 0, 0, time.UTC), time.Date(2010, 1, 1, 1, 45, 0, 0, time.UTC)},
		scheduler.Monthly:   {time.Date(2010, 1, 31, 2, 30, 0, 0, time.UTC), time.Date(2010, 1, 30, 9, 0, 0, 0, time.UTC)},
		scheduler.Quarterly: {time.Date(2010, 1, 31, 23, 45, 0, 0, time.UTC), time.Date(2010, 11, 30, 0, 0, 0, 0, time.UTC)},
		scheduler.Yearly:    {time.Date(2012, 2, 29, 12, 0, 0, 0, time.UTC), time.Date(2010, 3, 28, 2, 30, 0, 0, time.UTC)},
	}
	for _, name := range gridZones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		all := looks(zone)
		for f, firsts := range anchors {
			for _, first := range firsts {
				anchor := time.Date(first.Year(), first.Month(), first.Day(), first.Hour(), first.Minute(), 0, 0, zone)
				until := first.AddDate(10, 0, 0)
				if got := anchor.In(zone).Format("15:04"); got != first.Format("15:04") {
					continue // this anchor is jumped over here
				}
				want := walked(all, calendar(f, first, until), anchor)
				g := scheduler.Grid{Frequency: f, Anchor: anchor, Zone: zone}
				sameGrid(t, name+" "+f.String()+" "+first.Format("15:04"), g, want)
			}
		}
	}
}

func sameGrid(t *testing.T, name string, g scheduler.Grid, want []time.Time) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for i, at := range want[:len(want)-1] {
		next := want[i+1]
		if i%13 != 0 && (next.Sub(at) == time.Hour || next.Sub(at) == 24*time.Hour) && (i == 0 || at.Sub(want[i-1]) == next.Sub(at)) {
			continue // the days of change matter, and some of the others
		}
		from := at.Add(time.Duration(random.Int64N(int64(next.Sub(at)))))
		for _, t0 := range []time.Time{at, from, next.Add(-1)} {
			if got := g.Next(t0); !got.Equal(next) {
				t.Fatalf("%s: after %s comes %s, want %s", name, t0.In(g.Zone), got.In(g.Zone), next.In(g.Zone))
			}
			if got := g.Before(t0.Add(1)); !got.Equal(at) {
				t.Fatalf("%s: before %s was %s, want %s", name, t0.In(g.Zone), got.In(g.Zone), at.In(g.Zone))
			}
		}
	}
}

func TestGridOnDaysOfChange(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		p, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, c := range map[string]struct {
		f      scheduler.Frequency
		anchor string
		finish string
		after  string
		want   string // "": none
	}{
		"a time that does not exist comes at once after the gap":        {f: scheduler.Daily, anchor: "2026-03-01T02:30:00+01:00", after: "2026-03-28T02:30:00+01:00", want: "2026-03-29T03:00:00+02:00"},
		"and is itself again the day after":                             {f: scheduler.Daily, anchor: "2026-03-01T02:30:00+01:00", after: "2026-03-29T03:00:00+02:00", want: "2026-03-30T02:30:00+02:00"},
		"a repeated time comes the first time":                          {f: scheduler.Daily, anchor: "2026-10-01T02:30:00+02:00", after: "2026-10-24T12:00:00+02:00", want: "2026-10-25T02:30:00+02:00"},
		"and not again":                                                 {f: scheduler.Daily, anchor: "2026-10-01T02:30:00+02:00", after: "2026-10-25T02:30:00+02:00", want: "2026-10-26T02:30:00+01:00"},
		"an anchor in the repeated hour is where it says":               {f: scheduler.Daily, anchor: "2026-10-25T02:30:00+01:00", after: "2026-10-01T00:00:00Z", want: "2026-10-25T02:30:00+01:00"},
		"the 31st is the 28th of February":                              {f: scheduler.Monthly, anchor: "2026-01-31T09:00:00+01:00", after: "2026-02-01T00:00:00Z", want: "2026-02-28T09:00:00+01:00"},
		"and the 31st again in March":                                   {f: scheduler.Monthly, anchor: "2026-01-31T09:00:00+01:00", after: "2026-02-28T09:00:00+01:00", want: "2026-03-31T09:00:00+02:00"},
		"the finish is a point, if it is one":                           {f: scheduler.Daily, anchor: "2026-01-01T09:00:00+01:00", finish: "2026-01-03T09:00:00+01:00", after: "2026-01-02T09:00:00+01:00", want: "2026-01-03T09:00:00+01:00"},
		"nothing comes after it":                                        {f: scheduler.Daily, anchor: "2026-01-01T09:00:00+01:00", finish: "2026-01-03T09:00:00+01:00", after: "2026-01-03T09:00:00+01:00"},
		"what is not repeated comes once":                               {f: scheduler.FrequencyNone, anchor: "2026-01-01T09:00:00+01:00", after: "2026-01-01T09:00:00+01:00"},
		"a fraction of a second stays":                                  {f: scheduler.Monthly, anchor: "2026-01-31T09:00:00.095402+01:00", after: "2026-02-28T09:00:00+01:00", want: "2026-02-28T09:00:00.095402+01:00"},
		"an hour that is shown twice is one hour of the grid":           {f: scheduler.Hourly, anchor: "2026-10-01T00:15:00+02:00", after: "2026-10-25T02:15:00+02:00", want: "2026-10-25T03:15:00+01:00"},
		"two hours of the grid that come at once after the gap are one": {f: scheduler.Hourly, anchor: "2026-03-01T00:00:00+01:00", after: "2026-03-29T03:00:00+02:00", want: "2026-03-29T04:00:00+02:00"},
	} {
		g := scheduler.Grid{Frequency: c.f, Anchor: at(c.anchor), Zone: rome}
		if c.finish != "" {
			g.Finish = at(c.finish)
		}
		var want time.Time
		if c.want != "" {
			want = at(c.want)
		}
		if got := g.Next(at(c.after)); !got.Equal(want) {
			t.Errorf("%s: %s, want %s", name, got.In(rome), want.In(rome))
		}
	}
	for name, c := range map[string]struct {
		at         scheduler.TimeOfDay
		from, want string
	}{
		"later the same day":            {at: 9 * 3600, from: "2026-01-01T08:00:00+01:00", want: "2026-01-01T09:00:00+01:00"},
		"at that moment":                {at: 9 * 3600, from: "2026-01-01T09:00:00+01:00", want: "2026-01-01T09:00:00+01:00"},
		"tomorrow":                      {at: 9 * 3600, from: "2026-01-01T20:00:00+01:00", want: "2026-01-02T09:00:00+01:00"},
		"after the gap it is jumped in": {at: 2*3600 + 1800, from: "2026-03-28T20:00:00+01:00", want: "2026-03-29T03:00:00+02:00"},
		"the first of two":              {at: 2*3600 + 1800, from: "2026-10-24T20:00:00+02:00", want: "2026-10-25T02:30:00+02:00"},
	} {
		if got := scheduler.NextTimeOfDay(c.at, at(c.from), rome); !got.Equal(at(c.want)) {
			t.Errorf("a time of day %s: %s, want %s", name, got.In(rome), c.want)
		}
	}
}
