package scheduler

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

const hour TimeOfDay = 3600

func TestIntervalOpen(t *testing.T) {
	weekdays := Condition{StartDOW: 2, EndDOW: 6, StartTime: 9 * hour, EndTime: 18 * hour}
	night := Condition{StartTime: 2 * hour, EndTime: 3 * hour}
	cases := map[string]struct {
		zone       string
		conditions []Condition
		at         string // RFC 3339
		open       bool
		next       string // "": never
	}{
		"inside office hours":                               {"Europe/Rome", []Condition{weekdays}, "2026-03-27T10:00:00+01:00", true, ""},
		"the end is exclusive":                              {"Europe/Rome", []Condition{weekdays}, "2026-03-26T18:00:00+01:00", false, "2026-03-27T09:00:00+01:00"},
		"over a weekend on which the clock springs forward": {"Europe/Rome", []Condition{weekdays}, "2026-03-27T18:00:00+01:00", false, "2026-03-30T09:00:00+02:00"},
		"over a weekend on which the clock falls back":      {"Europe/Rome", []Condition{weekdays}, "2026-10-23T18:00:00+02:00", false, "2026-10-26T09:00:00+01:00"},
		"an hour that does not exist does not open":         {"Europe/Rome", []Condition{night}, "2026-03-28T12:00:00+01:00", false, "2026-03-30T02:00:00+02:00"},
		"an hour that comes twice opens":                    {"Europe/Rome", []Condition{night}, "2026-10-24T12:00:00+02:00", false, "2026-10-25T02:00:00+02:00"},
		"an hour that comes twice stays open":               {"Europe/Rome", []Condition{night}, "2026-10-25T02:30:00+01:00", true, ""},
		"the gap of New York opens what spans it":           {"America/New_York", []Condition{{StartTime: hour * 5 / 2, EndTime: 4 * hour}}, "2026-03-08T01:59:59-05:00", false, "2026-03-08T03:00:00-04:00"},
		"half an hour of Lord Howe comes twice":             {"Australia/Lord_Howe", []Condition{{StartTime: hour * 3 / 2, EndTime: 2 * hour}}, "2026-04-05T00:00:00+11:00", false, "2026-04-05T01:30:00+11:00"},
		"a zone without change":                             {"Asia/Tokyo", []Condition{weekdays}, "2026-03-29T12:00:00+09:00", false, "2026-03-30T09:00:00+09:00"},
		"days of the week wrap round":                       {"UTC", []Condition{{StartDOW: 3, EndDOW: 1}}, "2026-11-23T00:00:00Z", false, "2026-11-24T00:00:00Z"},
		"days of the month":                                 {"UTC", []Condition{{StartMDay: 31, EndMDay: 31}}, "2026-11-01T00:00:00Z", false, "2026-12-31T00:00:00Z"},
		"a month alone":                                     {"UTC", []Condition{{Month: 2}}, "2026-11-01T00:00:00Z", false, "2027-02-01T00:00:00Z"},
		"what is set must all hold":                         {"UTC", []Condition{{Month: 2, StartMDay: 30, EndMDay: 31}}, "2026-11-01T00:00:00Z", false, ""},
		"one condition is enough":                           {"UTC", []Condition{{Month: 2}, {StartTime: 0, EndTime: EndOfDay}}, "2026-11-01T00:00:00Z", true, ""},
		"to midnight and on":                                {"UTC", []Condition{{StartTime: 20 * hour, EndTime: EndOfDay}}, "2026-11-01T23:59:59Z", true, ""},
		"dates rule over all else": {"UTC", []Condition{{Month: 1, Start: wall(time.Date(2026, 12, 24, 8, 0, 0, 0, time.UTC)),
			End: wall(time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC))}}, "2026-11-01T00:00:00Z", false, "2026-12-24T08:00:00Z"},
		"dates that are over never come again": {"UTC", []Condition{{Start: 1, End: 2}}, "2026-11-01T00:00:00Z", false, ""},
	}
	for claim, c := range cases {
		t.Run(claim, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			open, next := Interval{Conditions: c.conditions}.Open(at, zone(t, c.zone))
			var want time.Time
			if c.next != "" {
				if want, err = time.Parse(time.RFC3339, c.next); err != nil {
					t.Fatal(err)
				}
			}
			if open != c.open || !next.Equal(want) {
				t.Errorf("open %v, next %s; want %v, %s", open, next, c.open, want)
			}
		})
	}
}

// minutes is the wall that much later.
func (w WallTime) minutes(n int) WallTime { return w + WallTime(60*n) }

