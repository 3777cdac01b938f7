package api

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// The years in which recurring tasks may start and finish.
const firstYear, lastYear = 1970, 2199

// notifications are the names of the flags.
var notifications = []string{"NONE", scheduler.Notifications[scheduler.NotifyEmail], scheduler.Notifications[scheduler.NotifyWebhook]}

// accountTaskRequest is a recurring task as it is asked for.
type accountTaskRequest struct {
	task  scheduler.AccountTask
	given map[string]bool // members that are there
}

func (r *accountTaskRequest) note(name string) {
	if r.given == nil {
		r.given = map[string]bool{}
	}
	r.given[name] = true
}

// accountTaskMember makes a member that is noted when it is there.
func accountTaskMember(name string, read func(*decoder, *accountTaskRequest)) member[accountTaskRequest] {
	return member[accountTaskRequest]{name, name, func(d *decoder, r *accountTaskRequest) {
		r.note(name)
		read(d, r)
	}}
}

// accountTaskShape is a recurring task in requests.
var accountTaskShape = newShape(
	accountTaskMember("TaskID", func(d *decoder, r *accountTaskRequest) {
		guid, ok := d.guid()
		if _, known := scheduler.JobByID(scheduler.JobID(guid)); ok && !known {
			d.fault("is not in the catalogue: GET tasks")
		}
		r.task.Job = scheduler.JobID(guid)
	}),
	accountTaskMember("Frequency", func(d *decoder, r *accountTaskRequest) {
		n, _ := d.enum(scheduler.Frequencies)
		r.task.Frequency = scheduler.Frequency(n)
	}),
	accountTaskMember("StartDate", func(d *decoder, r *accountTaskRequest) { r.task.StartAt = d.taskDate() }),
	accountTaskMember("FinishDate", func(d *decoder, r *accountTaskRequest) { r.task.FinishAt = d.taskDate() }),
	accountTaskMember("Parameters", func(d *decoder, r *accountTaskRequest) { d.text(&r.task.Parameters) }),
	accountTaskMember("ContentType", func(d *decoder, r *accountTaskRequest) {
		var given string
		d.text(&given)
		if r.task.ContentType = contentTypeOf(given); given != "" && r.task.ContentType == "" {
			d.fault("must be application/xml or application/json")
		}
	}),
	accountTaskMember("Notification", func(d *decoder, r *accountTaskRequest) {
		n, _ := d.flags(notifications)
		r.task.Notification = scheduler.Notification(n)
	}),
	accountTaskMember("NotificationUrl", func(d *decoder, r *accountTaskRequest) { d.text(&r.task.NotificationURL) }),
	member[accountTaskRequest]{"Enabled", "Enabled", func(d *decoder, r *accountTaskRequest) {
		if is, ok := d.truth(); ok {
			r.note("Enabled")
			r.task.Enabled = is
		}
	}},
).require("TaskID", "Frequency", "Parameters", "ContentType")

// taskDate reads a date of a recurring task, as it is kept: to the microsecond.
func (d *decoder) taskDate() time.Time {
	at, ok := d.moment()
	if ok && (at.Year() < firstYear || at.Year() > lastYear) {
		d.fault("must be in the years 1970 to 2199")
	}
	return at.Truncate(time.Microsecond)
}

// over writes what a request gives over a task.
func (r *accountTaskRequest) over(t scheduler.AccountTask) scheduler.AccountTask {
	t.Job, t.Frequency, t.Parameters, t.ContentType = r.task.Job, r.task.Frequency, r.task.Parameters, r.task.ContentType
	if r.given["StartDate"] {
		t.StartAt = r.task.StartAt
	}
	if r.given["FinishDate"] {
		t.FinishAt = r.task.FinishAt
	}
	if r.given["Notification"] {
		t.Notification = r.task.Notification
	}
	if r.given["NotificationUrl"] {
		t.NotificationURL = r.task.NotificationURL
	}
	if r.given["Enabled"] {
		t.Enabled = r.task.Enabled
	}
	return t
}

