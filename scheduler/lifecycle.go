package scheduler

import "time"

// Step names a transition.
type Step string

// The steps of a task's life.
const (
	StepStart   Step = "start"   // waiting → executed
	StepConnect Step = "connect" // executed, bridged
	StepEnd     Step = "end"     // executed → delayed or finished
	StepRelease Step = "release" // executed → as it was before Start, or finished
	StepLose    Step = "lose"    // executed → delayed or finished, its node gone
	StepCancel  Step = "cancel"  // waiting → finished; executed: asks the owner
	StepDrop    Step = "drop"    // waiting → finished, without an attempt
	StepSkip    Step = "skip"    // executed → finished, the receiver of its before-event wants no call
	// StepPostpone is executed → as it was before Start, when that receiver says.
	StepPostpone Step = "postpone"
)

// Comments of tasks whose call was cut short.
const (
	CommentLost    = "attempt lost"
	CommentCut     = "cut at shutdown"
	CommentSkipped = "skipped"
)

// Transition is one step of a task's life: the task as it becomes, what must
// still be true of its row, and what is to be written with it. Nothing else
// changes a task's status.
type Transition struct {
	Step    Step
	Task    Task    // as it becomes
	From    Guard   // what the row must still say
	Attempt Attempt // inserted by what ends it; see HasAttempt
	Events  []Event
	Slot    int // change of the queue's Running: +1, 0 or -1
	// Settles says that it is known from now on how A took the attempt: from
	// the bridge, else from the end. A is how; "" if nobody will ever know.
	Settles bool
	A       Disposition
	At      time.Time // when it happened
	// Callback says that the call has no task: Task has only what its row has.
	Callback bool
}

// Guard is what a row must still say for a transition to be written.
type Guard struct {
	Status Status
	CallID CallID // of the attempt under way; "" while waiting
	Node   string
	Epoch  int64
}

// HasAttempt reports whether the transition writes an attempt row.
func (t *Transition) HasAttempt() bool { return t.Attempt.CallID != "" }

// begin returns a transition of the task as it stands.
func (t Task) begin(step Step, now time.Time) Transition {
	tr := Transition{Step: step, Task: t, At: now}
	tr.From.Status = t.Status
	if t.Status == Executed {
		tr.From = Guard{Status: Executed, CallID: t.CallID, Node: t.Node, Epoch: t.Epoch}
	}
	tr.Task.UpdatedAt = now
	return tr
}

// owe adds an event of a moment, if the task has a URL for it.
func (tr *Transition) owe(kind EventKind, at time.Time) {
	url := tr.Task.url(kind)
	if url == "" {
		return
	}
	tr.Task.EventSeq++
	tr.Events = append(tr.Events, Event{Kind: kind, At: at, Sequence: tr.Task.EventSeq, URL: url})
}

// seal gives every event the task as it became.
func (tr Transition) seal() Transition {
	for i := range tr.Events {
		tr.Events[i].Task = tr.Task
	}
	return tr
}

// finish ends the task.
func (tr *Transition) finish(result Result, comment string) {
	t := &tr.Task
	t.Status, t.Result, t.Comment, t.ReadyAt = Finished, result, comment, time.Time{}
	t.Node, t.Epoch, t.CancelRequested = "", 0, false
	tr.owe(EventAfter, tr.At)
}

// wait sends the task back to wait until at. It ends instead if a client asked
// for that, or if its next attempt would begin after its deadline.
func (tr *Transition) wait(status Status, at time.Time) {
	t := &tr.Task
	switch {
	case t.CancelRequested:
		tr.finish(Failure, CommentCancelled)
	case !t.Deadline.IsZero() && !at.Before(t.Deadline):
		tr.finish(Failure, CommentExpired)
	default:
		t.Status, t.ReadyAt, t.Node, t.Epoch = status, at, "", 0
	}
}

