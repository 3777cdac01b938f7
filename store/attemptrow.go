package store

import (
	"time"

	"ringback/scheduler"
)

var insertAttempts = statement{
	postgres: `INSERT INTO attempts (call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
		started_at, variables)
	SELECT call_id, client_id::uuid, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164, started_at, variables
	FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::text[], $8::text[],
		$9::text[], $10::text[], $11::timestamptz[], $12::text[])
		AS u(call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164, started_at, variables)`,
	sqlite: `INSERT INTO attempts (call_id, client_id, queue_id, task_id, extension_id, number, node, a_number, b_number, b_number_e164,
		started_at, variables) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
}

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

var deleteAttempts = statement{
	postgres: `DELETE FROM attempts WHERE call_id = ANY($1::text[])`,
	sqlite:   `DELETE FROM attempts WHERE call_id = $1`,
}

// writeAttempts writes the attempt rows of transitions that were taken.
func (t *tx) writeAttempts(trs []scheduler.Transition) error {
	byStep := map[scheduler.Step][]scheduler.Attempt{}
	for i := range trs {
		if !trs[i].HasAttempt() {
			continue
		}
		step := trs[i].Step
		switch step {
		case scheduler.StepLose:
			step = scheduler.StepEnd
		case scheduler.StepSkip, scheduler.StepPostpone:
			step = scheduler.StepRelease
		}
		if byStep[step] == nil {
			byStep[step] = make([]scheduler.Attempt, 0, len(trs)-i)
		}
		byStep[step] = append(byStep[step], trs[i].Attempt)
	}
	variables, err := jsonCol(byStep[scheduler.StepStart], "{}", func(a *scheduler.Attempt) any { return &a.Variables })
	if err != nil {
		return err
	}
	legs, err := jsonCol(byStep[scheduler.StepEnd], "[]", func(a *scheduler.Attempt) any { return &a.Legs })
	if err != nil {
		return err
	}
	if err := t.exec(insertAttempts, startBatch(byStep[scheduler.StepStart], variables)); err != nil {
		return err
	}
	connected := byStep[scheduler.StepConnect]
	if err := t.exec(connectAttempts, batch{n: len(connected), columns: []column{
		col(connected, callID), timeCol(connected, func(a *scheduler.Attempt) time.Time { return a.BridgedAt }),
	}}); err != nil {
		return err
	}
	if err := t.exec(endAttempts, endBatch(byStep[scheduler.StepEnd], legs)); err != nil {
		return err
	}
	released := byStep[scheduler.StepRelease]
	return t.exec(deleteAttempts, batch{n: len(released), columns: []column{col(released, callID)}})
}

func callID(a *scheduler.Attempt) string { return string(a.CallID) }

func startBatch(rows []scheduler.Attempt, variables column) batch {
	type A = scheduler.Attempt
	return batch{n: len(rows), columns: []column{
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
	}}
}

func endBatch(rows []scheduler.Attempt, legs column) batch {
	type A = scheduler.Attempt
	return batch{n: len(rows), columns: []column{
		col(rows, callID),
		timeCol(rows, func(a *A) time.Time { return a.AnsweredAt }),
		timeCol(rows, func(a *A) time.Time { return a.BridgedAt }),
		timeCol(rows, func(a *A) time.Time { return a.EndedAt }),
		col(rows, func(a *A) string { return string(a.Result) }),
		col(rows, func(a *A) string { return a.HangupCause }),
		col(rows, func(a *A) string { return string(a.HangupBy) }),
		col(rows, func(a *A) bool { return a.Simulated }),
		legs,
	}}
}
