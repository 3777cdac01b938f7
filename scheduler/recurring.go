package scheduler

import (
	"fmt"
	"time"
)

// AccountTaskID is the GUID of a recurring task of an account.
type AccountTaskID string

// Frequency is how often a recurring task runs.
type Frequency int

// The frequencies, by their numbers on the wire.
const (
	FrequencyNone Frequency = iota // once
	Hourly
	Daily
	Weekly
	Monthly
	Quarterly
	Yearly
)

// Frequencies are their names, by number.
var Frequencies = []string{"NONE", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "QUARTERLY", "YEARLY"}

func (f Frequency) String() string { return Frequencies[f] }

// Notification is whom the end of a run is told: flags.
type Notification int

// The notifications.
const (
	NotifyEmail   Notification = 1 << iota // the account's e-mail
	NotifyWebhook                          // the task's NotificationURL
)

// Notifications are the names of the flags, by their number.
var Notifications = map[Notification]string{NotifyEmail: "EMAIL", NotifyWebhook: "WEBHOOK"}

// CatchUp is how late a run may begin: what is later is missed.
const CatchUp = time.Hour

// AccountTask is a recurring task of an account. It is the row as it is stored;
// the zero time is NULL.
type AccountTask struct {
	ID              AccountTaskID `gorm:"primaryKey"`
	AccountID       AccountID
	ClientID        ClientID // that it acts as
	Job             JobID    // of the catalogue (wire: TaskID)
	Enabled         bool
	Frequency       Frequency
	StartAt         time.Time `gorm:"serializer:instant"` // as asked for; zero: at once
	FinishAt        time.Time `gorm:"serializer:instant"` // inclusive; zero: never
	Anchor          time.Time `gorm:"serializer:instant"` // of the grid
	Parameters      string    // as given
	ContentType     string    // of them
	Notification    Notification
	NotificationURL string    `gorm:"column:notification_url"`
	NextAt          time.Time `gorm:"serializer:instant"` // zero: it does not run by itself any more
	LastRunAt       time.Time `gorm:"serializer:instant"`
	LastRunBy       string
	LastState       RunState  // of the latest run that was not skipped; "": none
	CreatedAt       time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	ModifiedAt      time.Time `gorm:"serializer:instant"`
	ModifiedBy      string
	Running         bool `gorm:"->"` // a run is under way; only read
}

// RunID is the row number of a run of a recurring task.
type RunID int64

// RunState is how far a run is.
type RunState string

// The states of a run.
const (
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunSkipped   RunState = "skipped" // the one before was still running
	RunMissed    RunState = "missed"  // nobody was there to run it in time
)

// AccountTaskRun is a run of a recurring task, or why there was none. It is the
// row as it is stored; the zero time is NULL.
type AccountTaskRun struct {
	ID            RunID `gorm:"primaryKey"`
	AccountTaskID AccountTaskID
	State         RunState
	ScheduledFor  time.Time `gorm:"serializer:instant"` // its time; of many that were missed, the first
	Times         int       // how many it stands for: 1, but for missed ones
	StartedAt     time.Time `gorm:"serializer:instant"`
	EndedAt       time.Time `gorm:"serializer:instant"` // zero: it runs
	RunBy         string    // who asked for it; RunByScheduler if nobody did
	Detail        string    // what it did, or what was wrong
	Tries         int       // how often it was begun: more than once after a crash
	LeaseToken    string    // of who works on it; "" if nobody does
	LeaseUntil    time.Time `gorm:"serializer:instant"` // when another may take it
}

// RunsKeep is how long runs are kept.
const RunsKeep = 365 * 24 * time.Hour

// RunByScheduler is who runs what is due.
const RunByScheduler = "scheduler"

// AccountTaskStatus is how a recurring task stands.
type AccountTaskStatus string

// The states of a recurring task.
const (
	AccountTaskActive    AccountTaskStatus = "ACTIVE"
	AccountTaskRunning   AccountTaskStatus = "RUNNING"
	AccountTaskDisabled  AccountTaskStatus = "DISABLED"
	AccountTaskCompleted AccountTaskStatus = "COMPLETED" // its only time is over
	AccountTaskFailed    AccountTaskStatus = "FAILED"    // its latest run did
	AccountTaskExpired   AccountTaskStatus = "EXPIRED"   // its FinishDate is
)

// Status is how the task stands.
func (t AccountTask) Status() AccountTaskStatus {
	switch {
	case t.Running:
		return AccountTaskRunning
	case !t.Enabled:
		return AccountTaskDisabled
	case t.LastState == RunFailed:
		return AccountTaskFailed
	case !t.NextAt.IsZero():
		return AccountTaskActive
	case t.Frequency == FrequencyNone && t.LastState != "":
		return AccountTaskCompleted
	}
	return AccountTaskExpired
}

// Grid returns when the task runs in its account's zone.
func (t AccountTask) Grid(zone *time.Location) Grid {
	return Grid{Frequency: t.Frequency, Anchor: t.Anchor, Finish: t.FinishAt, Zone: zone}
}

// Schedule returns the task as it is when it is registered at now, or its times
// are changed then: with its next run, and with the one that it has missed
// already, if it was to run once.
func (t AccountTask) Schedule(now time.Time, zone *time.Location) (AccountTask, *AccountTaskRun) {
	now = now.UTC().Truncate(time.Microsecond)
	t.Anchor, t.NextAt = t.StartAt, time.Time{}
	if t.Anchor.IsZero() {
		t.Anchor = now
	}
	if t.Frequency != FrequencyNone {
		return t.resume(now, zone), nil
	}
	if t.Anchor.Before(now.Add(-CatchUp)) {
		t.LastState = RunMissed
		missed := t.run(RunMissed, t.Anchor, now)
		missed.Detail = "it was to run more than an hour before it was registered"
		return t, &missed
	}
	if t.LastState = ""; t.Enabled {
		t.NextAt = later(t.Anchor, now)
	}
	if t.expired(t.NextAt) {
		t.NextAt = time.Time{}
	}
	return t, nil
}

