package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"ringback/scheduler"
)

const (
	insertCallback = `INSERT INTO callbacks (call_id, client_id, extension_id, node, epoch, started_at) VALUES ($1, $2, $3, $4, $5, $6)`

	// The guards: the row is there while the call is, with whom it belongs to.
	connectCallback = `UPDATE callbacks SET bridged_at = $4 WHERE call_id = $1 AND node = $2 AND epoch = $3 AND bridged_at IS NULL`

	endCallback = `DELETE FROM callbacks WHERE call_id = $1 AND node = $2 AND epoch = $3`

	// Whoever raises an epoch leaves the rows of the former one to those who look.
	oddCallbacks = `SELECT c.call_id, c.client_id, c.extension_id, c.node, c.epoch, c.bridged_at, c.cancel_requested, c.started_at
	FROM callbacks c LEFT JOIN nodes n ON n.id = c.node AND n.epoch = c.epoch
	WHERE n.id IS NULL OR c.node = $1 AND (c.cancel_requested OR c.call_id <> ALL ($2::text[])) ORDER BY c.call_id`

	oddCallbacksSQLite = `SELECT c.call_id, c.client_id, c.extension_id, c.node, c.epoch, c.bridged_at, c.cancel_requested, c.started_at
	FROM callbacks c LEFT JOIN nodes n ON n.id = c.node AND n.epoch = c.epoch
	WHERE n.id IS NULL OR c.node = $1 AND (c.cancel_requested OR c.call_id NOT IN (SELECT value FROM json_each($2))) ORDER BY c.call_id`

	countCallbacks = `SELECT count(*) FROM callbacks WHERE client_id = $1 AND ($2 = 0 OR extension_id = $2)`
)

// StartCallback stores a call without a task that begins, with its attempt. It
// is Busy, and names the limit, if one that it counts for is full.
func (s *Store) StartCallback(ctx context.Context, owner scheduler.Owner, c scheduler.Callback, a scheduler.Attempt) error {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	return s.write(ctx, func(t *tx) error {
		if err := t.fence(owner); err != nil {
			return err
		}
		if err := t.lockClient(c.ClientID, "SHARE"); err != nil {
			return err
		}
		start := scheduler.Transition{
			Step: scheduler.StepStart, Callback: true, Slot: 1, Attempt: a,
			Task: scheduler.Task{ClientID: c.ClientID, ExtensionID: c.ExtensionID},
		}
		trs := []scheduler.Transition{start}
		if err := t.holdSlots(nil, trs); err != nil {
			return err
		}
		for _, l := range t.limits {
			if l.Full() {
				return l.Refuse()
			}
		}
		_, err := t.pool.ExecContext(ctx, insertCallback, c.CallID, c.ClientID, c.ExtensionID, c.Node, c.Epoch, nullable(c.StartedAt))
		if err != nil {
			return err
		}
		if err := t.moveSlots(trs); err != nil {
			return err
		}
		if once := scheduler.OnceOf(ctx); once != nil {
			once.Call = c.CallID
		}
		return t.writeAttempts(trs)
	})
}

// callbacks are those of some transitions whose calls have no task.
func callbacks(trs []scheduler.Transition) []scheduler.Transition {
	var calls []scheduler.Transition
	for _, tr := range trs {
		if tr.Callback {
			calls = append(calls, tr)
		}
	}
	return calls
}

// lockClientsOf holds the clients of calls without a task, so that no limit
// begins that does not count them.
func (t *tx) lockClientsOf(calls []scheduler.Transition) error {
	var ids []scheduler.ClientID
	for _, tr := range calls {
		ids = append(ids, tr.Task.ClientID)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := t.lockClient(id, "SHARE"); err != nil {
			return err
		}
	}
	return nil
}

// applyCallbacks writes transitions of calls without a task, of which taken
// says which were: its places are those of all.
func (t *tx) applyCallbacks(all []scheduler.Transition, taken []bool) error {
	var order []int
	for i := range all {
		if all[i].Callback {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(all[i].From.CallID, all[j].From.CallID) })
	var written []scheduler.Transition
	for _, i := range order {
		tr := &all[i]
		query, args := endCallback, []any{tr.From.CallID, tr.From.Node, tr.From.Epoch}
		if tr.Step == scheduler.StepConnect {
			query, args = connectCallback, append(args, nullable(tr.Task.BridgedAt))
		}
		res, err := t.pool.ExecContext(t.ctx, query, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if taken[i] = n > 0; taken[i] {
			written = append(written, *tr)
		}
	}
	if err := t.moveSlots(written); err != nil {
		return err
	}
	return t.writeAttempts(written)
}

// OverseeCallbacks returns the owner's calls without a task that are to be hung
// up or are not among those under way, and those of owners whose epoch was
// raised.
func (s *Store) OverseeCallbacks(ctx context.Context, owner scheduler.Owner, underWay []scheduler.CallID) ([]scheduler.Callback, error) {
	ids := make([]string, len(underWay))
	for i, id := range underWay {
		ids[i] = string(id)
	}
	query, known := oddCallbacks, any(ids)
	if s.postgres == nil {
		text, err := json.Marshal(ids)
		if err != nil {
			return nil, err
		}
		query, known = oddCallbacksSQLite, string(text)
	}
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	return collect(t, query, []any{owner.Node, known}, func(r *sql.Rows, c *scheduler.Callback) error {
		return r.Scan(&c.CallID, &c.ClientID, &c.ExtensionID, &c.Node, &c.Epoch, nullTime{&c.BridgedAt}, &c.CancelRequested, nullTime{&c.StartedAt})
	})
}
