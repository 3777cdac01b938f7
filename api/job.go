package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/scheduler"
)

// jobs finds out what the runs of recurring tasks come to. Parameters are read
// the same way when a task is registered and when it runs.
type jobs struct {
	clients Clients
	tasks   tasks
	queues  QueueReader
	purger  Purger
	report  reports
	now     func() time.Time
}

// job is what a recurring task does, as its parameters say.
type job struct {
	work   scheduler.RunWork
	zone   *time.Location
	params map[string]any
}

// number returns an integer of the parameters; 0 without it.
func (j job) number(name string) int64 { return integerOf(j.params[name]) }

func integerOf(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := n.Int64() // readParameters says that it is one
	return i
}

func (j job) queue() scheduler.QueueID { return scheduler.QueueID(j.number("scheduler_id")) }

// Perform finds out what a run comes to, and does what can be done twice.
func (s *Server) Perform(ctx context.Context, work scheduler.RunWork) (scheduler.RunOutcome, error) {
	return s.jobs.perform(ctx, work)
}

func (s jobs) perform(ctx context.Context, work scheduler.RunWork) (scheduler.RunOutcome, error) {
	o := scheduler.RunOutcome{State: scheduler.RunSucceeded, Mail: runMail(work)}
	if work.Lapsed != "" {
		o.State, o.Detail = work.Lapsed, work.Detail
		return o, nil
	}
	switch {
	case !work.Account.DisabledAt.IsZero():
		return o, scheduler.Errorf(scheduler.Conflict, "the account is disabled")
	case !work.Client.DisabledAt.IsZero():
		return o, scheduler.Errorf(scheduler.Conflict, "the client that the task acts as is disabled: %s", work.Client.ID)
	}
	j, err := s.read(ctx, work)
	if err != nil {
		return o, err
	}
	switch work.Task.Job {
	case scheduler.JobPostTasks:
		o.Queue = j.queue()
		o.Tasks, err = s.drafts(ctx, j)
	case scheduler.JobSwitchScheduler:
		status := fmt.Sprint(j.params["status"])
		o.Queue, o.Switch = j.queue(), new(status == "on")
		o.Detail = fmt.Sprintf("switched task scheduler %d %s", o.Queue, status)
	case scheduler.JobPurgeHistory:
		err = s.purge(ctx, j, &o)
	case scheduler.JobCallReport:
		err = s.report.make(ctx, j, &o)
	}
	return o, err
}

func (s jobs) purge(ctx context.Context, j job, o *scheduler.RunOutcome) error {
	days := j.number("days")
	if days < 1 { // all of the history
		return wrongParameters("days: must be at least 1")
	}
	calls, tasks, err := s.purger.PurgeHistory(ctx, j.work.Client.ID, s.now().AddDate(0, 0, -int(days)))
	o.Detail = fmt.Sprintf("forgot %d calls and %d finished tasks that ended more than %d days ago", calls, tasks, days)
	return err
}

// read reads the parameters of a run, and checks all that is known before it.
func (s jobs) read(ctx context.Context, work scheduler.RunWork) (job, error) {
	j := job{work: work}
	var err error
	if j.zone, err = time.LoadLocation(work.Account.TimeZone); err != nil {
		return j, err
	}
	var wrong []string
	if j.params, wrong = readParameters(work.Task.Job, work.Task.ContentType, work.Task.Parameters); len(wrong) > 0 {
		return j, wrongParameters(wrong...)
	}
	return j, nil
}

// check says what is wrong with the parameters of a task that is registered.
func (s jobs) check(ctx context.Context, work scheduler.RunWork) error {
	j, err := s.read(ctx, work)
	if err != nil {
		return err
	}
	queues := []scheduler.QueueID{}
	if id := j.queue(); id != 0 {
		queues = append(queues, id)
	}
	queues = append(queues, j.queues()...)
	for _, id := range queues {
		if _, err := s.queues.Queue(ctx, work.Client.ID, id); isNotFound(err) {
			return wrongParameters(fmt.Sprintf("the client has no task scheduler %d", id))
		} else if err != nil {
			return err
		}
	}
	if work.Task.Job == scheduler.JobPostTasks {
		_, err = s.drafts(ctx, j)
	}
	return err
}

