package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// legal is the table of the steps of a task: from which status to which.
// docs/lifecycle.md tells it.
var legal = map[Step]map[Status][]Status{
	StepStart:   {Scheduled: {Executed}, Delayed: {Executed}},
	StepConnect: {Executed: {Executed}},
	StepEnd:     {Executed: {Delayed, Finished}},
	StepRelease: {Executed: {Scheduled, Delayed, Finished}},
	StepLose:    {Executed: {Delayed, Finished}},
	StepCancel:  {Scheduled: {Finished}, Delayed: {Finished}, Executed: {Executed}},
	StepDrop:    {Scheduled: {Finished}, Delayed: {Finished}},
}

// walker is a few tasks of one queue, and what was written of them.
type walker struct {
	now     time.Time
	rows    []Task
	running int
	history [][]Event
	talked  []bool // A and B were connected, as far as anything says so
	calls   int
}

// A thousand walks: whatever happens to tasks, in any order, no rule breaks.
func TestRandomWalk(t *testing.T) {
	for range 10 {
		rapid.Check(t, walk)
	}
}

func walk(t *rapid.T) {
	w := &walker{now: began}
	for range rapid.IntRange(3, 9).Draw(t, "tasks") {
		w.rows = append(w.rows, randomTask(t))
	}
	w.history, w.talked = make([][]Event, len(w.rows)), make([]bool, len(w.rows))
	w.check(t)
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		alive := w.alive()
		if len(alive) == 0 {
			break
		}
		w.step(t, rapid.SampledFrom(alive).Draw(t, "task"))
		w.check(t)
	}
}

func randomTask(t *rapid.T) Task {
	task := fresh()
	task.TryCount = 7 - rapid.IntRange(1, 6).Draw(t, "7 - try_count")
	task.TryCountCaller = rapid.IntRange(0, 6).Draw(t, "try_count_caller")
	for _, url := range []*string{&task.URLBefore, &task.URLBeforeAgain, &task.URLSuccess, &task.URLAfter} {
		if rarely(t) {
			*url = ""
		}
	}
	if rarely(t) {
		task.Deadline = began.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "deadline")) * time.Second)
	}
	return task
}

// alive are the tasks that are not finished.
func (w *walker) alive() (is []int) {
	for i, task := range w.rows {
		if task.Status != Finished {
			is = append(is, i)
		}
	}
	return is
}

// step lets something happen to a task, sooner or later. What is listed first
// is drawn more often.
func (w *walker) step(t *rapid.T, i int) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds later")) * time.Second)
	if rarely(t) {
		w.now = w.now.Add(12 * time.Hour)
	}
	task := w.rows[i]
	steps := []Step{StepStart, StepStart, StepStart, StepCancel, StepDrop}
	if task.Status == Executed {
		steps = []Step{StepEnd, StepEnd, StepRelease, StepLose, StepCancel}
		if task.BridgedAt.IsZero() {
			steps = append(steps, StepConnect)
		}
	}
	switch rapid.SampledFrom(steps).Draw(t, "step") {
	case StepStart:
		w.start(t, i)
	case StepConnect:
		w.connect(t, i)
	case StepEnd:
		w.end(t, i)
	case StepRelease:
		w.write(t, i, task.Release(w.now))
	case StepLose:
		w.write(t, i, task.Lose(w.now))
	case StepCancel:
		tr, _ := task.Cancel(w.now)
		w.write(t, i, tr)
	case StepDrop:
		w.write(t, i, task.Drop(w.now, CommentBlocked))
	}
}

// rarely is true now and then: what ends tasks must not end them all. (Small
// numbers are drawn more often than others.)
func rarely(t *rapid.T) bool { return rapid.IntRange(0, 99).Draw(t, "rarely") > 80 }

func (w *walker) start(t *rapid.T, i int) {
	task := w.rows[i]
	w.now = later(w.now, task.ReadyAt)
	if !task.Deadline.IsZero() && !w.now.Before(task.Deadline) {
		w.write(t, i, task.Drop(w.now, CommentExpired))
		return
	}
	w.calls++
	w.write(t, i, task.Start(w.now, CallID(fmt.Sprint("call", w.calls)), "n1", 5))
	if w.talked[i] {
		t.Fatalf("somebody who has talked is called again: %+v", task)
	}
}

func (w *walker) connect(t *rapid.T, i int) {
	w.talked[i] = true
	w.write(t, i, w.rows[i].Connect(w.now))
}

func (w *walker) end(t *rapid.T, i int) {
	o := w.outcome(t)
	w.talked[i] = w.talked[i] || !o.BridgedAt.IsZero()
	w.write(t, i, w.rows[i].End(o, w.now))
}

