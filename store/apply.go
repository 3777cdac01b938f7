package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"ringback/scheduler"
)

// A write of an epoch that was raised is fenced. The lock is compatible with
// the renewal of the lease and not with a take-over, which therefore waits for
// what is in flight and then sees it.
const fence = `SELECT count(*) FROM (SELECT 1 FROM nodes WHERE id = $1 AND epoch = $2 FOR KEY SHARE) n`

const fenceSQLite = `SELECT count(*) FROM nodes WHERE id = $1 AND epoch = $2`

// Only an executed row may have been asked to be cancelled; its lock keeps the
// answer true until the commit.
var lockCancelled = statement{
	postgres: `SELECT t.id FROM tasks t JOIN unnest($1::bigint[], $2::bigint[]) AS v(queue_id, id)
		ON t.queue_id = v.queue_id AND t.id = v.id
	WHERE t.status = 'executed' AND t.cancel_requested ORDER BY t.id FOR NO KEY UPDATE OF t`,
	sqlite: `SELECT id FROM tasks WHERE queue_id = $1 AND id = $2 AND status = 'executed' AND cancel_requested`,
}

// The guard: status, attempt, node and epoch are what the transition was made
// from, and a call is bridged once. A row that does not match was overtaken.
var updateTasks = statement{
	postgres: `UPDATE tasks t SET status = v.status, result = v.result, comment = v.comment, ready_at = v.ready_at,
		attempts = v.attempts, announced = v.announced, tries_spent = v.tries_spent, caller_spent = v.caller_spent,
		reached = v.reached, releases = v.releases, free_since = v.free_since, event_seq = v.event_seq,
		call_id = v.call_id, prev_call_id = v.prev_call_id, node = v.node, epoch = v.epoch, bridged_at = v.bridged_at,
		cancel_requested = v.cancel_requested OR (v.connects AND t.cancel_requested), updated_at = v.updated_at
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::integer[], $7::integer[],
		$8::integer[], $9::integer[], $10::boolean[], $11::integer[], $12::timestamptz[], $13::integer[], $14::text[],
		$15::text[], $16::text[], $17::bigint[], $18::timestamptz[], $19::boolean[], $20::timestamptz[],
		$21::text[], $22::text[], $23::text[], $24::bigint[], $25::boolean[], $26::bigint[])
		AS v(id, status, result, comment, ready_at, attempts, announced, tries_spent, caller_spent, reached, releases,
		free_since, event_seq, call_id, prev_call_id, node, epoch, bridged_at, cancel_requested, updated_at,
		from_status, from_call, from_node, from_epoch, connects, queue_id)
	WHERE t.queue_id = v.queue_id AND t.id = v.id AND t.status = v.from_status
		AND (v.from_status <> 'executed'
			OR t.call_id = v.from_call AND t.node = v.from_node AND t.epoch = v.from_epoch)
		AND NOT (v.connects AND t.bridged_at IS NOT NULL)
	RETURNING t.id`,
	sqlite: `UPDATE tasks SET status = $2, result = $3, comment = $4, ready_at = $5,
		attempts = $6, announced = $7, tries_spent = $8, caller_spent = $9,
		reached = $10, releases = $11, free_since = $12, event_seq = $13,
		call_id = $14, prev_call_id = $15, node = $16, epoch = $17, bridged_at = $18,
		cancel_requested = $19 OR ($25 AND cancel_requested), updated_at = $20
	WHERE id = $1 AND queue_id = $26 AND status = $21 AND ($21 <> 'executed' OR call_id = $22 AND node = $23 AND epoch = $24)
		AND NOT ($25 AND bridged_at IS NOT NULL)`,
}

