package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
)

func TestScheduleOfAccountTasks(t *testing.T) {
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		task   scheduler.AccountTask
		next   time.Time
		missed bool
		status scheduler.AccountTaskStatus
	}{
		"once, without a start, is now":                  {scheduler.AccountTask{Enabled: true}, now, false, "ACTIVE"},
		"once, just before, is now":                      {scheduler.AccountTask{Enabled: true, StartAt: in(-time.Hour)}, now, false, "ACTIVE"},
		"once, more than an hour ago, is missed":         {scheduler.AccountTask{Enabled: true, StartAt: in(-time.Hour - time.Second)}, time.Time{}, true, "COMPLETED"},
		"also if its finish is past, too":                {scheduler.AccountTask{Enabled: true, StartAt: in(-day), FinishAt: in(-day)}, time.Time{}, true, "COMPLETED"},
		"once, later, is then":                           {scheduler.AccountTask{Enabled: true, StartAt: in(day)}, in(day), false, "ACTIVE"},
		"once, now, after its finish, is never":          {scheduler.AccountTask{Enabled: true, StartAt: in(-time.Minute), FinishAt: in(-time.Second)}, time.Time{}, false, "EXPIRED"},
		"once, disabled, is not":                         {scheduler.AccountTask{StartAt: in(day)}, time.Time{}, false, "DISABLED"},
		"daily without a start begins now":               {scheduler.AccountTask{Enabled: true, Frequency: scheduler.Daily}, now, false, "ACTIVE"},
		"daily begins at a later start":                  {scheduler.AccountTask{Enabled: true, Frequency: scheduler.Daily, StartAt: in(3 * day)}, in(3 * day), false, "ACTIVE"},
		"daily from the past runs at the next point":     {scheduler.AccountTask{Enabled: true, Frequency: scheduler.Daily, StartAt: in(-3*day + time.Hour)}, in(time.Hour), false, "ACTIVE"},
		"daily with a finish in the past is expired":     {scheduler.AccountTask{Enabled: true, Frequency: scheduler.Daily, StartAt: in(-3 * day), FinishAt: in(-day)}, time.Time{}, false, "EXPIRED"},
		"daily, its last point being its finish, is due": {scheduler.AccountTask{Enabled: true, Frequency: scheduler.Daily, StartAt: in(-3 * day), FinishAt: now}, now, false, "ACTIVE"},
	} {
		got, missed := c.task.Schedule(now, time.UTC)
		if !got.NextAt.Equal(c.next) || (missed != nil) != c.missed || got.Status() != c.status {
			t.Errorf("%s: next %s, missed %v, %s", name, got.NextAt, missed, got.Status())
		}
	}
}

func TestTurnsOfAccountTasks(t *testing.T) {
	start := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	hourly := scheduler.AccountTask{ID: "t", Enabled: true, Frequency: scheduler.Hourly, StartAt: start}
	once := scheduler.AccountTask{ID: "t", Enabled: true, StartAt: start}
	for name, c := range map[string]struct {
		task    scheduler.AccountTask
		late    time.Duration // when it is looked at, after the start
		running bool
		states  string
		at      time.Duration // the last run's time, after the start
		next    time.Duration // after the start; -1: never
		status  scheduler.AccountTaskStatus
	}{
		"in time":                            {task: hourly, states: "running", next: time.Hour, status: "ACTIVE"},
		"a little late":                      {task: hourly, late: 59 * time.Minute, states: "running", next: time.Hour, status: "ACTIVE"},
		"only the latest of what was missed": {task: hourly, late: 5*time.Hour + time.Minute, states: "missed running", at: 5 * time.Hour, next: 6 * time.Hour, status: "ACTIVE"},
		"still under way":                    {task: hourly, running: true, states: "skipped", next: time.Hour, status: "ACTIVE"},
		"once":                               {task: once, states: "running", next: -1, status: "EXPIRED"},
		"once, within an hour":               {task: once, late: time.Hour, states: "running", next: -1, status: "EXPIRED"},
		"once, too late":                     {task: once, late: time.Hour + time.Second, states: "missed", next: -1, status: "COMPLETED"},
	} {
		task, _ := c.task.Schedule(start.Add(-time.Minute), time.UTC)
		task.Running = c.running
		got, runs := task.Turn(start.Add(c.late), time.UTC)
		got.Running = false
		var states []string
		for _, r := range runs {
			states = append(states, string(r.State))
		}
		want := start.Add(c.next)
		if c.next < 0 {
			want = time.Time{}
		}
		if strings.Join(states, " ") != c.states || !got.NextAt.Equal(want) || got.Status() != c.status {
			t.Errorf("%s: %v, next %s, %s", name, states, got.NextAt, got.Status())
		}
		if last := runs[len(runs)-1]; !last.ScheduledFor.Equal(start.Add(c.at)) && last.State != scheduler.RunMissed {
			t.Errorf("%s: it is for %s", name, last.ScheduledFor)
		}
		if runs[0].State == scheduler.RunMissed && c.task.Frequency == scheduler.Hourly && runs[0].Times != 5 {
			t.Errorf("%s: %d were missed, want 5", name, runs[0].Times)
		}
	}
}

