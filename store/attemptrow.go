package store

import (
	"time"

	"ringback/scheduler"
)

// Values of attemptBatch, in its order. On PostgreSQL rows are copied.
const attemptColumns = `(call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
		started_at, variables, answered_at, bridged_at, ended_at, result, hangup_cause, hangup_by, simulated, legs)`

var insertAttempts = statement{
	postgres: attemptColumns,
	sqlite: `INSERT INTO attempts ` + attemptColumns + `
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
}

// Attempts of calls without a task, which have no other row that tells of them
// while they last.
var connectAttempts = statement{
	postgres: `UPDATE attempts a SET bridged_at = v.bridged_at
	FROM unnest($1::text[], $2::timestamptz[]) AS v(call_id, bridged_at) WHERE a.call_id = v.call_id`,
	sqlite: `UPDATE attempts SET bridged_at = $2 WHERE call_id = $1`,
}

var endAttempts = statement{
	postgres: `UPDATE attempts a SET answered_at = v.answered_at, bridged_at = v.bridged_at, ended_at = v.ended_at,
		result = v.result, hangup_cause = v.cause, hangup_by = v.hangup_by, simulated = v.simulated, legs = v.legs
	FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
		$8::boolean[], $9::text[]) AS v(call_id, answered_at, bridged_at, ended_at, result, cause, hangup_by, simulated, legs)
	WHERE a.call_id = v.call_id`,
	sqlite: `UPDATE attempts SET answered_at = $2, bridged_at = $3, ended_at = $4, result = $5, hangup_cause = $6,
		hangup_by = $7, simulated = $8, legs = $9 WHERE call_id = $1`,
}

// writeAttempts writes the attempt rows of transitions that were taken: one
// that has ended, and of a call without a task as soon as it begins.
func (t *tx) writeAttempts(trs []scheduler.Transition) error {
	var whole, bridged, ended []scheduler.Attempt
	for i := range trs {
		tr := &trs[i]
		switch {
		case !tr.HasAttempt():
		case !tr.Callback, tr.Step == scheduler.StepStart:
			if whole == nil {
				whole = make([]scheduler.Attempt, 0, len(trs)-i)
			}
			whole = append(whole, tr.Attempt)
		case tr.Step == scheduler.StepConnect:
			bridged = append(bridged, tr.Attempt)
		default:
			ended = append(ended, tr.Attempt)
		}
	}
	if err := t.insertAttempts(whole); err != nil {
		return err
	}
	if err := t.exec(connectAttempts, batch{n: len(bridged), columns: []column{
		col(bridged, callID), timeCol(bridged, func(a *scheduler.Attempt) time.Time { return a.BridgedAt }),
	}}); err != nil {
		return err
	}
	outcome, err := outcomeColumns(ended)
	if err != nil {
		return err
	}
	return t.exec(endAttempts, batch{n: len(ended), columns: append([]column{col(ended, callID)}, outcome...)})
}

func (t *tx) insertAttempts(rows []scheduler.Attempt) error {
	if len(rows) == 0 {
		return nil
	}
	b, err := attemptBatch(rows)
	if err != nil {
		return err
	}
	if t.postgres != nil {
		return t.load("attempts", insertAttempts.postgres, b)
	}
	return t.exec(insertAttempts, b)
}

func callID(a *scheduler.Attempt) string { return string(a.CallID) }

func attemptBatch(rows []scheduler.Attempt) (batch, error) {
	type A = scheduler.Attempt
	variables, err := jsonCol(rows, "{}", func(a *A) any { return &a.Variables })
	if err != nil {
		return batch{}, err
	}
	outcome, err := outcomeColumns(rows)
	return batch{n: len(rows), columns: append([]column{
		col(rows, callID),
		col(rows, func(a *A) string { return string(a.ClientID) }),
		col(rows, func(a *A) int64 { return int64(a.QueueID) }),
		col(rows, func(a *A) int64 { return int64(a.TaskID) }),
		col(rows, func(a *A) int64 { return int64(a.ExtensionID) }),
		col(rows, func(a *A) int { return a.Number }),
		col(rows, func(a *A) string { return a.Node }),
		col(rows, func(a *A) string { return a.From }),
		col(rows, func(a *A) string { return a.To }),
		col(rows, func(a *A) string { return a.ToE164 }),
		timeCol(rows, func(a *A) time.Time { return a.StartedAt }),
		variables,
	}, outcome...)}, err
}

// outcomeColumns are what the end of an attempt tells.
func outcomeColumns(rows []scheduler.Attempt) ([]column, error) {
	type A = scheduler.Attempt
	legs, err := jsonCol(rows, "[]", func(a *A) any { return &a.Legs })
	return []column{
		timeCol(rows, func(a *A) time.Time { return a.AnsweredAt }),
		timeCol(rows, func(a *A) time.Time { return a.BridgedAt }),
		timeCol(rows, func(a *A) time.Time { return a.EndedAt }),
		col(rows, func(a *A) string { return string(a.Result) }),
		col(rows, func(a *A) string { return a.HangupCause }),
		col(rows, func(a *A) string { return string(a.HangupBy) }),
		col(rows, func(a *A) bool { return a.Simulated }),
		legs,
	}, err
}