// outcome draws the end of a call: legs that failed in any way, or a bridge.
func (w *walker) outcome(t *rapid.T) Outcome {
	failed := []Disposition{UserBusy, NoAnswer, Rejected, Absent, Congestion, Failed, Cancelled, LocalError, InvalidNumber, NoRoute}
	leg := func(role Role) Leg {
		return Leg{Role: role, Try: 1, Disposition: rapid.SampledFrom(failed).Draw(t, "disposition"), By: ByPeer}
	}
	o := Outcome{EndedAt: w.now}
	if rarely(t) {
		o.Cut = rapid.SampledFrom([]Cut{CutAPI, CutShutdown}).Draw(t, "cut")
	}
	answered := Leg{Try: 1, Disposition: Answered, AnsweredAt: w.now}
	switch rapid.IntRange(0, 3).Draw(t, "how far") {
	case 1:
		o.Legs = []Leg{leg(LegA)}
	case 2:
		answered.Role = LegA
		o.Legs = []Leg{answered, leg(LegB)}
	case 3:
		a, b := answered, answered
		a.Role, b.Role = LegA, LegB
		o.Legs, o.BridgedAt = []Leg{a, b}, w.now
	}
	return o
}

// write stores a transition as the store does, if the guard holds.
func (w *walker) write(t *rapid.T, i int, tr Transition) {
	was := w.rows[i]
	if !tr.From.holds(was) {
		t.Fatalf("the guard %+v refuses the row it was made from: %+v", tr.From, was)
	}
	if !slices.Contains(legal[tr.Step][was.Status], tr.Task.Status) {
		t.Fatalf("%s is no step from %s to %s", tr.Step, was.Status, tr.Task.Status)
	}
	checkRow(t, tr)
	w.rows[i] = tr.Task
	w.running += tr.Slot
	w.history[i] = append(w.history[i], tr.Events...)
	if tr.Slot != 0 && tr.From.holds(tr.Task) {
		t.Fatalf("%s could be written twice", tr.Step)
	}
}

// holds reports whether a row still says what the guard demands.
func (g Guard) holds(t Task) bool {
	return t.Status == g.Status && (t.Status != Executed || t.CallID == g.CallID && t.Node == g.Node && t.Epoch == g.Epoch)
}

// check is what is true at any time.
func (w *walker) check(t *rapid.T) {
	executed := 0
	for i, task := range w.rows {
		executed += executes(task.Status)
		checkEvents(t, task, w.history[i])
		checkBudgets(t, task)
		if _, ok := task.Cancel(w.now); ok == (task.Status == Finished) {
			t.Errorf("cancel says %v of %+v", ok, task)
		}
		if task.Status == Finished && (task.Result == Success) != w.talked[i] {
			t.Errorf("finished %s %q, talked: %v", task.Result, task.Comment, w.talked[i])
		}
	}
	if executed != w.running {
		t.Errorf("%d tasks are executed, the queue counts %d", executed, w.running)
	}
}

// checkEvents checks the events a task has owed so far, over its life.
func checkEvents(t *rapid.T, task Task, history []Event) {
	count := map[EventKind]int{}
	seen := map[string]bool{}
	for i, e := range history {
		count[e.Kind]++
		key := fmt.Sprint(e.Kind, e.Task.Attempts)
		if e.Sequence != i+1 || seen[key] || e.URL != task.url(e.Kind) {
			t.Errorf("event %d of a task is %+v", i+1, e)
		}
		seen[key] = true
	}
	most := map[EventKind]int{
		EventBefore: min(task.Announced, 1), EventBeforeAgain: max(task.Announced-1, 0), EventAfter: 0, EventSuccess: 0,
	}
	if task.Status == Finished {
		most[EventAfter] = 1
	}
	if !task.BridgedAt.IsZero() {
		most[EventSuccess] = 1
	}
	for kind, want := range most {
		if task.url(kind) == "" {
			want = 0
		}
		if count[kind] != want {
			t.Errorf("%d events %s, want %d: %+v", count[kind], kind, want, task)
		}
	}
}

// checkBudgets checks that every attempt but free ones spent a try, and none
// was made without one.
func checkBudgets(t *rapid.T, task Task) {
	spent, budget := task.TriesSpent, task.TryCount
	if task.TryCountCaller > 0 {
		spent, budget = task.CallerSpent, task.TryCountCaller
	}
	if task.Attempts != spent+executes(task.Status) || task.Attempts > budget {
		t.Errorf("%d attempts, %d of %d spent: %+v", task.Attempts, spent, budget, task)
	}
	if task.TriesSpent > task.TryCount || task.CallerSpent > task.TryCountCaller {
		t.Errorf("a budget is overdrawn: %+v", task)
	}
	if task.Status.Waiting() && (task.TriesSpent == task.TryCount || task.TryCountCaller > 0 && task.CallerSpent == task.TryCountCaller) {
		t.Errorf("a task without a try left waits: %+v", task)
	}
}