// Change returns the task as it is after its settings were changed at now, from
// those that it had. Another StartDate or Frequency makes another grid; else the
// grid stays.
func (t AccountTask) Change(was AccountTask, now time.Time, zone *time.Location) (AccountTask, *AccountTaskRun) {
	now = now.UTC().Truncate(time.Microsecond)
	switch {
	case !t.StartAt.Equal(was.StartAt), t.Frequency != was.Frequency:
		return t.Schedule(now, zone)
	case t.Enabled == was.Enabled && t.FinishAt.Equal(was.FinishAt):
		return t, nil
	case t.Frequency != FrequencyNone:
		return t.resume(now, zone), nil
	}
	t.NextAt = time.Time{}
	switch {
	case !t.Enabled:
	case !was.NextAt.IsZero():
		t.NextAt = was.NextAt
	case t.Anchor.After(now):
		t.NextAt = t.Anchor
	case t.LastState == "" && !t.Running: // its only time is not over: it had none
		return t.Schedule(now, zone)
	}
	if t.expired(t.NextAt) {
		t.NextAt = time.Time{}
	}
	return t, nil
}

// InZone returns the task as it is after its account has moved to another zone:
// what is due already stays so, and the next run is that of the clock there.
func (t AccountTask) InZone(now time.Time, zone *time.Location) AccountTask {
	if t.Frequency == FrequencyNone || !t.NextAt.After(now) {
		return t
	}
	return t.resume(now.UTC().Truncate(time.Microsecond), zone)
}

// resume sets the next run: at now at the earliest.
func (t AccountTask) resume(now time.Time, zone *time.Location) AccountTask {
	if t.NextAt = (time.Time{}); t.Enabled {
		t.NextAt = t.Grid(zone).Next(now.Add(-1))
	}
	return t
}

func (t AccountTask) expired(at time.Time) bool {
	return !t.FinishAt.IsZero() && at.After(t.FinishAt)
}

func (t AccountTask) run(state RunState, at, now time.Time) AccountTaskRun {
	r := AccountTaskRun{AccountTaskID: t.ID, State: state, ScheduledFor: at, Times: 1, StartedAt: now, RunBy: RunByScheduler}
	if state != RunRunning {
		r.EndedAt = now
	}
	return r
}

// Turn returns the task after its time has come, with the runs that this makes:
// those that were missed, as one, and the one that begins, or is skipped because
// another is still under way. Of several times that have passed only the latest
// is run, and only within CatchUp.
func (t AccountTask) Turn(now time.Time, zone *time.Location) (AccountTask, []AccountTaskRun) {
	now = now.UTC().Truncate(time.Microsecond)
	grid, due := t.Grid(zone), t.NextAt
	var missed AccountTaskRun
	var last time.Time
	miss := func() {
		if missed.Times == 0 {
			missed = t.run(RunMissed, due, now)
			missed.Times = 0
		}
		missed.Times++
		last = due
	}
	for ; ; due = t.NextAt {
		t.NextAt = grid.Next(due)
		if t.NextAt.IsZero() || t.NextAt.After(now) {
			break
		}
		miss()
	}
	var runs []AccountTaskRun
	late := due.Before(now.Add(-CatchUp))
	if late {
		miss()
	}
	if missed.Times > 0 {
		missed.Detail = "no node was there to run it in time"
		if missed.Times > 1 {
			missed.Detail = fmt.Sprintf("no node was there to run it in time, %d times up to %s", missed.Times, last.Format(time.RFC3339))
		}
		runs = append(runs, missed)
		t.LastState = RunMissed
	}
	switch {
	case late:
	case t.Running:
		skipped := t.run(RunSkipped, due, now)
		skipped.Detail = "the run before was still under way"
		runs = append(runs, skipped)
	default:
		runs = append(runs, t.run(RunRunning, due, now))
		t.LastRunAt, t.LastRunBy = now, RunByScheduler
	}
	return t, runs
}

// RunNow returns the run of a task that somebody asks for, whatever its status,
// and the task with it; while a run is under way that is a Conflict.
func (t AccountTask) RunNow(by string, now time.Time) (AccountTask, AccountTaskRun, error) {
	if t.Running {
		return t, AccountTaskRun{}, Errorf(Conflict, "the task is running")
	}
	r := t.run(RunRunning, now.UTC().Truncate(time.Microsecond), now)
	r.RunBy, t.LastRunAt, t.LastRunBy = by, r.ScheduledFor, by
	return t, r, nil
}

// RunLease is how long a run is left to who works on it and is silent.
const RunLease = time.Minute

// Lapsed returns how a run ends that was begun before a crash and is given up: it
// was begun too often, or its time was too long ago. The state is "" if neither is so.
func (r AccountTaskRun) Lapsed(now time.Time) (state RunState, detail string) {
	switch {
	case r.Tries >= RunTries:
		return RunFailed, fmt.Sprintf("it was begun %d times and never ended", r.Tries)
	case r.Tries > 0 && r.ScheduledFor.Before(now.Add(-CatchUp)):
		return RunMissed, "it was begun, and no node was there in time to end it"
	}
	return "", ""
}

// RunTries is how often a run is begun that never ends.
const RunTries = 5
