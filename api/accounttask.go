package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// The years in which recurring tasks may start and finish.
const firstYear, lastYear = 1970, 2199

// notifications are the names of the flags.
var notifications = []string{"NONE", scheduler.Notifications[scheduler.NotifyEmail], scheduler.Notifications[scheduler.NotifyWebhook]}

// accountTasks answers …/tasks and …/tasks/account.
type accountTasks struct {
	keeper   AccountTasks
	jobs     jobs
	checkURL func(string) error
	mails    bool // there is a mail server
	now      func() time.Time
}

// jobAnswer is an entry of the catalogue.
type jobAnswer struct {
	TaskID      scheduler.JobID
	Name        string
	Description string
	Parameters  json.RawMessage // JSON Schema
}

func (jobAnswer) xmlName() string { return "TaskResponse" }

func (s accountTasks) catalogue(c echo.Context, me caller) error {
	told := make([]jobAnswer, len(scheduler.Catalogue))
	for i, j := range scheduler.Catalogue {
		told[i] = jobAnswer{TaskID: j.ID, Name: j.Name, Description: j.Description, Parameters: jobSchemas[j.ID].text}
	}
	return succeed(c, me, told)
}

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

// accountTaskAnswer is a recurring task as it is told.
type accountTaskAnswer struct {
	ID              scheduler.AccountTaskID
	TaskID          scheduler.JobID
	Name            string
	Enabled         bool
	Frequency       string
	StartDate       *string
	FinishDate      *string
	Parameters      string
	ContentType     string
	Notification    string
	DateCreated     string
	DateModified    string
	LastRunOn       *string
	LastRunBy       string
	LastModifiedBy  string
	Status          scheduler.AccountTaskStatus
	ClientID        scheduler.ClientID
	NextRunOn       *string
	NotificationUrl string //nolint:revive // the name on the wire
}

func (accountTaskAnswer) xmlName() string { return "AccountTaskResponse" }

func tellAccountTask(t scheduler.AccountTask) accountTaskAnswer {
	j, _ := scheduler.JobByID(t.Job)
	return accountTaskAnswer{
		ID: t.ID, TaskID: t.Job, Name: j.Name, Enabled: t.Enabled, Frequency: t.Frequency.String(),
		StartDate: isoDateOrNull(t.StartAt), FinishDate: isoDateOrNull(t.FinishAt), Parameters: t.Parameters, ContentType: t.ContentType,
		Notification: tellFlags(notifications, int(t.Notification)), DateCreated: isoDate(t.CreatedAt), DateModified: isoDate(t.ModifiedAt),
		LastRunOn: isoDateOrNull(t.LastRunAt), LastRunBy: t.LastRunBy, LastModifiedBy: t.ModifiedBy,
		Status: t.Status(), ClientID: t.ClientID, NextRunOn: isoDateOrNull(t.NextAt), NotificationUrl: t.NotificationURL,
	}
}

// runAnswer is a run of a recurring task as it is told.
type runAnswer struct {
	ID           scheduler.RunID
	Result       string
	ScheduledFor string
	Times        int
	StartedOn    string
	EndedOn      *string
	RunBy        string
	Detail       string
}

func (runAnswer) xmlName() string { return "AccountTaskRunResponse" }

func tellRun(r scheduler.AccountTaskRun) runAnswer {
	return runAnswer{
		ID: r.ID, Result: strings.ToUpper(string(r.State)), ScheduledFor: isoDate(r.ScheduledFor), Times: r.Times,
		StartedOn: isoDate(r.StartedAt), EndedOn: isoDateOrNull(r.EndedAt), RunBy: r.RunBy, Detail: r.Detail,
	}
}

