package scheduler

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// windowFrom is a window of UTC that is open from began+open to began+closed.
func windowFrom(open, closed time.Duration) Window {
	return Window{Zone: time.UTC, Interval: Interval{Name: "office", TimeZone: "UTC", Conditions: []Condition{{
		Start: wall(began.Truncate(time.Second).Add(open)), End: wall(began.Truncate(time.Second).Add(closed)),
	}}}}
}

func TestPlanKeepsToTheWindow(t *testing.T) {
	opens := began.Truncate(time.Second).Add(time.Hour)
	dialer := func(in time.Duration) Hold { return Hold{Gate: GateDialer, Until: began.Add(in), Detail: "no trunk"} }
	old := Hold{Gate: GateInterval, Until: began.Add(time.Minute), Detail: "of a window that was changed"}
	for claim, tc := range map[string]struct {
		window Window
		held   Hold
		want   string
		until  time.Time
	}{
		"no window is always open":                      {Window{}, Hold{}, "1:[1 2][] ", time.Time{}},
		"an open window starts":                         {windowFrom(-time.Hour, time.Hour), Hold{}, "1:[1 2][] ", time.Time{}},
		"a closed window holds until it opens":          {windowFrom(time.Hour, 2*time.Hour), Hold{}, "1:[][]interval ", opens},
		"a window that never opens finishes what waits": {windowFrom(-2*time.Hour, -time.Hour), Hold{}, "1:[][{1 interval never opens} {2 interval never opens}] ", time.Time{}},
		"the former opening of an open window is past":  {windowFrom(-time.Hour, time.Hour), old, "1:[1 2][] ", time.Time{}},
		"the former opening of a closed window is past": {windowFrom(time.Hour, 2*time.Hour), old, "1:[][]interval ", opens},
		"another hold stays in an open window":          {windowFrom(-time.Hour, time.Hour), dialer(time.Second), "1:[][]dialer ", began.Add(time.Second)},
		"of two holds the longer is told":               {windowFrom(time.Hour, 2*time.Hour), dialer(2 * time.Hour), "1:[][]dialer ", began.Add(2 * time.Hour)},
		"a shorter hold does not open a window":         {windowFrom(time.Hour, 2*time.Hour), dialer(time.Second), "1:[][]interval ", opens},
	} {
		t.Run(claim, func(t *testing.T) {
			r := ready(1, 0, 0, heads(1, 2))
			r.Window, r.Runtime.Hold = tc.window, tc.held
			vs := Plan([]Ready{r}, 9, began)
			if got := decided(vs); got != tc.want || !vs[0].Hold.Until.Equal(tc.until) {
				t.Errorf("decided %q until %s, want %q until %s", got, vs[0].Hold.Until, tc.want, tc.until)
			}
			if hold := vs[0].Hold; hold.Gate == GateInterval && !strings.Contains(hold.Detail, `"office" opens on Fri 2 Jan 2026 04:04 UTC`) {
				t.Errorf("the detail is %q", hold.Detail)
			}
			if got := (Runtime{Hold: tc.held}).At(tc.window, began).Hold; got != vs[0].Hold {
				t.Errorf("a reader sees %+v, the claim %+v", got, vs[0].Hold)
			}
		})
	}
}

// rated is a queue with five due tasks and a start rate, whose next start may
// be in a while.
func rated(rate float64, next time.Duration) Ready {
	r := ready(1, 0, 0, heads(1, 2, 3, 4, 5))
	r.Queue.StartRate, r.Runtime.NextStart = rate, began.Add(next)
	return r
}

func TestPlanKeepsToTheStartRate(t *testing.T) {
	for claim, tc := range map[string]struct {
		ready Ready
		want  string
		next  time.Duration
	}{
		"one start a claim":                        {rated(10, 0), "1:[1][] ", 100 * time.Millisecond},
		"a slow rate is spaced by its seconds":     {rated(0.001, 0), "1:[1][] ", 1000 * time.Second},
		"nothing before the next start":            {rated(10, 1), "1:[][] ", 1},
		"a pause is not caught up":                 {rated(10, -time.Hour), "1:[1][] ", 100 * time.Millisecond},
		"without a rate the next start is nothing": {rated(0, time.Hour), "1:[1 2 3 4 5][] ", time.Hour},
		"what is dropped takes no start": {where(rated(10, 0), func(r *Ready) {
			r.Head[0].Blocked = true
		}), "1:[2][{1 extension blocked}] ", 100 * time.Millisecond},
		"a full queue keeps its next start": {where(rated(10, 0), func(r *Ready) {
			r.Queue.Limit, r.Runtime.Running = 1, 1
		}), "1:[][] ", 0},
	} {
		t.Run(claim, func(t *testing.T) {
			vs := Plan([]Ready{tc.ready}, 9, began)
			if got := decided(vs); got != tc.want || !vs[0].NextStart.Equal(began.Add(tc.next)) {
				t.Errorf("decided %q, next start in %s; want %q, %s", got, vs[0].NextStart.Sub(began), tc.want, tc.next)
			}
		})
	}
}