// Start begins an attempt of a waiting task on a node. The before-event is
// owed once an attempt number, also when an attempt of that number was
// released before.
func (t Task) Start(now time.Time, id CallID, node string, epoch int64) Transition {
	tr := t.begin(StepStart, now)
	n := &tr.Task
	n.Status, n.ReadyAt = Executed, time.Time{}
	n.PrevCallID, n.CallID, n.Node, n.Epoch, n.BridgedAt = t.CallID, id, node, epoch, time.Time{}
	n.CalledAt, n.CalledBy = now, node
	n.Attempts++
	tr.Slot = 1
	if n.Attempts > n.Announced {
		n.Announced = n.Attempts
		if n.Attempts == 1 {
			tr.owe(EventBefore, now)
		} else {
			tr.owe(EventBeforeAgain, now)
		}
	}
	return tr.seal()
}

// attempt returns the row of the attempt under way. It is written once, when
// the attempt has ended; until then the task's row tells of it.
func (t Task) attempt() Attempt {
	return Attempt{
		CallID: t.CallID, ClientID: t.ClientID, QueueID: t.QueueID, TaskID: t.ID, ExtensionID: t.ExtensionID,
		Number: t.Attempts, Node: t.CalledBy, From: t.ANumber, To: t.BNumber, ToE164: t.BNumberE164, StartedAt: t.CalledAt, Variables: t.Variables,
	}
}

// Connect records that A and B were bridged at now. The task stays executed.
func (t Task) Connect(now time.Time) Transition {
	tr := t.begin(StepConnect, now)
	tr.connect(now)
	tr.Settles, tr.A = true, Answered
	return tr.seal()
}

func (tr *Transition) connect(at time.Time) {
	tr.Task.BridgedAt, tr.Task.Reached = at, true
	tr.owe(EventSuccess, at)
}

// End records the outcome of the attempt under way. now is when the pause
// before the next attempt begins. An attempt for which nothing was signalled,
// or that our own stop cut before A answered, is released instead. A bridge
// that Connect recorded counts, whatever the outcome says.
func (t Task) End(o Outcome, now time.Time) Transition {
	if o.BridgedAt.IsZero() {
		o.BridgedAt = t.BridgedAt
	}
	if o.BridgedAt.IsZero() && (o.Cut == CutShutdown && !o.Reached() || o.Cut == CutNone && o.Free()) {
		return t.Release(now)
	}
	tr := t.begin(StepEnd, now)
	tr.Slot, tr.Settles, tr.A = -1, t.BridgedAt.IsZero(), o.Took(LegA)
	tr.Attempt = t.attempt()
	tr.Attempt.close(o)
	n := &tr.Task
	n.Releases, n.FreeSince = 0, time.Time{}
	if o.BridgedAt.IsZero() {
		tr.endUnbridged(o, now)
		return tr.seal()
	}
	if t.BridgedAt.IsZero() {
		tr.connect(o.BridgedAt)
	}
	n.spend(true)
	comment := ""
	switch o.Cut {
	case CutAPI:
		comment = CommentCancelled
	case CutShutdown:
		comment = CommentCut
	case CutNone, CutFenced:
	}
	tr.finish(Success, comment)
	return tr.seal()
}

func (tr *Transition) endUnbridged(o Outcome, now time.Time) {
	pause, again := tr.Task.spend(o.Reached())
	if o.Cut == CutAPI || o.final() || !again {
		tr.finish(Failure, o.Comment())
		return
	}
	tr.wait(Delayed, now.Add(pause))
}

// Release takes back an attempt for which nothing was signalled: its number
// stays for the next one. It tries again after a growing pause; after a day of
// it, a task without a deadline fails. One that was bridged is lost instead:
// nobody who has talked is called again.
func (t Task) Release(now time.Time) Transition {
	if !t.BridgedAt.IsZero() {
		return t.Lose(now)
	}
	tr := t.takeBack(StepRelease, now)
	n := &tr.Task
	n.Releases++
	if n.FreeSince.IsZero() {
		n.FreeSince = now
	}
	if !t.CancelRequested && n.Deadline.IsZero() && now.Sub(n.FreeSince) >= freeLimit {
		tr.finish(Failure, string(LocalError))
		return tr.seal()
	}
	tr.wait(n.waited(), now.Add(freePause(n.Releases)))
	return tr.seal()
}

