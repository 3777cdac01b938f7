package store

import (
	"context"
	"database/sql"
	"time"

	"ringback/scheduler"
)

// expireBatch is how many tasks one transaction of housekeeping ends.
const expireBatch = 500

// externalIDAge is how long a finished task keeps its external id.
const externalIDAge = 30 * 24 * time.Hour

const (
	overdueQueues = `SELECT DISTINCT queue_id FROM (SELECT queue_id FROM tasks
		WHERE deadline <= $1 AND deadline IS NOT NULL AND ready_at IS NOT NULL ORDER BY deadline LIMIT $2) d`

	forgetTokens = `DELETE FROM tokens WHERE expires_at <= $1`
)

// Under the queue's lock, so that no claim starts them meanwhile.
var overdueTasks = statement{
	postgres: `SELECT ` + taskColumns + ` FROM tasks t WHERE t.queue_id = ANY($1::bigint[]) AND t.ready_at IS NOT NULL
		AND t.deadline <= ($2::timestamptz[])[1] ORDER BY t.id LIMIT 500 FOR NO KEY UPDATE`,
	sqlite: `SELECT ` + taskColumns + ` FROM tasks t WHERE t.queue_id = $1 AND t.ready_at IS NOT NULL
		AND t.deadline <= $2 ORDER BY t.id LIMIT 500`,
}

// Tidy ends tasks past their deadline, also in queues where nothing starts,
// cancels what waits in deleted queues, switches off those of who is disabled,
// and forgets expired tokens, aged
// external ids and old changes. It returns how many tasks ended.
func (s *Store) Tidy(ctx context.Context, now time.Time) (ended int, err error) {
	for _, batch := range []func(context.Context, time.Time) (int, error){s.expire, s.emptyDeleted} {
		for n := 1; n > 0; ended += n {
			if n, err = batch(ctx, now); err != nil {
				return ended, err
			}
		}
	}
	if err := s.stopDisabled(ctx); err != nil {
		return ended, err
	}
	err = s.forget(ctx, now, old{forgetChanges, scheduler.ChangesKeep}, old{forgetExternalIDs, externalIDAge})
	if err != nil {
		return ended, err
	}
	return ended, s.write(ctx, func(t *tx) error {
		if _, err := t.pool.ExecContext(ctx, forgetTokens, now.UTC()); err != nil {
			return err
		}
		if _, err := t.pool.ExecContext(ctx, forgetOnce, now.Add(-scheduler.OnceKeep).UTC()); err != nil {
			return err
		}
		_, err := t.pool.ExecContext(ctx, forgetLive)
		return err
	})
}

// expire ends a batch of tasks past their deadline.
func (s *Store) expire(ctx context.Context, now time.Time) (ended int, err error) {
	err = s.write(ctx, func(t *tx) error {
		ended = 0
		ids, err := collect(t, overdueQueues, []any{now.UTC(), expireBatch},
			func(r *sql.Rows, id *scheduler.QueueID) error { return r.Scan(id) })
		if err != nil || len(ids) == 0 {
			return err
		}
		locked, err := t.lockQueues(ids)
		if err != nil {
			return err
		}
		tasks, err := gather(t, overdueTasks, batch{n: len(ids), columns: []column{
			col(ids, func(id *scheduler.QueueID) int64 { return int64(*id) }),
			timeCol(ids, func(*scheduler.QueueID) time.Time { return now }),
		}}, func(r row, task *scheduler.Task) error { return scanTask(r, task) })
		if err != nil {
			return err
		}
		var dropped []scheduler.Transition
		for _, task := range tasks {
			dropped = append(dropped, task.Drop(now, scheduler.CommentExpired))
		}
		ended = len(dropped)
		if _, err := t.apply(locked, dropped); err != nil {
			return err
		}
		return t.saveRuntimes(locked)
	})
	return ended, err
}
