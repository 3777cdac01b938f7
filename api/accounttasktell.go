package api

import (
	"strings"

	"ringback/scheduler"
)

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