// takeBack returns a transition that makes the attempt under way one that was
// never begun.
func (t Task) takeBack(step Step, now time.Time) Transition {
	tr := t.begin(step, now)
	tr.Slot, tr.Settles = -1, true
	tr.Task.Attempts--
	tr.Task.CallID = t.PrevCallID
	return tr
}

// waited is how a task waits that has made its attempts.
func (t Task) waited() Status {
	if t.Attempts > 0 {
		return Delayed
	}
	return Scheduled
}

// Skip ends a task before its attempt was dialled: whoever was asked wants no
// call.
func (t Task) Skip(now time.Time) Transition {
	tr := t.takeBack(StepSkip, now)
	tr.finish(Failure, CommentSkipped)
	return tr.seal()
}

// Postpone takes back an attempt before it was dialled; the task is due again
// at a time, and its before-event is not sent again.
func (t Task) Postpone(now, until time.Time) Transition {
	tr := t.takeBack(StepPostpone, now)
	tr.wait(tr.Task.waited(), until)
	return tr.seal()
}

// Lose ends an attempt whose node is gone. One that was bridged finished the
// task; one that was not counts as a try. A cancel that was asked for is
// honoured.
func (t Task) Lose(now time.Time) Transition {
	tr := t.begin(StepLose, now)
	tr.Slot, tr.Settles = -1, t.BridgedAt.IsZero()
	tr.Attempt = t.attempt()
	tr.Attempt.lose(t.BridgedAt, now)
	tr.Task.Releases, tr.Task.FreeSince = 0, time.Time{}
	if !t.BridgedAt.IsZero() {
		tr.Task.spend(true)
		tr.finish(Success, CommentLost)
		return tr.seal()
	}
	pause, again := tr.Task.spend(false)
	if again || t.CancelRequested {
		tr.wait(Delayed, now.Add(pause))
	} else {
		tr.finish(Failure, CommentLost)
	}
	return tr.seal()
}

// Cancel finishes a waiting task; of an executed one it asks the owner to hang
// up. A finished task stays as it is: ok is false.
func (t Task) Cancel(now time.Time) (tr Transition, ok bool) {
	tr = t.begin(StepCancel, now)
	switch t.Status {
	case Finished:
		return Transition{}, false
	case Executed:
		tr.Task.CancelRequested = true
	default:
		tr.finish(Failure, CommentCancelled)
	}
	return tr.seal(), true
}

// Cancelled is the transition of a task that would wait again, though a client
// asked to cancel it while its call was up.
func (tr Transition) Cancelled() Transition {
	tr.finish(Failure, CommentCancelled)
	return tr.seal()
}

// Refused is the transition of an attempt whose end the database refuses to
// write for the values in it: the task ends without them, as a success if A and
// B had talked. ok is false for a step that the next one makes good.
func (tr Transition) Refused(now time.Time) (refused Transition, ok bool) {
	if tr.From.Status != Executed || tr.Slot == 0 {
		return Transition{}, false
	}
	t := tr.Task
	t.Status, t.CallID, t.Node, t.Epoch = Executed, tr.From.CallID, tr.From.Node, tr.From.Epoch
	if !tr.HasAttempt() { // it was taken back
		t.Attempts++
	}
	t.Result, t.Comment, t.EventSeq = "", "", t.EventSeq-len(tr.Events)
	refused = t.begin(StepEnd, now)
	refused.Callback = tr.Callback
	refused.Slot, refused.Settles, refused.A = tr.Slot, tr.Settles, tr.A
	refused.Attempt = t.attempt()
	refused.Attempt.lose(t.BridgedAt, now)
	result := Failure
	if !t.BridgedAt.IsZero() {
		result = Success
	}
	for _, e := range tr.Events {
		if e.Kind == EventSuccess {
			refused.owe(EventSuccess, e.At)
		}
	}
	refused.finish(result, string(LocalError))
	return refused.seal(), true
}

// Drop finishes a waiting task that can never start, and says why.
func (t Task) Drop(now time.Time, comment string) Transition {
	tr := t.begin(StepDrop, now)
	tr.finish(Failure, comment)
	return tr.seal()
}