func TestChangesOfAccountTasks(t *testing.T) {
	start := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	now := start.Add(90 * time.Minute)
	is, _ := scheduler.AccountTask{Enabled: true, Frequency: scheduler.Hourly, StartAt: start}.Schedule(start, time.UTC)
	is.NextAt = start.Add(2 * time.Hour)
	for name, c := range map[string]struct {
		change func(*scheduler.AccountTask)
		next   time.Time
		status scheduler.AccountTaskStatus
	}{
		"what is no time leaves the next run": {func(t *scheduler.AccountTask) { t.Parameters = "{}" }, start.Add(2 * time.Hour), "ACTIVE"},
		"another start makes another grid":    {func(t *scheduler.AccountTask) { t.StartAt = start.Add(15 * time.Minute) }, start.Add(2*time.Hour + 15*time.Minute - time.Hour + time.Hour), "ACTIVE"},
		"another frequency, too":              {func(t *scheduler.AccountTask) { t.Frequency = scheduler.Daily }, start.Add(24 * time.Hour), "ACTIVE"},
		"no start means from now on":          {func(t *scheduler.AccountTask) { t.StartAt = time.Time{} }, now, "ACTIVE"},
		"disabled, it has no next run":        {func(t *scheduler.AccountTask) { t.Enabled = false }, time.Time{}, "DISABLED"},
		"a finish in the past ends it":        {func(t *scheduler.AccountTask) { t.FinishAt = start }, time.Time{}, "EXPIRED"},
		"once, and over":                      {func(t *scheduler.AccountTask) { t.Frequency = scheduler.FrequencyNone }, time.Time{}, "COMPLETED"},
	} {
		changed := is
		c.change(&changed)
		got, _ := changed.Change(is, now, time.UTC)
		if !got.NextAt.Equal(c.next) || got.Status() != c.status {
			t.Errorf("%s: next %s, %s", name, got.NextAt, got.Status())
		}
	}
	off := is
	off.Enabled = false
	off, _ = off.Change(is, now, time.UTC)
	on := off
	on.Enabled = true
	if on, _ = on.Change(off, start.Add(10*time.Hour+time.Second), time.UTC); !on.NextAt.Equal(start.Add(11 * time.Hour)) {
		t.Errorf("enabled again it runs at %s, want the next point of the same grid", on.NextAt)
	}
}

// A task that runs once is over when its own time was, not when somebody ran it.
func TestChangesOfATaskThatRunsOnce(t *testing.T) {
	now := time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)
	start := now.Add(24 * time.Hour)
	waits, _ := scheduler.AccountTask{Enabled: true, StartAt: start}.Schedule(now, time.UTC)
	byHand := waits
	byHand.LastState = scheduler.RunSucceeded
	disabled := byHand
	disabled.Enabled, disabled.NextAt = false, time.Time{}
	running := waits
	running.Running, running.NextAt, running.Anchor, running.StartAt = true, time.Time{}, now.Add(-time.Minute), now.Add(-time.Minute)
	for claim, c := range map[string]struct {
		was    scheduler.AccountTask
		change func(*scheduler.AccountTask)
		next   time.Time
	}{
		"disabled, it waits for nothing":                {waits, func(t *scheduler.AccountTask) { t.Enabled = false }, time.Time{}},
		"also after somebody ran it":                    {byHand, func(t *scheduler.AccountTask) { t.Enabled = false }, time.Time{}},
		"a finish before its time ends it":              {byHand, func(t *scheduler.AccountTask) { t.FinishAt = now.Add(time.Hour) }, time.Time{}},
		"a finish after it changes nothing":             {byHand, func(t *scheduler.AccountTask) { t.FinishAt = start.Add(time.Hour) }, start},
		"enabled again, its time is what it was":        {disabled, func(t *scheduler.AccountTask) { t.Enabled = true }, start},
		"while it runs, another finish begins no other": {running, func(t *scheduler.AccountTask) { t.FinishAt = start }, time.Time{}},
	} {
		changed := c.was
		c.change(&changed)
		if got, missed := changed.Change(c.was, now, time.UTC); !got.NextAt.Equal(c.next) || missed != nil {
			t.Errorf("%s: next %s, want %s; missed %v", claim, got.NextAt, c.next, missed)
		}
	}
}