// client returns the one that a task acts as: that which its parameters name, or
// the newest of the account; none that is disabled.
func (s jobs) client(ctx context.Context, account scheduler.AccountID, params map[string]any) (scheduler.Client, error) {
	own, err := ownClients(ctx, s.clients, account)
	if err != nil {
		return scheduler.Client{}, err
	}
	own = slices.DeleteFunc(own, func(c scheduler.Client) bool { return !c.DisabledAt.IsZero() })
	if len(own) == 0 {
		return scheduler.Client{}, &scheduler.Error{Kind: scheduler.Invalid, Status: "client_required", Message: "the account needs a client before it can have tasks: POST clients"}
	}
	named, given := params["client_id"].(string)
	newest := own[0]
	for _, c := range own {
		if given && strings.EqualFold(string(c.ID), named) {
			return c, nil
		}
		if !c.CreatedAt.Before(newest.CreatedAt) {
			newest = c
		}
	}
	if given {
		return scheduler.Client{}, wrongParameters("client_id: is not a client of the account, or disabled")
	}
	return newest, nil
}

func wrongParameters(wrong ...string) error {
	var faults scheduler.Faults
	const told = 10
	for i, w := range wrong {
		if i == told {
			w = fmt.Sprintf("and %d more", len(wrong)-told)
		}
		faults.Add("Parameters", "%s", w)
		if i == told {
			break
		}
	}
	return faults.Err()
}

// timeOfDay is how a task that recurs says when in a day a call starts.
var timeOfDay = regexp.MustCompile(`^([01]?\d|2[0-3]):([0-5]\d):([0-5]\d)$`)

// drafts reads and checks the tasks of a POST_TASKS as they are posted now.
func (s jobs) drafts(ctx context.Context, j job) ([]scheduler.Task, error) {
	now := s.now()
	given, _ := j.params["tasks"].([]any) // the schema says that it is one
	tasks := make([]any, len(given))
	var wrong []string
	for i, g := range given {
		task := map[string]any{}
		for name, value := range g.(map[string]any) {
			task[name] = value
		}
		for _, w := range j.settle(task) {
			wrong = append(wrong, fmt.Sprintf("tasks[%d].%s", i, w))
		}
		tasks[i] = task
	}
	if len(wrong) > 0 {
		return nil, wrongParameters(wrong...)
	}
	text, err := json.Marshal(map[string]any{"tasks": tasks})
	if err != nil {
		return nil, err
	}
	d, err := decode(string(text))
	if err != nil {
		return nil, err
	}
	in := s.tasks.intake(ctx, caller{client: j.work.Client.ID, settings: j.work.Client.Settings}, j.queue(), now)
	made, err := d.tasks(in)
	if invalid, ok := errors.AsType[*scheduler.Error](err); ok && len(invalid.Faults) > 0 {
		for _, f := range invalid.Faults {
			wrong = append(wrong, callback.spell(f.Field)+" "+f.Message)
		}
		return nil, wrongParameters(wrong...)
	}
	return made, err
}

// settle writes what depends on the run into a task: when it starts, and its
// external id. It returns what is wrong.
func (j job) settle(task map[string]any) (wrong []string) {
	recurs := j.work.Task.Frequency != scheduler.FrequencyNone
	if start, ok := task["start_time_utc"].(string); ok {
		start = strings.TrimSpace(start)
		if at := timeOfDay.FindStringSubmatch(start); at != nil {
			hours, _ := strconv.Atoi(at[1])
			minutes, _ := strconv.Atoi(at[2])
			seconds, _ := strconv.Atoi(at[3])
			of := scheduler.TimeOfDay(hours*3600 + minutes*60 + seconds)
			// From the time of the run: of one that is late it may be over, which means now.
			task["start_time_utc"] = date(scheduler.NextTimeOfDay(of, j.work.Run.ScheduledFor, j.zone))
		} else if _, err := strconv.ParseUint(start, 10, 32); err != nil && recurs {
			wrong = append(wrong, "start_time_utc must be seconds from the run, or HH:MM:SS in the zone of the account, because the task recurs")
		}
	}
	if !recurs {
		return wrong
	}
	if _, given := task["deadline_utc"]; given {
		wrong = append(wrong, "deadline_utc must not be given, because the task recurs")
	}
	if id, ok := task["external_id"].(string); ok && id != "" {
		form := "-2006-01-02"
		if j.work.Task.Frequency == scheduler.Hourly {
			form += "T15:04" // of two runs in an hour, after the clocks went forward or by hand
		}
		task["external_id"] = id + j.work.Run.ScheduledFor.In(j.zone).Format(form)
	}
	return wrong
}

// queues are those that a report names.
func (j job) queues() []scheduler.QueueID {
	given, _ := j.params["scheduler_ids"].([]any)
	ids := make([]scheduler.QueueID, len(given))
	for i, g := range given {
		ids[i] = scheduler.QueueID(integerOf(g))
	}
	return ids
}
