package store

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/scheduler"
)

func TestRuns(t *testing.T) {
	for claim, c := range map[string]struct {
		ids  []scheduler.TaskID
		text string
	}{
		"none":                   {nil, ""},
		"one":                    {[]scheduler.TaskID{7}, "7"},
		"neighbours are a run":   {[]scheduler.TaskID{1, 2, 3, 7}, "1-3,7"},
		"a run may stand last":   {[]scheduler.TaskID{1, 5, 6}, "1,5-6"},
		"a task is named once":   {[]scheduler.TaskID{4, 4, 5, 5}, "4-5"},
		"the same one is no run": {[]scheduler.TaskID{4, 4}, "4"},
	} {
		if got := runs(c.ids); got != c.text {
			t.Errorf("%s: %v is spelt %q", claim, c.ids, got)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		ids := rapid.SliceOf(rapid.Map(rapid.Int64Range(1, 50), func(n int64) scheduler.TaskID { return scheduler.TaskID(n) })).Draw(rt, "ids")
		slices.Sort(ids)
		got, err := parseRuns[scheduler.TaskID](runs(ids))
		if want := slices.Compact(ids); err != nil || !slices.Equal(got, want) {
			rt.Fatalf("%v came back as %v, %v", want, got, err)
		}
	})
}

func TestAnew(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hold := func(gate scheduler.Gate, until time.Duration) scheduler.Hold {
		return scheduler.Hold{Gate: gate, Until: now.Add(until)}
	}
	for claim, c := range map[string]struct {
		is, was scheduler.Hold
		want    bool
	}{
		"a first hold is news":                           {hold("asr", time.Hour), scheduler.Hold{}, true},
		"so is its end":                                  {scheduler.Hold{}, hold("asr", time.Hour), true},
		"the same one is not":                            {hold("asr", time.Hour), hold("asr", time.Hour), false},
		"a hold that is prolonged is not":                {hold("asr", 2*time.Hour), hold("asr", time.Hour), false},
		"another one of the gate, after its end, is":     {hold("asr", time.Hour), hold("asr", -time.Second), true},
		"to look again is not, however often":            {hold("extension_limit", time.Second/4), hold("extension_limit", -time.Second), false},
		"another gate is":                                {hold("interval", time.Hour), hold("asr", time.Hour), true},
		"a hold that is over, and not looked at, is not": {hold("asr", -time.Second), hold("asr", -time.Second), false},
	} {
		if got := anew(c.is, c.was, now); got != c.want {
			t.Errorf("%s: %v", claim, got)
		}
	}
}