// who names the caller in what is kept of a task.
func who(me caller) string {
	if me.byClient() {
		return me.Client.Name
	}
	return me.User.Username
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

func (s accountTasks) add(c echo.Context, me caller) error {
	now := s.now().UTC().Truncate(time.Microsecond)
	_, task, err := s.ask(c, me, "AccountTaskRequest", scheduler.AccountTask{Enabled: true}, me.Account)
	if err != nil {
		return err
	}
	task.Enabled = true // the documented request cannot say otherwise
	task.ID, task.AccountID = scheduler.AccountTaskID(scheduler.NewGUID(now)), me.Account.ID
	task.CreatedAt, task.ModifiedAt, task.ModifiedBy = now, now, who(me)
	zone, err := time.LoadLocation(me.Account.TimeZone)
	if err != nil {
		return err
	}
	if once := scheduler.OnceOf(c.Request().Context()); once != nil {
		once.Answer = string(task.ID)
	}
	task, missed := task.Schedule(now, zone)
	if err := s.keeper.AddAccountTask(c.Request().Context(), task, missed); err != nil {
		return err
	}
	return succeed(c, me, tellAccountTask(task))
}

// added answers a task that was made before, as it is now.
func (s accountTasks) added(c echo.Context, me caller, kept scheduler.Once) error {
	task, _, err := s.one(c, me, kept.Answer)
	if err != nil {
		return err
	}
	return succeed(c, me, tellAccountTask(task))
}

// ran answers a run that was asked for before.
func (s accountTasks) ran(c echo.Context, me caller, _ scheduler.Once) error {
	return succeed(c, me, nil)
}

// one reads the task of an id: a user's token reaches those of the account and
// the accounts below it, a client's those of its own account.
func (s accountTasks) one(c echo.Context, me caller, id string) (scheduler.AccountTask, scheduler.Account, error) {
	guid, ok := scheduler.ParseGUID(id)
	if !ok {
		return scheduler.AccountTask{}, scheduler.Account{}, errNoTask
	}
	ctx := c.Request().Context()
	task, err := s.keeper.AccountTask(ctx, me.Account.ID, scheduler.AccountTaskID(guid))
	if isNotFound(err) || err == nil && me.byClient() && task.AccountID != me.Account.ID {
		return task, scheduler.Account{}, errNoTask
	}
	if err != nil {
		return task, scheduler.Account{}, err
	}
	account, err := s.keeper.Account(ctx, task.AccountID)
	return task, account, err
}

var errNoTask = scheduler.Errorf(scheduler.NotFound, "there is no such task")

func (s accountTasks) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.page(false)
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.keeper.AccountTasks(c.Request().Context(), me.Account.ID, page)
	if err != nil {
		return err
	}
	told := make([]accountTaskAnswer, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tellAccountTask(row)
	}
	total(c, found.Total)
	links(c, len(told), found.Total, "")
	return succeed(c, me, told)
}

func (s accountTasks) get(c echo.Context, me caller) error {
	task, _, err := s.one(c, me, c.Param("id"))
	if err != nil {
		return err
	}
	return succeed(c, me, tellAccountTask(task))
}

func (s accountTasks) change(c echo.Context, me caller) error {
	is, account, err := s.one(c, me, c.Param("id"))
	if err != nil {
		return err
	}
	r, checked, err := s.ask(c, me, "AccountTaskUpdateRequest", is, account)
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(account.TimeZone)
	if err != nil {
		return err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	changed, err := s.keeper.UpdateAccountTask(c.Request().Context(), account.ID, is.ID, func(t *scheduler.AccountTask) (*scheduler.AccountTaskRun, error) {
		if !t.ModifiedAt.Equal(is.ModifiedAt) {
			return nil, scheduler.Errorf(scheduler.Conflict, "the task was changed meanwhile")
		}
		was := *t
		*t = r.over(was)
		t.ClientID, t.ModifiedAt, t.ModifiedBy = checked.ClientID, now, who(me)
		var missed *scheduler.AccountTaskRun
		*t, missed = t.Change(was, now, zone)
		return missed, nil
	})
	if err != nil {
		return err
	}
	return succeed(c, me, tellAccountTask(changed))
}

func (s accountTasks) remove(c echo.Context, me caller) error {
	task, _, err := s.one(c, me, c.Param("id"))
	if err != nil {
		return err
	}
	if err := s.keeper.DeleteAccountTask(c.Request().Context(), task.AccountID, task.ID); err != nil {
		return err
	}
	return succeed(c, me, nil)
}

func (s accountTasks) runs(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.page(true)
	if err := q.err(); err != nil {
		return err
	}
	task, _, err := s.one(c, me, c.Param("id"))
	if err != nil {
		return err
	}
	found, err := s.keeper.AccountTaskRuns(c.Request().Context(), task.ID, page)
	if err != nil {
		return err
	}
	told := make([]runAnswer, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tellRun(row)
	}
	total(c, found.Total)
	links(c, len(told), found.Total, "")
	return succeed(c, me, told)
}

// run has a task run now.
func (s accountTasks) run(c echo.Context, me caller) error {
	q := newQuery(c)
	id := q.text("id")
	if id == "" {
		q.fault("id", "is required")
	}
	if err := q.err(); err != nil {
		return err
	}
	task, _, err := s.one(c, me, id)
	if err != nil {
		return err
	}
	if _, err := s.keeper.RunAccountTask(c.Request().Context(), task.AccountID, task.ID, who(me), s.now()); err != nil {
		return err
	}
	return succeed(c, me, nil)
}

// routes makes the routes of recurring tasks in a group of the admin API.
func (s accountTasks) routes(g *echo.Group, guard guard, onces onces) {
	for _, r := range []struct {
		method, path string
		handle       func(echo.Context, caller) error
	}{
		{http.MethodGet, "/tasks", plain(s.catalogue)},
		{http.MethodGet, "/tasks/account", s.list},
		{http.MethodPost, "/tasks/account", onces.once(plain(s.add), s.added)},
		{http.MethodPost, "/tasks/account/run", onces.once(s.run, s.ran)},
		{http.MethodGet, "/tasks/account/:id", plain(s.get)},
		{http.MethodPut, "/tasks/account/:id", plain(s.change)},
		{http.MethodDelete, "/tasks/account/:id", plain(s.remove)},
		{http.MethodGet, "/tasks/account/:id/runs", s.runs},
	} {
		g.Add(r.method, r.path, guard.user(r.handle))
	}
}
