package store

import (
	"context"

	"ringback/scheduler"
)

// The rows of claims name what nodes have started. All but countExecuted are
// run by who holds a node's row, so that no claim of it is in flight.
const (
	noteClaim = `INSERT INTO claims (node, queue_ids, task_ids) VALUES ($1, $2, $3)`

	// named is what the claims of $1 name, each task once.
	named = `(SELECT DISTINCT u.queue_id, u.id FROM claims c
		CROSS JOIN LATERAL unnest(c.queue_ids, c.task_ids) AS u(queue_id, id) WHERE c.node = $1) n`

	namedTasks = ` FROM ` + named + ` JOIN tasks t ON t.queue_id = n.queue_id AND t.id = n.id`
	executing  = ` WHERE t.node = $1 AND t.status = 'executed'`

	passClaims = `UPDATE claims SET node = $2 WHERE node = $1`

	countClaims = `SELECT count(*) FROM claims WHERE node = $1`

	// One statement, and so one snapshot: what a claim that is not seen has
	// started is named by its own row.
	shortenClaims = `WITH gone AS (DELETE FROM claims WHERE id = ANY (ARRAY(SELECT id FROM claims WHERE node = $1 ORDER BY id LIMIT $2))
		RETURNING queue_ids, task_ids),
	left_over AS (SELECT DISTINCT t.queue_id, t.id FROM gone
		CROSS JOIN LATERAL unnest(gone.queue_ids, gone.task_ids) AS u(queue_id, id)
		JOIN tasks t ON t.queue_id = u.queue_id AND t.id = u.id WHERE t.node = $1 AND t.status = 'executed')
	INSERT INTO claims (node, queue_ids, task_ids)
	SELECT $1, array_agg(queue_id), array_agg(id) FROM left_over HAVING count(*) > 0`
)

// claimsAtOnce is how many rows of claims are made one at a time.
const claimsAtOnce = 500

// noteClaim names what a claim starts, for whoever takes the node over.
func (t *tx) noteClaim(owner scheduler.Owner, started []scheduler.Started) error {
	if t.postgres == nil || len(started) == 0 {
		return nil
	}
	queues, ids := make([]int64, len(started)), make([]int64, len(started))
	for i := range started {
		task := &started[i].Transition.Task
		queues[i], ids[i] = int64(task.QueueID), int64(task.ID)
	}
	_, err := t.pool.ExecContext(t.ctx, noteClaim, owner.Node, queues, ids)
	return err
}

// shortenClaims forgets which tasks the owner has started and executes no more.
func (s *Store) shortenClaims(ctx context.Context, owner scheduler.Owner, executes int) error {
	if s.postgres == nil {
		return nil
	}
	var n int
	if err := s.postgres.pool.QueryRow(ctx, countClaims, owner.Node).Scan(&n); err != nil || n <= min(executes, 1) {
		return err
	}
	for ; n > 0; n -= claimsAtOnce {
		err := s.write(ctx, func(t *tx) error {
			if err := t.fence(owner); err != nil {
				return err
			}
			_, err := t.pool.ExecContext(t.ctx, shortenClaims, owner.Node, claimsAtOnce)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
