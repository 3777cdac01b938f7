package webhooks

import (
	"bytes"
	"net/url"
	"strconv"

	"ringback/scheduler"
)

// FormBody returns the event as application/x-www-form-urlencoded: what Body
// tells, in one level, for receivers that read forms.
func FormBody(e scheduler.Event, id string) []byte {
	t := &e.Task
	form := url.Values{}
	for name, value := range map[string]string{
		"event_id": id, "event_type": "task." + string(e.Kind), "event_timestamp": e.At.UTC().Format(timestampLayout),
		"sequence": strconv.Itoa(e.Sequence), "client_id": string(t.ClientID), "scheduler_id": strconv.FormatInt(int64(t.QueueID), 10),
		"task_id": strconv.FormatInt(int64(t.ID), 10), "external_id": t.ExternalID, "name": t.Name, "status": string(t.Status),
		"attempt": strconv.Itoa(t.Attempts), "try_count": strconv.Itoa(t.TryCount), "finish_result": string(t.Result),
		"finish_comment": t.Comment, "cdr": string(t.CallID), "a_number": t.ANumber, "b_number": t.BNumber,
		"extension_id": strconv.FormatInt(int64(t.ExtensionID), 10),
	} {
		form.Set(name, value)
	}
	for name, value := range t.Variables {
		form.Set("variables["+name+"]", value)
	}
	return []byte(form.Encode())
}

// contentType returns how a body is encoded: an object begins with a brace,
// which a form never has.
func contentType(body []byte) string {
	if bytes.HasPrefix(body, []byte("{")) {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}
