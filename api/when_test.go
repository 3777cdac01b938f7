package api

import (
	"errors"
	"testing"
	"time"
)

func TestParseStart(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC)
	for claim, tc := range map[string]struct {
		given string
		want  time.Time
		err   error
	}{
		"a date is UTC":                        {"2026-03-04 15:06:07", at, nil},
		"stray spaces in the time are fine":    {"2026-03-04 15: 06: 07", at, nil},
		"stray spaces round it are fine":       {"  2026-03-04   15:06:07 ", at, nil},
		"stray spaces in the date are fine":    {"2026- 03-04 15:06:07", at, nil},
		"seconds are from now":                 {"90", now.Add(90 * time.Second), nil},
		"no seconds are now":                   {"0", now, nil},
		"a past date is fine":                  {"2020-01-01 00:00:00", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), nil},
		"seconds before now are nonsense":      {"-5", time.Time{}, errStart},
		"a day that does not exist":            {"2026-02-30 00:00:00", time.Time{}, errStart},
		"a 13th month":                         {"2026-13-01 00:00:00", time.Time{}, errStart},
		"a 25th hour":                          {"2026-01-01 25:00:00", time.Time{}, errStart},
		"a date alone":                         {"2026-03-04", time.Time{}, errStart},
		"words":                                {"tomorrow", time.Time{}, errStart},
		"nothing":                              {"", time.Time{}, errStart},
		"another form":                         {"2026-03-04T15:06:07Z", time.Time{}, errStart},
		"more seconds than ten years":          {"999999999999", time.Time{}, errAhead},
		"more seconds than there are integers": {"99999999999999999999", time.Time{}, errStart},
		"a date in a thousand years":           {"3026-01-01 00:00:00", time.Time{}, errAhead},
	} {
		t.Run(claim, func(t *testing.T) {
			got, err := parseStart(tc.given, now)
			if !got.Equal(tc.want) || !errors.Is(err, tc.err) {
				t.Errorf("%q: %v, %v; want %v, %v", tc.given, got, err, tc.want, tc.err)
			}
		})
	}
}

func FuzzParseStart(f *testing.F) {
	for _, s := range []string{"2026-03-04 15:06:07", "90", " 2026-03-04  15: 06: 07", "-1", "\x00", "2026-03-04 15:06:07.5"} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, given string) {
		got, err := parseStart(given, now)
		if err != nil {
			return
		}
		if got.Year() < 0 || got.Year() > 9999 || got.Sub(now) > maxAhead {
			t.Fatalf("%q is %v", given, got)
		}
		if again, err := parseStart(date(got), now); err != nil || !again.Equal(got.Truncate(time.Second)) {
			t.Fatalf("%q is told as %q, which is %v, %v", given, date(got), again, err)
		}
	})
}