// A start, which is half of all updates, changes this alone: of 26 arrays to be
// unnested eight remain.
var startTasks = statement{
	postgres: `UPDATE tasks t SET status = 'executed', ready_at = NULL, attempts = v.attempts, announced = v.announced,
		event_seq = v.event_seq, call_id = v.call_id, prev_call_id = v.prev_call_id, node = ($9::text[])[1], epoch = ($10::bigint[])[1],
		bridged_at = NULL, called_at = ($11::timestamptz[])[1], called_by = ($9::text[])[1], updated_at = ($11::timestamptz[])[1]
	FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::integer[], $8::text[])
		AS v(id, queue_id, call_id, prev_call_id, attempts, announced, event_seq, from_status)
	WHERE t.queue_id = v.queue_id AND t.id = v.id AND t.status = v.from_status RETURNING t.id`,
	sqlite: `UPDATE tasks SET status = 'executed', ready_at = NULL, attempts = $5, announced = $6, event_seq = $7, call_id = $3,
		prev_call_id = $4, node = $9, epoch = $10, bridged_at = NULL, called_at = $11, called_by = $9, updated_at = $11
	WHERE id = $1 AND queue_id = $2 AND status = $8`,
}

// An end by one owner changes this alone. It clears what only an attempt has, and
// what a cancel asked for: see honourCancels. What every row is compared to looks
// like a value of v: of constants the planner believes that no row has them, as
// when it counted, and walks the table.
var endTasks = statement{
	postgres: `UPDATE tasks t SET status = v.status, result = v.result, comment = v.comment, ready_at = v.ready_at,
		tries_spent = v.tries_spent, caller_spent = v.caller_spent, reached = v.reached, releases = 0, free_since = NULL,
		event_seq = v.event_seq, node = '', epoch = 0, bridged_at = v.bridged_at, cancel_requested = false, updated_at = v.updated_at
	FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::integer[],
		$9::integer[], $10::boolean[], $11::integer[], $12::timestamptz[], $13::timestamptz[])
		AS v(id, queue_id, from_call, status, result, comment, ready_at, tries_spent, caller_spent, reached, event_seq, bridged_at, updated_at)
	WHERE t.queue_id = v.queue_id AND t.id = v.id AND t.call_id = v.from_call
		AND (t.status, t.node, t.epoch) = (CASE WHEN v.id > 0 THEN 'executed' END, CASE WHEN v.id > 0 THEN ($14::text[])[1] END,
			CASE WHEN v.id > 0 THEN ($15::bigint[])[1] END)
	RETURNING t.id`,
	sqlite: `UPDATE tasks SET status = $4, result = $5, comment = $6, ready_at = $7,
		tries_spent = $8, caller_spent = $9, reached = $10, releases = 0, free_since = NULL,
		event_seq = $11, node = '', epoch = 0, bridged_at = $12, cancel_requested = false, updated_at = $13
	WHERE id = $1 AND queue_id = $2 AND status = 'executed' AND call_id = $3 AND node = $14 AND epoch = $15`,
}

// Apply writes a batch of transitions in one transaction, at most one a task,
// and says of each whether it was taken: one that was not had been overtaken.
// owner is the node that writes what it executes; the zero Owner may only
// write what nobody executes. ErrFenced: nothing was written, nor ever will be.
func (s *Store) Apply(ctx context.Context, owner scheduler.Owner, trs []scheduler.Transition) ([]bool, error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	var taken []bool
	err := s.write(ctx, func(t *tx) error {
		t.results = owner.Node != ""
		if err := t.fence(owner); err != nil {
			return err
		}
		calls := callbacks(trs)
		if err := t.lockClientsOf(calls); err != nil {
			return err
		}
		ids := make([]scheduler.QueueID, len(trs))
		for i := range trs {
			ids[i] = trs[i].Task.QueueID // 0, which is nobody's, without a task
		}
		locked, err := t.lockQueues(ids)
		if err != nil {
			return err
		}
		if taken, err = t.apply(locked, trs); err != nil {
			return err
		}
		if len(calls) > 0 {
			if err := t.applyCallbacks(trs, taken); err != nil {
				return err
			}
		}
		return t.saveRuntimes(locked)
	})
	return taken, err
}

// fence holds the epoch of the owner until the commit.
func (t *tx) fence(owner scheduler.Owner) error {
	if owner.Node == "" {
		return nil
	}
	query := fenceSQLite
	if t.postgres != nil {
		query = fence
	}
	n, err := collect(t, query, []any{owner.Node, owner.Epoch}, func(r *sql.Rows, n *int) error { return r.Scan(n) })
	if err != nil {
		return err
	}
	if n[0] == 0 {
		return scheduler.ErrFenced
	}
	return nil
}

