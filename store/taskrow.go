package store

import (
	"database/sql"
	"encoding/json"

	"ringback/scheduler"
)

// taskColumns are what a claim needs of a task to call it, in the order of
// scanTask.
const taskColumns = `t.id, t.client_id, t.queue_id, t.extension_id, t.external_id, t.name,
	t.a_number, t.a_number_e164, t.b_number, t.b_number_e164,
	t.try_count, t.try_pause, t.try_count_caller, t.try_pause_caller,
	t.url_before, t.url_before_again, t.url_success, t.url_after, t.start_at, t.deadline, t.params, t.variables,
	t.status, t.result, t.comment, t.ready_at, t.attempts, t.announced, t.tries_spent, t.caller_spent, t.reached,
	t.releases, t.free_since, t.event_seq, t.call_id, t.prev_call_id, t.called_at, t.called_by, t.node, t.epoch, t.bridged_at,
	t.cancel_requested, t.created_at, t.updated_at`

// scanTask reads taskColumns, and after them whatever more is asked for.
func scanTask(rows row, t *scheduler.Task, more ...any) error {
	var params, variables sql.RawBytes
	err := rows.Scan(append([]any{
		&t.ID, &t.ClientID, &t.QueueID, &t.ExtensionID, &t.ExternalID, &t.Name,
		&t.ANumber, &t.ANumberE164, &t.BNumber, &t.BNumberE164,
		&t.TryCount, &t.TryPause, &t.TryCountCaller, &t.TryPauseCaller,
		&t.URLBefore, &t.URLBeforeAgain, &t.URLSuccess, &t.URLAfter, nullTime{&t.StartAt}, nullTime{&t.Deadline},
		&params, &variables,
		&t.Status, &t.Result, &t.Comment, nullTime{&t.ReadyAt}, &t.Attempts, &t.Announced, &t.TriesSpent,
		&t.CallerSpent, &t.Reached, &t.Releases, nullTime{&t.FreeSince}, &t.EventSeq, &t.CallID, &t.PrevCallID,
		nullTime{&t.CalledAt}, &t.CalledBy, &t.Node, &t.Epoch, nullTime{&t.BridgedAt}, &t.CancelRequested, nullTime{&t.CreatedAt}, nullTime{&t.UpdatedAt},
	}, more...)...)
	if err != nil {
		return err
	}
	if len(params) > len("{}") {
		if err := json.Unmarshal(params, &t.Params); err != nil {
			return err
		}
	}
	if len(variables) > len("{}") {
		return json.Unmarshal(variables, &t.Variables)
	}
	return nil
}