// ask reads a request, and checks the task that it makes of one.
func (s accountTasks) ask(c echo.Context, me caller, root string, of scheduler.AccountTask, account scheduler.Account) (*accountTaskRequest, scheduler.AccountTask, error) {
	d, err := ask(c, me, root)
	if err != nil {
		return nil, of, err
	}
	if d.zone, err = time.LoadLocation(account.TimeZone); err != nil { // of the task's account, which the grid is of, too
		return nil, of, err
	}
	r := &accountTaskRequest{}
	accountTaskShape.read(d, r)
	task := r.over(of)
	if !task.FinishAt.IsZero() && task.FinishAt.Before(task.StartAt) && !d.faulty("FinishDate") && !d.faulty("StartDate") {
		d.faults.Add("FinishDate", "must not be before StartDate")
	}
	s.checkNotification(d, task, account)
	var client scheduler.Client
	if !d.faulty("Parameters") {
		client, err = s.checkParameters(c.Request().Context(), d, task, account)
	}
	if bad := d.err(); bad != nil {
		return nil, task, bad
	}
	task.ClientID = client.ID
	return r, task, err
}

func (s accountTasks) checkNotification(d *decoder, task scheduler.AccountTask, account scheduler.Account) {
	if task.NotificationURL != "" && !d.faulty("NotificationUrl") {
		if len(task.NotificationURL) > scheduler.MaxURL {
			d.faults.Add("NotificationUrl", "must be at most %d characters long", scheduler.MaxURL)
		} else if err := s.checkURL(task.NotificationURL); err != nil {
			d.faults.Add("NotificationUrl", "%s", err)
		}
	}
	if task.Notification&scheduler.NotifyWebhook != 0 && task.NotificationURL == "" {
		d.faults.Add("NotificationUrl", "is required with the Notification WEBHOOK")
	}
	switch {
	case task.Notification&scheduler.NotifyEmail == 0 || d.faulty("Notification"):
	case !s.mails:
		d.faults.Add("Notification", "cannot be EMAIL: the service has no mail server (RINGBACK_SMTP_URL)")
	case account.Email == "":
		d.faults.Add("Notification", "cannot be EMAIL: the account has no e-mail address")
	}
}

// checkParameters says what is wrong with the parameters, as far as what they are
// for is known, and returns the client that the task acts as.
func (s accountTasks) checkParameters(ctx context.Context, d *decoder, task scheduler.AccountTask, account scheduler.Account) (scheduler.Client, error) {
	fault := func(wrong ...string) {
		if err := wrongParameters(wrong...); err != nil {
			d.faults = append(d.faults, faultsOf(err)...)
		}
	}
	if task.ContentType == "" || d.faulty("TaskID") {
		if wrong := notWritten(task.ContentType, task.Parameters); wrong != "" {
			fault(wrong)
		}
		return scheduler.Client{}, nil
	}
	params, wrong := readParameters(task.Job, task.ContentType, task.Parameters)
	if len(wrong) > 0 {
		fault(wrong...)
		return scheduler.Client{}, nil
	}
	client, err := s.jobs.client(ctx, account.ID, params)
	if err == nil {
		now := s.now()
		err = s.jobs.check(ctx, scheduler.RunWork{
			Task: task, Run: scheduler.AccountTaskRun{ScheduledFor: now}, Account: account, Client: client,
		})
	}
	if found := faultsOf(err); len(found) > 0 {
		d.faults = append(d.faults, found...)
		err = nil
	}
	return client, err
}

// faultsOf returns the faults of an error, if it has any.
func faultsOf(err error) []scheduler.Fault {
	if e, ok := err.(*scheduler.Error); ok { //nolint:errorlint // faults are never wrapped
		return e.Faults
	}
	return nil
}

// notWritten says why parameters are not well-formed, whatever they are for.
func notWritten(contentType, text string) string {
	_, noJSON := jsonValue(text)
	_, noXML := (*schemaNode)(nil).fromXML(text)
	switch {
	case contentType == mediaJSON && noJSON != nil:
		return noJSON.Error()
	case contentType == mediaXML && noXML != nil:
		return noXML.Error()
	case contentType == "" && noJSON != nil && noXML != nil:
		return "is well-formed neither as JSON nor as XML"
	}
	return ""
}