func TestReconsider(t *testing.T) {
	closed := Hold{Gate: GateInterval, Until: began.Add(time.Hour)}
	dialer := Hold{Gate: GateDialer, Until: began.Add(time.Hour)}
	for claim, tc := range map[string]struct {
		was  Runtime
		rate float64
		want Runtime
	}{
		"the window is looked at anew":           {Runtime{Hold: closed}, 0, Runtime{}},
		"another hold stays":                     {Runtime{Hold: dialer}, 0, Runtime{Hold: dialer}},
		"a faster rate holds at once":            {Runtime{NextStart: began.Add(time.Hour)}, 2, Runtime{NextStart: began.Add(time.Second / 2)}},
		"a slower rate does not start sooner":    {Runtime{NextStart: began.Add(time.Second)}, 0.1, Runtime{NextStart: began.Add(time.Second)}},
		"without a rate the next starts at once": {Runtime{NextStart: began.Add(time.Hour)}, 0, Runtime{NextStart: began}},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := tc.was.Reconsider(Queue{On: true, StartRate: tc.rate}, began); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("became %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestIntervalCheck(t *testing.T) {
	const h = hour
	for claim, tc := range map[string]struct {
		condition Condition
		fields    []string
	}{
		"days of the week may wrap":                {Condition{StartDOW: 6, EndDOW: 2}, nil},
		"one day of the week":                      {Condition{StartDOW: 7, EndDOW: 7}, nil},
		"one day of the month":                     {Condition{StartMDay: 31, EndMDay: 31}, nil},
		"a month alone":                            {Condition{Month: 12}, nil},
		"from midnight to midnight":                {Condition{EndTime: EndOfDay}, nil},
		"a condition that never holds":             {Condition{Month: 2, StartMDay: 30, EndMDay: 31}, nil},
		"dates":                                    {Condition{Start: 1, End: 2}, nil},
		"nothing":                                  {Condition{}, []string{"C"}},
		"a start without an end":                   {Condition{StartDOW: 1, StartMDay: 1, StartTime: h, Start: 1}, []string{"C.EndDOW", "C.EndMDay", "C.StartTime", "C.End"}},
		"an end without a start":                   {Condition{EndDOW: 1, EndMDay: 1, End: 1}, []string{"C.StartDOW", "C.StartMDay", "C.Start"}},
		"days beyond the week, month and year":     {Condition{StartDOW: 8, EndDOW: 8, StartMDay: 32, EndMDay: 32, Month: 13}, []string{"C.StartDOW", "C.EndDOW", "C.StartMDay", "C.EndMDay", "C.Month"}},
		"days before the week, month and year":     {Condition{StartDOW: -1, EndDOW: -1, StartMDay: -1, EndMDay: -1, Month: -1}, []string{"C.StartDOW", "C.EndDOW", "C.StartMDay", "C.EndMDay", "C.Month"}},
		"a start after the end":                    {Condition{StartMDay: 2, EndMDay: 1, StartTime: 2, EndTime: 1, Start: 2, End: 1}, []string{"C.StartMDay", "C.StartTime", "C.Start"}},
		"a start that is the end, which is not in": {Condition{StartTime: h, EndTime: h, Start: 1, End: 1}, []string{"C.StartTime", "C.Start"}},
	} {
		t.Run(claim, func(t *testing.T) {
			var faults Faults
			tc.condition.check("C.", &faults)
			var fields []string
			for _, f := range faults {
				fields = append(fields, f.Field)
			}
			if !slices.Equal(fields, tc.fields) {
				t.Errorf("faults %+v, want %v", faults, tc.fields)
			}
		})
	}
}
