package scheduler

import (
	"testing"
	"time"
)

func TestAttemptRows(t *testing.T) {
	now := began.Add(time.Minute)
	for claim, tc := range map[string]struct {
		tr   Transition
		want func(Attempt) bool
	}{
		"a start writes none":  {fresh().Start(now, "call1", "n1", 5), func(a Attempt) bool { return a.CallID == "" }},
		"a bridge writes none": {dialling().Connect(now), func(a Attempt) bool { return a.CallID == "" }},
		"an end tells how it began": {dialling().End(bBusy, now), func(a Attempt) bool {
			return a.CallID == "call1" && a.Number == 1 && a.StartedAt.Equal(began) && a.Node == "n1" &&
				a.ClientID == "c" && a.QueueID == 3 && a.TaskID == 41 && a.ExtensionID == 7 && a.From == "101" && a.To == "102" && a.Variables["k"] == "v"
		}},
		"a loss tells by whom it began": {with(dialling(), func(t *Task) { t.Node, t.Epoch = "n2", 9 }).Lose(now), func(a Attempt) bool {
			return a.Number == 1 && a.StartedAt.Equal(began) && a.Node == "n1" && a.TaskID == 41 && a.From == "101"
		}},
		"an end closes it with its legs": {dialling().End(bBusy, now), func(a Attempt) bool {
			return a.CallID == "call1" && a.EndedAt.Equal(began) && a.AnsweredAt.Equal(began) && a.Result == CallBusy && len(a.Legs) == 2
		}},
		"an end keeps the recorded bridge": {talking().End(bRinging, now), func(a Attempt) bool {
			return a.BridgedAt.Equal(began.Add(10*time.Second)) && a.Result == CallBridged
		}},
		"a release writes none": {dialling().Release(now), func(a Attempt) bool { return a.CallID == "" }},
		"a loss closes it as failed": {dialling().Lose(now), func(a Attempt) bool {
			return a.CallID == "call1" && a.EndedAt.Equal(now) && a.Result == CallFailed && a.HangupBy == InternalCancel && a.HangupCause != ""
		}},
		"the loss of a bridged one keeps the bridge": {talking().Lose(now), func(a Attempt) bool {
			return a.EndedAt.Equal(now) && a.Result == CallBridged && a.BridgedAt.Equal(began.Add(10*time.Second))
		}},
		"a drop writes none": {fresh().Drop(now, CommentExpired), func(a Attempt) bool { return a.CallID == "" }},
		"a refused end is closed as failed, without its legs": {refusedEnd(bBusy, now)(dialling()), func(a Attempt) bool {
			return a.CallID == "call1" && a.Result == CallFailed && a.EndedAt.Equal(now) && a.Legs == nil
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			if !tc.want(tc.tr.Attempt) {
				t.Errorf("attempt %+v", tc.tr.Attempt)
			}
		})
	}
}

// The cdr of a task is its latest call; a released one never was.
func TestCDR(t *testing.T) {
	first := dialling()
	if first.CallID != "call1" || first.PrevCallID != "" {
		t.Errorf("after the first start: %q, before it %q", first.CallID, first.PrevCallID)
	}
	released := first.Release(began).Task
	if released.CallID != "" {
		t.Errorf("after the first release: %q", released.CallID)
	}
	failed := first.End(aBusy, began).Task
	if failed.CallID != "call1" {
		t.Errorf("after the first end: %q", failed.CallID)
	}
	second := failed.Start(began, "call2", "n1", 5).Task
	if second.CallID != "call2" || second.PrevCallID != "call1" {
		t.Errorf("after the second start: %q, before it %q", second.CallID, second.PrevCallID)
	}
	released = second.Release(began).Task
	if released.CallID != "call1" {
		t.Errorf("after the second release: %q", released.CallID)
	}
	if again := released.Start(began, "call3", "n1", 5).Task.Release(began).Task; again.CallID != "call1" {
		t.Errorf("after another release: %q", again.CallID)
	}
	if lost := second.Lose(began).Task; lost.CallID != "call2" {
		t.Errorf("after a loss: %q", lost.CallID)
	}
}

func TestANewAttemptIsNotBridged(t *testing.T) {
	task := with(fresh(), func(t *Task) { t.BridgedAt = began })
	if got := task.Start(began, "call1", "n1", 5).Task; !got.BridgedAt.IsZero() {
		t.Errorf("bridged at %v", got.BridgedAt)
	}
}

func TestASuccessIsTimedByItsBridge(t *testing.T) {
	events := dialling().End(connected, began.Add(time.Hour)).Events
	if len(events) != 2 || !events[0].At.Equal(connected.BridgedAt) || !events[1].At.Equal(began.Add(time.Hour)) {
		t.Errorf("events %+v", events)
	}
}

// Free attempts are put off by 1, 2, 4 … 60 seconds until something is
// signalled; after a day of them the task fails.
func TestReleasesBackOff(t *testing.T) {
	task, now := fresh(), began
	for i, pause := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		task = task.Start(now, "call", "n1", 5).Task.Release(now).Task
		if got := task.ReadyAt.Sub(now); got != time.Duration(pause)*time.Second {
			t.Fatalf("pause %d is %v, want %d s", i+1, got, pause)
		}
		now = task.ReadyAt
	}
	if !task.FreeSince.Equal(began) {
		t.Errorf("free since %v, want the first release at %v", task.FreeSince, began)
	}
	for claim, ended := range map[string]Transition{
		"a signalled attempt": task.Start(now, "call", "n1", 5).Task.End(aBusy, now),
		"a lost attempt":      task.Start(now, "call", "n1", 5).Task.Lose(now),
	} {
		fast := ended.Task.Start(now, "call", "n1", 5).Task.Release(now)
		if got := fast.Task.ReadyAt.Sub(now); got != time.Second || !fast.Task.FreeSince.Equal(now) {
			t.Errorf("after %s the pause is %v, free since %v", claim, got, fast.Task.FreeSince)
		}
	}
}

func TestADayOfReleases(t *testing.T) {
	day := 24 * time.Hour
	for claim, tc := range map[string]struct {
		change func(*Task)
		after  time.Duration
		want   string
	}{
		"a moment less than a day goes on":            {func(*Task) {}, day - 1, `scheduled in 2s, slot -1, 0 begun, 0+0 spent`},
		"a day fails the task":                        {func(*Task) {}, day, `finished failed "local_error", slot -1, 0 begun, 0+0 spent, after#2`},
		"a task with a deadline goes on":              {func(t *Task) { t.Deadline = began.Add(3 * day) }, 2 * day, `scheduled in 2s, slot -1, 0 begun, 0+0 spent`},
		"a deadline ends it":                          {func(t *Task) { t.Deadline = began.Add(day) }, day, `finished failed "expired", slot -1, 0 begun, 0+0 spent, after#2`},
		"a cancel is not told as an error of our own": {func(t *Task) { t.CancelRequested = true }, day, `finished failed "cancelled", slot -1, 0 begun, 0+0 spent, after#2`},
	} {
		t.Run(claim, func(t *testing.T) {
			once := dialling().Release(began).Task
			now := began.Add(tc.after)
			tr := with(once.Start(now, "call", "n1", 5).Task, tc.change).Release(now)
			if got := told(tr); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}
