package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"ringback/scheduler"
)

const (
	// The time of the database itself, for the node that measures its offset.
	postgresClock = `SELECT clock_timestamp()`

	joinNode = `INSERT INTO nodes AS n (id, epoch, expires_at) VALUES ($1, 1, $2)
	ON CONFLICT (id) DO UPDATE SET epoch = n.epoch + 1, expires_at = excluded.expires_at
	WHERE n.expires_at <= $3 RETURNING epoch`

	// SQLite is one process's: whoever had the name before is gone.
	joinNodeSQLite = `INSERT INTO nodes (id, epoch, expires_at) VALUES ($1, 1, $2)
	ON CONFLICT (id) DO UPDATE SET epoch = nodes.epoch + 1, expires_at = excluded.expires_at RETURNING epoch`

	// FOR UPDATE, and not the weaker lock of an UPDATE, waits for every claim
	// and apply in flight (see fence); the statements after it see what they took.
	lockNode = `SELECT epoch FROM nodes WHERE id = $1 FOR UPDATE`

	renewLease = `UPDATE nodes SET expires_at = $3 WHERE id = $1 AND epoch = $2`

	// A node without executed tasks, other calls and answered legs leaves nothing to be taken over.
	lapsedNodes       = lapsed + `claims WHERE node = n.id)` + lapsedOtherwise
	lapsedNodesSQLite = lapsed + `tasks WHERE node = n.id AND status = 'executed')` + lapsedOtherwise

	lapsed          = `SELECT id FROM nodes n WHERE expires_at <= $1 AND id <> $2 AND (EXISTS (SELECT 1 FROM `
	lapsedOtherwise = `
			OR EXISTS (SELECT 1 FROM callbacks WHERE node = n.id AND epoch = n.epoch)
			OR EXISTS (SELECT 1 FROM dialogs WHERE node = n.id)) ORDER BY id`

	raiseEpoch = `UPDATE nodes SET epoch = epoch + 1 WHERE id = $1 AND expires_at <= $2`

	ownExecuted = `UPDATE tasks t SET node = $2, epoch = $3 FROM ` + named + `
		WHERE t.queue_id = n.queue_id AND t.id = n.id AND t.node = $1 AND t.status = 'executed'`

	ownExecutedSQLite = `UPDATE tasks SET node = $1, epoch = $2 WHERE status = 'executed'`

	// Where rows of former processes stand beside each other, as in tests.
	ownOthersSQLite = `UPDATE tasks SET node = $2, epoch = $3 WHERE node = $1 AND status = 'executed'`

	readExecuted = `SELECT ` + taskColumns + namedTasks + executing + ` ORDER BY t.id`

	readExecutedSQLite = `SELECT ` + taskColumns + ` FROM tasks t WHERE t.node = $1 AND t.status = 'executed' ORDER BY t.id`

	readOdd = `SELECT ` + taskColumns + namedTasks + executing + `
		AND (t.cancel_requested OR t.call_id <> ALL ($2::text[])) ORDER BY t.id`

	readOddSQLite = `SELECT ` + taskColumns + ` FROM tasks t WHERE t.node = $1 AND t.status = 'executed'
		AND (t.cancel_requested OR t.call_id NOT IN (SELECT value FROM json_each($2))) ORDER BY t.id`
)

// Time returns the database's own time; on SQLite the process's.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	if s.postgres == nil {
		return s.now(), nil
	}
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	var at time.Time
	err := s.postgres.pool.QueryRow(ctx, postgresClock).Scan(&at)
	return at, err
}

// Join begins a new epoch of the node, leased until now + lease, and returns
// the tasks that its former epochs left executed: they are its own now, to be
// lost. While another process holds the name, held is true and nothing changes.
func (s *Store) Join(ctx context.Context, node string, now time.Time, lease time.Duration) (owner scheduler.Owner, left []scheduler.Task, held bool, err error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	query, args := joinNodeSQLite, []any{node, now.Add(lease).UTC()}
	if s.postgres != nil {
		query, args = joinNode, append(args, now.UTC())
	}
	err = s.write(ctx, func(t *tx) error {
		if err := t.lockNode(node); err != nil {
			return err
		}
		epochs, err := collect(t, query, args, func(r *sql.Rows, epoch *int64) error { return r.Scan(epoch) })
		if err != nil {
			return err
		}
		if len(epochs) == 0 {
			held = true
			return nil
		}
		owner = scheduler.Owner{Node: node, Epoch: epochs[0]}
		if t.postgres == nil {
			if _, err = t.pool.ExecContext(ctx, ownExecutedSQLite, node, owner.Epoch); err == nil {
				_, err = t.pool.ExecContext(ctx, ownLegsSQLite, node)
			}
		} else {
			_, err = t.pool.ExecContext(ctx, ownExecuted, node, node, owner.Epoch) // its claims stay its own
		}
		if err != nil {
			return err
		}
		left, err = t.executed(node)
		return err
	})
	return owner, left, held, err
}

