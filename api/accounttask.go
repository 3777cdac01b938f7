package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

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
	return succeedList(c, me, found, tellAccountTask)
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
	return succeedList(c, me, found, tellRun)
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
