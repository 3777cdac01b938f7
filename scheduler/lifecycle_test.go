package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// began is when the tests of the life of a task begin.
var began = time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC)

// fresh is a task that was never tried and wants to hear everything.
func fresh() Task {
	return Task{
		ID: 41, ClientID: "c", QueueID: 3, ExtensionID: 7, ANumber: "101", BNumber: "102",
		TryCount: 3, TryPause: 60, TryPauseCaller: 20,
		URLBefore: "http://x/before", URLBeforeAgain: "http://x/again", URLSuccess: "http://x/success", URLAfter: "http://x/after",
		Status: Scheduled, StartAt: began, ReadyAt: began, Variables: map[string]string{"k": "v"},
		CreatedAt: began, UpdatedAt: began,
	}
}

// dialling is a fresh task whose first attempt is under way.
func dialling() Task { return fresh().Start(began, "call1", "n1", 5).Task }

// talking is such a task whose sides were connected.
func talking() Task { return dialling().Connect(began.Add(10 * time.Second)).Task }

// with returns the task as changed by f.
func with(t Task, f func(*Task)) Task {
	f(&t)
	return t
}

// Outcomes, as a dialer tells them.
var (
	nothing   = Outcome{EndedAt: began}
	noCircuit = Outcome{EndedAt: began, Legs: []Leg{{Role: LegA, Try: 1, Disposition: LocalError}}}
	noTrunk   = Outcome{EndedAt: began, Legs: []Leg{{Role: LegA, Try: 1, Disposition: NoRoute}}}
	aBusy     = Outcome{EndedAt: began, Legs: []Leg{{Role: LegA, Try: 1, Disposition: UserBusy, By: ByPeer}}}
	aRinging  = Outcome{EndedAt: began, Legs: []Leg{{Role: LegA, Try: 1, Disposition: Cancelled, By: ByUs}}}
	aInvalid  = Outcome{EndedAt: began, Legs: []Leg{{Role: LegA, Try: 1, Disposition: InvalidNumber, By: ByPeer}}}
	bBusy     = Outcome{EndedAt: began, Legs: []Leg{
		{Role: LegA, Try: 1, Disposition: Answered, AnsweredAt: began, By: ByUs}, {Role: LegB, Try: 1, Disposition: UserBusy, By: ByPeer},
	}}
	bRinging = Outcome{EndedAt: began, Legs: []Leg{
		{Role: LegA, Try: 1, Disposition: Answered, AnsweredAt: began, By: ByUs}, {Role: LegB, Try: 1, Disposition: Cancelled, By: ByUs},
	}}
	connected = Outcome{EndedAt: began.Add(time.Minute), BridgedAt: began.Add(10 * time.Second), Legs: []Leg{
		{Role: LegA, Try: 1, Disposition: Answered, AnsweredAt: began, By: ByUs},
		{Role: LegB, Try: 1, Disposition: Answered, AnsweredAt: began.Add(10 * time.Second), By: ByPeer},
	}}
)

// cut returns the outcome as ended from outside.
func cut(o Outcome, why Cut) Outcome {
	o.Cut = why
	return o
}

// told is a transition in one line: what becomes of the task and when it is
// due again, the slot, the attempts begun, the tries spent of both budgets,
// the events owed.
func told(tr Transition) string {
	t := tr.Task
	line := []string{string(t.Status)}
	if t.Result != "" || t.Comment != "" {
		line[0] += fmt.Sprintf(" %s %q", t.Result, t.Comment)
	}
	if !t.ReadyAt.IsZero() {
		line[0] += " in " + t.ReadyAt.Sub(tr.At).String()
	}
	line = append(line, fmt.Sprintf("slot %+d", tr.Slot), fmt.Sprintf("%d begun", t.Attempts),
		fmt.Sprintf("%d+%d spent", t.TriesSpent, t.CallerSpent))
	for _, e := range tr.Events {
		line = append(line, fmt.Sprintf("%s#%d", e.Kind, e.Sequence))
	}
	return strings.Join(line, ", ")
}