// Whatever the conditions, the zone and the day of the year: what turns says is
// what stepping through every minute finds.
func TestIntervalAgreesWithEveryMinute(t *testing.T) {
	var zones []*time.Location
	for _, name := range []string{"Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo", "America/Sao_Paulo"} {
		zones = append(zones, zone(t, name))
	}
	quarter := func(rt *rapid.T, low, high int, label string) TimeOfDay {
		return TimeOfDay(rapid.IntRange(low, high).Draw(rt, label)) * hour / 4
	}
	rapid.Check(t, func(rt *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(rt, "zone")
		// Days round a change of the clock are the interesting ones.
		near := rapid.SampledFrom([]string{"2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01"}).Draw(rt, "near")
		from, _ := time.ParseInLocation(time.DateOnly, near, z)
		var i Interval
		for range rapid.IntRange(1, 3).Draw(rt, "conditions") {
			var c Condition
			if rapid.Bool().Draw(rt, "by day of the week") {
				c.StartDOW, c.EndDOW = rapid.IntRange(1, 7).Draw(rt, "dow"), rapid.IntRange(1, 7).Draw(rt, "to dow")
			}
			if rapid.Bool().Draw(rt, "by time") {
				c.StartTime = quarter(rt, 0, 95, "time")
				c.EndTime = quarter(rt, int(c.StartTime/(hour/4))+1, 96, "to time")
			}
			if rapid.Bool().Draw(rt, "by day of the month") {
				c.StartMDay = rapid.IntRange(1, 31).Draw(rt, "day")
				c.EndMDay = rapid.IntRange(c.StartMDay, 31).Draw(rt, "to day")
			}
			if rapid.IntRange(0, 3).Draw(rt, "by month") == 0 {
				c.Month = int(from.Month()) + rapid.IntRange(0, 1).Draw(rt, "month")
			}
			if rapid.IntRange(0, 3).Draw(rt, "by dates") == 0 {
				c.Start = wall(from).minutes(rapid.IntRange(-1440, 2880).Draw(rt, "start"))
				c.End = c.Start.minutes(rapid.IntRange(1, 2880).Draw(rt, "lasts"))
			}
			i.Conditions = append(i.Conditions, c)
		}
		from = from.Add(time.Duration(rapid.IntRange(-2880, 2880).Draw(rt, "minutes")) * time.Minute)
		var want time.Time
		was := i.holds(from)
		for step := from; step.Before(from.Add(60 * 24 * time.Hour)); step = step.Add(time.Minute) {
			if i.holds(step) != was {
				want = step
				break
			}
		}
		if want.IsZero() {
			return // nothing turns within two months
		}
		if got := i.turns(from, z); !got.Equal(want) {
			rt.Fatalf("from %s the window turns at %s, every minute says %s", from, got.In(z), want)
		}
	})
}

// The days on which the clock is changed, and one on which nothing is: how long a
// window from one to four o'clock is open.
func TestIntervalOnDaysOfChange(t *testing.T) {
	night := Interval{Conditions: []Condition{{StartTime: hour, EndTime: 4 * hour}}}
	for day, want := range map[string]time.Duration{
		"Europe/Rome 2026-03-29":         2 * time.Hour,
		"Europe/Rome 2026-10-25":         4 * time.Hour,
		"America/New_York 2026-03-08":    2 * time.Hour,
		"America/New_York 2026-11-01":    4 * time.Hour,
		"Australia/Lord_Howe 2026-10-04": 150 * time.Minute,
		"Australia/Lord_Howe 2026-04-05": 210 * time.Minute,
		"Asia/Tokyo 2026-03-29":          3 * time.Hour,
		"Asia/Tokyo 2026-10-25":          3 * time.Hour,
	} {
		t.Run(day, func(t *testing.T) {
			name, date, _ := strings.Cut(day, " ")
			z := zone(t, name)
			midnight, err := time.ParseInLocation(time.DateOnly, date, z)
			if err != nil {
				t.Fatal(err)
			}
			openings := night.Openings(midnight, midnight.AddDate(0, 0, 1), z, 9)
			if len(openings) != 1 {
				t.Fatalf("it opens %d times", len(openings))
			}
			o := openings[0]
			if got := o.Closes.Sub(o.Opens); got != want || o.Opens.In(z).Format(time.TimeOnly) != "01:00:00" || o.Closes.In(z).Format(time.TimeOnly) != "04:00:00" {
				t.Errorf("open for %s, from %s to %s, want %s", got, o.Opens.In(z), o.Closes.In(z), want)
			}
		})
	}
}
