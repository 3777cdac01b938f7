package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestForecast(t *testing.T) {
	now := began.Truncate(time.Second)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	on := Queue{On: true}
	for claim, tc := range map[string]struct {
		outlook Outlook
		due     string // of the tasks, in seconds; one with ! misses a deadline 100 s away
		want    string
	}{
		"an idle queue starts at once":             {Outlook{Queue: on}, "0 0 -5 30", "0 0 0 30"},
		"no more than the limit at one time":       {Outlook{Queue: Queue{On: true, Limit: 2}, Lasts: 10 * time.Second}, "0 0 0 0 0 25", "0 0 10 10 20 25"},
		"what is up ends one by one":               {Outlook{Queue: Queue{On: true, Limit: 2}, Runtime: Runtime{Running: 2}, Lasts: 10 * time.Second}, "0 0 0", "5 10 15"},
		"a lowered limit waits for more of it":     {Outlook{Queue: Queue{On: true, Limit: 1}, Runtime: Runtime{Running: 2}, Lasts: 10 * time.Second}, "0 0", "10 20"},
		"an attempt of nobody knows how long":      {Outlook{Queue: Queue{On: true, Limit: 1}}, "0 0", "0 60"},
		"starts are spaced":                        {Outlook{Queue: Queue{On: true, StartRate: 0.1}}, "0 0 0 25", "0 10 20 30"},
		"after the start that is next":             {Outlook{Queue: Queue{On: true, StartRate: 0.1}, Runtime: Runtime{NextStart: in(7 * time.Second)}}, "0 0", "7 17"},
		"what waits comes first":                   {Outlook{Queue: Queue{On: true, StartRate: 0.1}, Waiting: []Backlog{{now, 2}, {in(5 * time.Second), 1}}}, "0 5 6", "20 40 50"},
		"what is due later does not":               {Outlook{Queue: Queue{On: true, StartRate: 0.1}, Waiting: []Backlog{{in(time.Minute), 5}}}, "0 1", "0 10"},
		"they start by when they are due":          {Outlook{Queue: Queue{On: true, StartRate: 0.1}}, "3 0 3 1", "20 0 30 10"},
		"not before the window opens":              {Outlook{Queue: Queue{On: true, StartRate: 0.1}, Window: windowFrom(time.Minute, time.Hour)}, "0 0 90", "60 70 90"},
		"nor after it closes for good":             {Outlook{Queue: Queue{On: true, StartRate: 0.1}, Window: windowFrom(0, 15*time.Second)}, "0 0 0", "0 10 never"},
		"not while the brake is open":              {Outlook{Queue: Queue{On: true}, Runtime: Runtime{Brake: Brake{State: BrakeOpen, Until: in(40 * time.Second)}}}, "0 50", "40 50"},
		"nor while something else holds":           {Outlook{Queue: Queue{On: true}, Runtime: Runtime{Hold: Hold{Gate: GateDialer, Until: in(3 * time.Second)}}}, "0", "3"},
		"the window's former opening is past":      {Outlook{Queue: on, Runtime: Runtime{Hold: Hold{Gate: GateInterval, Until: in(time.Hour)}}}, "0", "0"},
		"a queue that is off starts nothing":       {Outlook{Queue: Queue{}}, "0 0!", "never never!"},
		"a deleted one neither":                    {Outlook{Queue: Queue{On: true, DeletedAt: now}}, "0", "never"},
		"a deadline is told, if it is missed":      {Outlook{Queue: Queue{On: true, StartRate: 0.01}}, "0! 0! 0", "0 100! 100"},
		"one that can be met is not":               {Outlook{Queue: Queue{On: true, StartRate: 0.02}}, "0! 0! 0!", "0 50 100!"},
		"a deadline in a window that never opens":  {Outlook{Queue: on, Window: windowFrom(-time.Hour, -time.Minute)}, "0! 0", "never! never"},
		"a million that wait and hold back nobody": {Outlook{Queue: on, Waiting: []Backlog{{now, 1_000_000}}}, "0", "0"},
	} {
		t.Run(claim, func(t *testing.T) {
			var tasks []Task
			for _, word := range strings.Fields(tc.due) {
				word, misses := strings.CutSuffix(word, "!")
				d, err := time.ParseDuration(word + "s")
				if err != nil {
					t.Fatal(err)
				}
				task := Task{ReadyAt: in(d)}
				if misses {
					task.Deadline = in(100 * time.Second)
				}
				tasks = append(tasks, task)
			}
			if got := toldForecast(tc.outlook.Forecast(tasks, now), now); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func toldForecast(all []Forecast, now time.Time) string {
	var words []string
	for _, f := range all {
		word := "never"
		if !f.Start.IsZero() {
			word = fmt.Sprint(f.Start.Sub(now).Seconds())
		}
		if f.Misses {
			word += "!"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// A forecast is what Plan does if it is asked every second and every attempt
// lasts as long as was expected.
func TestForecastIsWhatPlanDoes(t *testing.T) {
	now := began.Truncate(time.Second)
	rapid.Check(t, func(t *rapid.T) {
		second := func(name string, from, to int) time.Time {
			return now.Add(time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Second)
		}
		o := Outlook{Queue: Queue{ID: 1, On: true, Limit: rapid.IntRange(0, 3).Draw(t, "limit")}, Lasts: 12 * time.Second}
		o.Runtime.Running = rapid.IntRange(0, 3).Draw(t, "running")
		if rapid.Bool().Draw(t, "rated") {
			o.Queue.StartRate, o.Runtime.NextStart = 0.5, second("next start", -3, 9)
		}
		if rapid.Bool().Draw(t, "held") {
			o.Runtime.Hold = Hold{Gate: GateDialer, Until: second("until", -3, 30)}
		}
		if rapid.Bool().Draw(t, "windowed") {
			from := rapid.IntRange(-20, 40).Draw(t, "opens")
			o.Window = windowFrom(time.Duration(from)*time.Second, time.Duration(from+rapid.IntRange(1, 60).Draw(t, "for"))*time.Second)
		}
		var heads []Head
		waiting := map[time.Time]int{}
		for i := range rapid.IntRange(0, 5).Draw(t, "waiting") {
			due := second("due", -3, 30)
			waiting[due]++
			heads = append(heads, Head{Task: TaskID(i + 1), Due: later(due, now)})
		}
		for at := -3; at <= 30; at++ {
			if n := waiting[now.Add(time.Duration(at)*time.Second)]; n > 0 {
				o.Waiting = append(o.Waiting, Backlog{now.Add(time.Duration(at) * time.Second), n})
			}
		}
		tasks := make([]Task, rapid.IntRange(1, 6).Draw(t, "tasks"))
		for i := range tasks {
			tasks[i] = Task{ID: TaskID(100 + i), ReadyAt: later(second("start", -3, 30), now)}
			heads = append(heads, Head{Task: tasks[i].ID, Due: tasks[i].ReadyAt})
		}
		starts := playPlan(o, heads, now)
		for i, f := range o.Forecast(tasks, now) {
			if want := starts[tasks[i].ID]; !f.Start.Equal(want) {
				t.Fatalf("task %d starts at %s, Plan starts it at %s: %+v", i, f.Start, want, o)
			}
		}
	})
}

// playPlan asks Plan every second for a while and returns when what started.
func playPlan(o Outlook, heads []Head, now time.Time) map[TaskID]time.Time {
	r := Ready{Queue: o.Queue, Runtime: o.Runtime, Window: o.Window}
	starts, ends := map[TaskID]time.Time{}, map[time.Time]int{}
	for i := range o.Runtime.Running {
		ends[now.Add(o.Lasts*time.Duration(i+1)/time.Duration(o.Runtime.Running))]++
	}
	for at := now; at.Before(now.Add(5 * time.Minute)); at = at.Add(time.Second) {
		r.Runtime.Running -= ends[at]
		r.Head = nil
		for due := now; !due.After(at); due = due.Add(time.Second) {
			for _, h := range heads {
				if _, started := starts[h.Task]; !started && h.Due.Equal(due) {
					r.Head = append(r.Head, h)
				}
			}
		}
		v := Plan([]Ready{r}, 99, at)[0]
		for _, id := range v.Start {
			starts[id] = at
			ends[at.Add(o.Lasts)]++
			r.Runtime.Running++
		}
		r.Runtime.NextStart, r.Runtime.Hold = v.NextStart, v.Hold
	}
	return starts
}
