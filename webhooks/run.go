package webhooks

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"ringback/scheduler"
)

// TypeAccountTask is the type of the event that tells of the end of a run of a
// recurring task.
const TypeAccountTask = "account_task.finished"

// EventType spells a kind of event as its body does.
func EventType(k scheduler.EventKind) string {
	if k == scheduler.EventAccountTask {
		return TypeAccountTask
	}
	return "task." + string(k)
}

// runBody is the event as JSON.
type runBody struct {
	ID        string  `json:"id"`
	Type      string  `json:"type"`
	Timestamp string  `json:"timestamp"`
	Sequence  int     `json:"sequence"`
	Data      runData `json:"data"`
}

type runData struct {
	ClientID      scheduler.ClientID      `json:"client_id"`
	AccountID     scheduler.AccountID     `json:"account_id"`
	AccountTaskID scheduler.AccountTaskID `json:"account_task_id"`
	TaskID        scheduler.JobID         `json:"task_id"`
	Name          string                  `json:"name"`
	RunID         scheduler.RunID         `json:"run_id"`
	ScheduledFor  string                  `json:"scheduled_for"`
	StartedAt     string                  `json:"started_at"`
	EndedAt       string                  `json:"ended_at"`
	RunBy         string                  `json:"run_by"`
	Result        scheduler.RunState      `json:"result"`
	Detail        string                  `json:"detail"`
	Report        json.RawMessage         `json:"report,omitempty"`
}

func stamp(t time.Time) string { return t.UTC().Format(timestampLayout) }

// RunBody returns the event as it is sent: JSON.
func RunBody(e scheduler.RunEvent, id string) []byte {
	body, _ := json.Marshal(runBody{ // a Report is JSON already: nothing in it fails to encode
		ID: id, Type: TypeAccountTask, Timestamp: stamp(e.Run.EndedAt), Sequence: 1,
		Data: runData{
			ClientID: e.Task.ClientID, AccountID: e.Task.AccountID, AccountTaskID: e.Task.ID, TaskID: e.Task.Job, Name: e.Name, RunID: e.Run.ID,
			ScheduledFor: stamp(e.Run.ScheduledFor), StartedAt: stamp(e.Run.StartedAt), EndedAt: stamp(e.Run.EndedAt),
			RunBy: e.Run.RunBy, Result: e.Run.State, Detail: e.Run.Detail, Report: e.Report,
		},
	})
	return body
}

// RunFormBody returns the event as application/x-www-form-urlencoded, for
// receivers that read forms; a report is its JSON.
func RunFormBody(e scheduler.RunEvent, id string) []byte {
	form := url.Values{
		"event_id": {id}, "event_type": {TypeAccountTask}, "event_timestamp": {stamp(e.Run.EndedAt)}, "sequence": {"1"},
		"client_id": {string(e.Task.ClientID)}, "account_id": {string(e.Task.AccountID)}, "account_task_id": {string(e.Task.ID)},
		"task_id": {string(e.Task.Job)}, "name": {e.Name}, "run_id": {strconv.FormatInt(int64(e.Run.ID), 10)},
		"scheduled_for": {stamp(e.Run.ScheduledFor)}, "started_at": {stamp(e.Run.StartedAt)}, "ended_at": {stamp(e.Run.EndedAt)},
		"run_by": {e.Run.RunBy}, "result": {string(e.Run.State)}, "detail": {e.Run.Detail},
	}
	if e.Report != nil {
		form.Set("report", string(e.Report))
	}
	return []byte(form.Encode())
}