// apply writes transitions of queues whose rows are locked, and moves the
// queues' counts, brakes and statistics by what was taken.
func (t *tx) apply(locked []lockedQueue, trs []scheduler.Transition) ([]bool, error) {
	if err := t.holdSlots(locked, trs); err != nil {
		return nil, err
	}
	if err := t.honourCancels(trs); err != nil {
		return nil, err
	}
	taken, err := t.updateTasks(trs)
	if err != nil {
		return nil, err
	}
	at := make(map[scheduler.QueueID]*lockedQueue, len(locked))
	for i := range locked {
		at[locked[i].queue.ID] = &locked[i]
	}
	written, all := trs, !slices.Contains(taken, false)
	if !all {
		written = make([]scheduler.Transition, 0, len(trs))
	}
	var events []scheduler.Event
	for i, ok := range taken {
		if !ok {
			continue
		}
		if !all {
			written = append(written, trs[i])
		}
		events = append(events, trs[i].Events...)
		l := at[trs[i].Task.QueueID]
		l.runtime = l.runtime.Moved(l.queue, trs[i])
		t.changed(trs[i].Task)
		t.count(l, trs[i])
	}
	if t.written == nil { // as it mostly is: these are not copied
		t.written = slices.Clip(written)
	} else {
		t.written = append(t.written, written...)
	}
	if err := t.moveSlots(written); err != nil {
		return nil, err
	}
	if err := t.writeAttempts(written); err != nil {
		return nil, err
	}
	if err := t.noteTransitions(written); err != nil {
		return nil, err
	}
	if len(events) == 0 {
		return taken, nil
	}
	t.eventful = true
	return taken, t.insertDeliveries(events)
}

// updateTasks writes the tasks of transitions, and says which it found as they
// must be.
func (t *tx) updateTasks(trs []scheduler.Transition) ([]bool, error) {
	taken := make([]bool, len(trs))
	var sorts [3][]int
	for i := range trs {
		sort := wholly
		switch {
		case trs[i].Step == scheduler.StepStart:
			sort = starting
		case trs[i].Step == scheduler.StepEnd && trs[i].From.Node == trs[0].From.Node && trs[i].From.Epoch == trs[0].From.Epoch:
			sort = ending
		}
		sorts[sort] = append(sorts[sort], i)
	}
	for sort, places := range sorts {
		if len(places) == 0 {
			continue
		}
		some := trs
		if len(places) < len(trs) {
			some = make([]scheduler.Transition, len(places))
			for i, place := range places {
				some[i] = trs[place]
			}
		}
		var found []bool
		var err error
		switch sort {
		case starting:
			found, err = t.matched(startTasks, startsBatch(some))
		case ending:
			found, err = t.matched(endTasks, endsBatch(some))
		default:
			found, err = t.matched(updateTasks, transitionBatch(some))
		}
		if err != nil {
			return nil, err
		}
		for i, place := range places {
			taken[place] = found[i]
		}
	}
	return taken, nil
}

// The ways in which transitions are written.
const (
	starting = iota
	ending
	wholly
)

// startsBatch is of starts by one node at one time, as a claim makes them.
func startsBatch(trs []scheduler.Transition) batch {
	type T = scheduler.Transition
	task := &trs[0].Task
	return batch{n: len(trs), columns: []column{
		col(trs, taskOf),
		col(trs, queueOf),
		col(trs, func(t *T) string { return string(t.Task.CallID) }),
		col(trs, func(t *T) string { return string(t.Task.PrevCallID) }),
		col(trs, func(t *T) int { return t.Task.Attempts }),
		col(trs, func(t *T) int { return t.Task.Announced }),
		col(trs, func(t *T) int { return t.Task.EventSeq }),
		col(trs, func(t *T) string { return string(t.From.Status) }),
		constant(task.Node),
		constant(task.Epoch),
		constantTime(task.UpdatedAt),
	}}
}