func (t *tx) lockNode(node string) error {
	if t.postgres == nil {
		return nil
	}
	_, err := t.pool.ExecContext(t.ctx, lockNode, node)
	return err
}

func (t *tx) executed(node string) ([]scheduler.Task, error) {
	query := readExecuted
	if t.postgres == nil {
		query = readExecutedSQLite
	}
	return collect(t, query, []any{node}, func(r *sql.Rows, task *scheduler.Task) error { return scanTask(r, task) })
}

// Renew extends the lease of the owner; ErrFenced if its epoch was raised. On
// SQLite the lock of the file is the lease: nothing is written, so that it does
// not wait for the writer.
func (s *Store) Renew(ctx context.Context, owner scheduler.Owner, until time.Time) error {
	if s.postgres == nil {
		t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
		return t.fence(owner)
	}
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	return s.write(ctx, func(t *tx) error {
		res, err := t.pool.ExecContext(ctx, renewLease, owner.Node, owner.Epoch, until.UTC())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err == nil && n == 0 {
			return scheduler.ErrFenced
		}
		return err
	})
}

// TakeOver raises the epoch of every node whose lease ran out by now and makes
// its executed tasks and answered legs the owner's. It returns the tasks, to be
// lost; LeftLegs knows the legs.
func (s *Store) TakeOver(ctx context.Context, owner scheduler.Owner, now time.Time) ([]scheduler.Task, error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	var taken []scheduler.Task
	query := lapsedNodesSQLite
	if s.postgres != nil {
		query = lapsedNodes
	}
	err := s.write(ctx, func(t *tx) error {
		taken = nil
		lapsed, err := collect(t, query, []any{now.UTC(), owner.Node}, func(r *sql.Rows, id *string) error { return r.Scan(id) })
		if err != nil || len(lapsed) == 0 {
			return err
		}
		if err := t.fence(owner); err != nil {
			return err
		}
		for _, node := range lapsed {
			left, err := t.takeOver(owner, node, now)
			if err != nil {
				return err
			}
			taken = append(taken, left...)
		}
		return nil
	})
	return taken, err
}

func (t *tx) takeOver(owner scheduler.Owner, node string, now time.Time) ([]scheduler.Task, error) {
	if err := t.lockNode(node); err != nil {
		return nil, err
	}
	res, err := t.pool.ExecContext(t.ctx, raiseEpoch, node, now.UTC())
	if err != nil {
		return nil, err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return nil, err
	}
	left, err := t.executed(node)
	if err != nil {
		return nil, err
	}
	own := ownOthersSQLite
	if t.postgres != nil {
		own = ownExecuted
	}
	if _, err := t.pool.ExecContext(t.ctx, own, node, owner.Node, owner.Epoch); err != nil {
		return nil, err
	}
	if t.postgres != nil {
		if _, err := t.pool.ExecContext(t.ctx, passClaims, node, owner.Node); err != nil {
			return nil, err
		}
	}
	if _, err := t.pool.ExecContext(t.ctx, ownLegs, node, owner.Node); err != nil {
		return nil, err
	}
	for i := range left {
		left[i].Node, left[i].Epoch = owner.Node, owner.Epoch
	}
	return left, nil
}

// Oversee returns the owner's executed tasks that it should look at: those
// that are to be cancelled, and those whose call is not among the calls under
// way.
func (s *Store) Oversee(ctx context.Context, owner scheduler.Owner, underWay []scheduler.CallID) ([]scheduler.Task, error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	ids := make([]string, len(underWay))
	for i, id := range underWay {
		ids[i] = string(id)
	}
	query, known := readOdd, any(ids)
	if s.postgres == nil {
		text, err := json.Marshal(ids)
		if err != nil {
			return nil, err
		}
		query, known = readOddSQLite, string(text)
	}
	if err := s.shortenClaims(ctx, owner, len(underWay)); errors.Is(err, scheduler.ErrFenced) {
		return nil, err
	} else if err != nil && ctx.Err() == nil {
		s.log.Error("the list of what this node executes cannot be shortened; the next look tries again", "err", err)
	}
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	return collect(t, query, []any{owner.Node, known}, func(r *sql.Rows, task *scheduler.Task) error { return scanTask(r, task) })
}