func TestSteps(t *testing.T) {
	now := began.Add(time.Minute)
	start := func(t Task) Transition { return t.Start(now, "call9", "n1", 5) }
	end := func(o Outcome) func(Task) Transition { return func(t Task) Transition { return t.End(o, now) } }
	release := func(t Task) Transition { return t.Release(now) }
	lose := func(t Task) Transition { return t.Lose(now) }
	drop := func(t Task) Transition { return t.Drop(now, CommentBlocked) }
	cancel := func(t Task) Transition {
		tr, _ := t.Cancel(now)
		return tr
	}
	retried := with(dialling().End(aBusy, began).Task, func(t *Task) { t.ReadyAt = now })
	second := retried.Start(now, "call2", "n1", 5).Task
	last := with(dialling(), func(t *Task) { t.TryCount = 1 })
	asked := with(dialling(), func(t *Task) { t.CancelRequested = true })
	due := func(in time.Duration) Task { return with(dialling(), func(t *Task) { t.Deadline = now.Add(in) }) }

	for claim, tc := range map[string]struct {
		task Task
		step func(Task) Transition
		want string
	}{
		"the first attempt owes the before-event":    {fresh(), start, `executed, slot +1, 1 begun, 0+0 spent, before#1`},
		"a later attempt owes the other one":         {retried, start, `executed, slot +1, 2 begun, 1+0 spent, before_again#2`},
		"a skipped task made no attempt":             {dialling(), func(t Task) Transition { return t.Skip(now) }, `finished failed "skipped", slot -1, 0 begun, 0+0 spent, after#2`},
		"nor did one whose first is postponed":       {dialling(), func(t Task) Transition { return t.Postpone(now, now.Add(time.Hour)) }, `scheduled in 1h0m0s, slot -1, 0 begun, 0+0 spent`},
		"a later one waits as it did":                {second, func(t Task) Transition { return t.Postpone(now, now.Add(time.Hour)) }, `delayed in 1h0m0s, slot -1, 1 begun, 1+0 spent`},
		"a postponed attempt is not told of again":   {dialling().Postpone(now, now.Add(time.Hour)).Task, start, `executed, slot +1, 1 begun, 0+0 spent`},
		"a released attempt is not told of again":    {dialling().Release(now).Task, start, `executed, slot +1, 1 begun, 0+0 spent`},
		"nor is a later one":                         {second.Release(now).Task, start, `executed, slot +1, 2 begun, 1+0 spent`},
		"an event without a URL takes no number":     {with(dialling(), noBefore), func(t Task) Transition { return t.Connect(now) }, `executed, slot +0, 1 begun, 0+0 spent, success#1`},
		"what nobody asks for is not told":           {with(fresh(), noBefore), start, `executed, slot +1, 1 begun, 0+0 spent`},
		"a bridge is told and keeps its slot":        {dialling(), func(t Task) Transition { return t.Connect(now) }, `executed, slot +0, 1 begun, 0+0 spent, success#2`},
		"a busy A spends one try":                    {dialling(), end(aBusy), `delayed in 1m0s, slot -1, 1 begun, 1+0 spent`},
		"a busy B spends one try":                    {dialling(), end(bBusy), `delayed in 1m0s, slot -1, 1 begun, 1+0 spent`},
		"the last try fails by its cause":            {last, end(aBusy), `finished failed "a_number busy", slot -1, 1 begun, 1+0 spent, after#2`},
		"an invalid number is final":                 {dialling(), end(aInvalid), `finished failed "a_number invalid_number", slot -1, 1 begun, 1+0 spent, after#2`},
		"a number without a trunk is final":          {dialling(), end(noTrunk), `finished failed "a_number no_route", slot -1, 1 begun, 1+0 spent, after#2`},
		"a connected call finishes the task":         {talking(), end(connected), `finished success "", slot -1, 1 begun, 1+0 spent, after#3`},
		"a bridge nobody recorded is told late":      {dialling(), end(connected), `finished success "", slot -1, 1 begun, 1+0 spent, success#2, after#3`},
		"a recorded bridge counts":                   {talking(), end(aRinging), `finished success "", slot -1, 1 begun, 1+0 spent, after#3`},
		"it counts when nothing else is known":       {talking(), end(nothing), `finished success "", slot -1, 1 begun, 1+0 spent, after#3`},
		"a client ends a call that is up":            {talking(), end(cut(connected, CutAPI)), `finished success "cancelled", slot -1, 1 begun, 1+0 spent, after#3`},
		"a client ends a call that rings":            {dialling(), end(cut(aRinging, CutAPI)), `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"a client ends a call before it rings":       {dialling(), end(cut(nothing, CutAPI)), `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"our stop ends a call that is up":            {talking(), end(cut(connected, CutShutdown)), `finished success "cut at shutdown", slot -1, 1 begun, 1+0 spent, after#3`},
		"our stop before A answers costs nothing":    {dialling(), end(cut(aRinging, CutShutdown)), `scheduled in 1s, slot -1, 0 begun, 0+0 spent`},
		"our stop after A answers costs a try":       {dialling(), end(cut(bRinging, CutShutdown)), `delayed in 1m0s, slot -1, 1 begun, 1+0 spent`},
		"our stop may cost the last try":             {last, end(cut(bRinging, CutShutdown)), `finished failed "cut at shutdown", slot -1, 1 begun, 1+0 spent, after#2`},
		"an attempt without a leg is free":           {dialling(), end(nothing), `scheduled in 1s, slot -1, 0 begun, 0+0 spent`},
		"nothing signalled is free":                  {second, end(noCircuit), `delayed in 1s, slot -1, 1 begun, 1+0 spent`},
		"a retry after the deadline expires":         {due(59 * time.Second), end(aBusy), `finished failed "expired", slot -1, 1 begun, 1+0 spent, after#2`},
		"a retry at the deadline expires":            {due(time.Minute), end(aBusy), `finished failed "expired", slot -1, 1 begun, 1+0 spent, after#2`},
		"a retry before the deadline waits":          {due(61 * time.Second), end(aBusy), `delayed in 1m0s, slot -1, 1 begun, 1+0 spent`},
		"a call may outlast the deadline":            {with(talking(), func(t *Task) { t.Deadline = began }), end(connected), `finished success "", slot -1, 1 begun, 1+0 spent, after#3`},
		"a cancel beats a retry":                     {asked, end(aBusy), `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"a cancel does not undo a bridge":            {asked, end(connected), `finished success "", slot -1, 1 begun, 1+0 spent, success#2, after#3`},
		"a release leaves the task as it was":        {second, release, `delayed in 1s, slot -1, 1 begun, 1+0 spent`},
		"a cancel beats a release":                   {asked, release, `finished failed "cancelled", slot -1, 0 begun, 0+0 spent, after#2`},
		"a release at the deadline expires":          {due(time.Second), release, `finished failed "expired", slot -1, 0 begun, 0+0 spent, after#2`},
		"a bridged attempt is never released":        {talking(), release, `finished success "attempt lost", slot -1, 1 begun, 1+0 spent, after#3`},
		"a lost attempt counts as a try":             {dialling(), lose, `delayed in 1m0s, slot -1, 1 begun, 1+0 spent`},
		"a lost last try fails":                      {last, lose, `finished failed "attempt lost", slot -1, 1 begun, 1+0 spent, after#2`},
		"a lost attempt that was bridged succeeds":   {talking(), lose, `finished success "attempt lost", slot -1, 1 begun, 1+0 spent, after#3`},
		"a cancel beats a loss":                      {asked, lose, `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"a cancel beats the loss of the last try":    {with(asked, func(t *Task) { t.TryCount = 1 }), lose, `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"a loss does not outlast the deadline":       {due(time.Second), lose, `finished failed "expired", slot -1, 1 begun, 1+0 spent, after#2`},
		"a waiting task is cancelled at once":        {retried, cancel, `finished failed "cancelled", slot +0, 1 begun, 1+0 spent, after#2`},
		"an executed task is asked to end":           {dialling(), cancel, `executed, slot +0, 1 begun, 0+0 spent`},
		"a task that never can start is dropped":     {fresh(), drop, `finished failed "extension blocked", slot +0, 0 begun, 0+0 spent, after#1`},
		"a retry in doubt becomes a cancel":          {dialling(), func(t Task) Transition { return t.End(aBusy, now).Cancelled() }, `finished failed "cancelled", slot -1, 1 begun, 1+0 spent, after#2`},
		"a release in doubt becomes a cancel":        {dialling(), func(t Task) Transition { return t.Release(now).Cancelled() }, `finished failed "cancelled", slot -1, 0 begun, 0+0 spent, after#2`},
		"a refused end fails the task":               {dialling(), refusedEnd(aBusy, now), `finished failed "local_error", slot -1, 1 begun, 1+0 spent, after#2`},
		"a refused end of a talk is a success still": {dialling(), refusedEnd(connected, now), `finished success "local_error", slot -1, 1 begun, 1+0 spent, success#2, after#3`},
	} {
		t.Run(claim, func(t *testing.T) {
			tr := tc.step(tc.task)
			if got := told(tr); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
			checkRow(t, tr)
		})
	}
}

func noBefore(t *Task) { t.URLBefore, t.EventSeq = "", 0 }

func refusedEnd(o Outcome, now time.Time) func(Task) Transition {
	return func(t Task) Transition {
		tr, _ := t.End(o, now).Refused(now)
		return tr
	}
}

// checkRow checks what the schema demands of every row of a task, and that
// what a transition says of itself agrees.
func checkRow(t interface{ Errorf(string, ...any) }, tr Transition) {
	n := tr.Task
	for rule, held := range map[string]bool{
		"a task is due exactly while it waits":           n.Status.Waiting() == !n.ReadyAt.IsZero(),
		"a task has an owner exactly while executed":     (n.Status == Executed) == (n.Node != ""),
		"a task has a result exactly once finished":      (n.Status == Finished) == (n.Result != ""),
		"only an executed task has an epoch":             n.Status == Executed || n.Epoch == 0,
		"only an executed task is asked to be cancelled": n.Status == Executed || !n.CancelRequested,
		"an executed task has a call":                    n.Status != Executed || n.CallID != "",
		"a bridged task was reached":                     n.BridgedAt.IsZero() || n.Reached,
		"a row says when it changed":                     n.UpdatedAt.Equal(tr.At),
		"a slot moves with the status":                   tr.Slot == executes(n.Status)-executes(tr.From.Status),
		"an attempt is written of the guarded call":      !tr.HasAttempt() || tr.Step == StepStart || tr.Attempt.CallID == tr.From.CallID,
	} {
		if !held {
			t.Errorf("%s: not after %s: %+v", rule, tr.Step, tr)
		}
	}
	for i, e := range tr.Events {
		if e.Task.Status != n.Status || e.Task.EventSeq != n.EventSeq || e.URL == "" || e.Sequence != n.EventSeq-len(tr.Events)+i+1 {
			t.Errorf("event %+v does not tell of the task as it became: %+v", e, n)
		}
	}
}

func executes(s Status) int {
	if s == Executed {
		return 1
	}
	return 0
}

func TestGuards(t *testing.T) {
	waiting := Guard{Status: Delayed}
	executed := Guard{Status: Executed, CallID: "call1", Node: "n1", Epoch: 5}
	delayed := dialling().End(aBusy, began).Task
	cancelled, _ := delayed.Cancel(began)
	hungUp, _ := dialling().Cancel(began)
	for claim, tc := range map[string]struct {
		tr   Transition
		want Guard
	}{
		"a start demands a waiting task":                {delayed.Start(began, "call2", "n2", 6), waiting},
		"a drop demands a waiting task":                 {delayed.Drop(began, CommentExpired), waiting},
		"a cancel demands the state it saw":             {cancelled, waiting},
		"a hang-up demands the attempt it saw":          {hungUp, executed},
		"a bridge demands its attempt, node and epoch":  {dialling().Connect(began), executed},
		"an end demands its attempt, node and epoch":    {dialling().End(aBusy, began), executed},
		"a release demands its attempt, node and epoch": {dialling().Release(began), executed},
		"a loss demands its attempt, node and epoch":    {dialling().Lose(began), executed},
		"an end after a bridge demands the same":        {talking().End(connected, began), executed},
		"a retry in doubt demands the same":             {dialling().End(aBusy, began).Cancelled(), executed},
	} {
		t.Run(claim, func(t *testing.T) {
			if tc.tr.From != tc.want {
				t.Errorf("guard %+v, want %+v", tc.tr.From, tc.want)
			}
		})
	}
	if _, ok := talking().End(connected, began).Task.Cancel(began); ok {
		t.Error("a finished task was cancelled")
	}
	for step, tr := range map[string]Transition{"start": fresh().Start(began, "c", "n", 1), "bridge": dialling().Connect(began)} {
		if _, ok := tr.Refused(began); ok {
			t.Errorf("a refused %s ended the task", step)
		}
	}
}