// endsBatch is of ends by one owner.
func endsBatch(trs []scheduler.Transition) batch {
	type T = scheduler.Transition
	from := trs[0].From
	return batch{n: len(trs), columns: []column{
		col(trs, taskOf),
		col(trs, queueOf),
		col(trs, func(t *T) string { return string(t.From.CallID) }),
		col(trs, func(t *T) string { return string(t.Task.Status) }),
		col(trs, func(t *T) string { return string(t.Task.Result) }),
		col(trs, func(t *T) string { return t.Task.Comment }),
		timeCol(trs, func(t *T) time.Time { return t.Task.ReadyAt }),
		col(trs, func(t *T) int { return t.Task.TriesSpent }),
		col(trs, func(t *T) int { return t.Task.CallerSpent }),
		col(trs, func(t *T) bool { return t.Task.Reached }),
		col(trs, func(t *T) int { return t.Task.EventSeq }),
		timeCol(trs, func(t *T) time.Time { return t.Task.BridgedAt }),
		timeCol(trs, func(t *T) time.Time { return t.Task.UpdatedAt }),
		constant(from.Node),
		constant(from.Epoch),
	}}
}

// honourCancels turns what would wait again, and was asked to be cancelled
// while it ran, into a cancelled task.
func (t *tx) honourCancels(trs []scheduler.Transition) error {
	var back []scheduler.Transition
	for i := range trs {
		if trs[i].From.Status == scheduler.Executed && trs[i].Task.Status.Waiting() {
			back = append(back, trs[i])
		}
	}
	if len(back) == 0 {
		return nil
	}
	asked, err := gather(t, lockCancelled, batch{n: len(back), columns: []column{
		col(back, queueOf), col(back, taskOf),
	}}, func(r row, id *scheduler.TaskID) error { return r.Scan(id) })
	if err != nil || len(asked) == 0 {
		return err
	}
	for i, tr := range trs {
		if tr.Task.Status.Waiting() && slices.Contains(asked, tr.Task.ID) {
			trs[i] = tr.Cancelled()
		}
	}
	return nil
}

func transitionBatch(trs []scheduler.Transition) batch {
	type T = scheduler.Transition
	return batch{n: len(trs), columns: []column{
		col(trs, taskOf),
		col(trs, func(t *T) string { return string(t.Task.Status) }),
		col(trs, func(t *T) string { return string(t.Task.Result) }),
		col(trs, func(t *T) string { return t.Task.Comment }),
		timeCol(trs, func(t *T) time.Time { return t.Task.ReadyAt }),
		col(trs, func(t *T) int { return t.Task.Attempts }),
		col(trs, func(t *T) int { return t.Task.Announced }),
		col(trs, func(t *T) int { return t.Task.TriesSpent }),
		col(trs, func(t *T) int { return t.Task.CallerSpent }),
		col(trs, func(t *T) bool { return t.Task.Reached }),
		col(trs, func(t *T) int { return t.Task.Releases }),
		timeCol(trs, func(t *T) time.Time { return t.Task.FreeSince }),
		col(trs, func(t *T) int { return t.Task.EventSeq }),
		col(trs, func(t *T) string { return string(t.Task.CallID) }),
		col(trs, func(t *T) string { return string(t.Task.PrevCallID) }),
		col(trs, func(t *T) string { return t.Task.Node }),
		col(trs, func(t *T) int64 { return t.Task.Epoch }),
		timeCol(trs, func(t *T) time.Time { return t.Task.BridgedAt }),
		col(trs, func(t *T) bool { return t.Task.CancelRequested }),
		timeCol(trs, func(t *T) time.Time { return t.Task.UpdatedAt }),
		col(trs, func(t *T) string { return string(t.From.Status) }),
		col(trs, func(t *T) string { return string(t.From.CallID) }),
		col(trs, func(t *T) string { return t.From.Node }),
		col(trs, func(t *T) int64 { return t.From.Epoch }),
		col(trs, func(t *T) bool { return t.Step == scheduler.StepConnect }),
		col(trs, queueOf),
	}}
}

func taskOf(t *scheduler.Transition) int64 { return int64(t.Task.ID) }

func queueOf(t *scheduler.Transition) int64 { return int64(t.Task.QueueID) }
