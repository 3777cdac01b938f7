package store

import (
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm"

	"ringback/scheduler"
)

const (
	reserveOnce = `INSERT INTO once_keys (caller, key, hash, token, leased_until, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (caller, key) DO NOTHING`

	readOnce       = `SELECT hash, token, leased_until, done_at, ids FROM once_keys WHERE caller = $1 AND key = $2 FOR NO KEY UPDATE`
	readOnceSQLite = `SELECT hash, token, leased_until, done_at, ids FROM once_keys WHERE caller = $1 AND key = $2`

	takeOnce = `UPDATE once_keys SET hash = $3, token = $4, leased_until = $5, created_at = $6, done_at = NULL, ids = ''
		WHERE caller = $1 AND key = $2`

	// Whoever took the key over has another token: what is done here is not
	// committed then.
	finishOnce = `UPDATE once_keys SET done_at = $4, ids = $5 WHERE caller = $1 AND key = $2 AND token = $3 AND done_at IS NULL`

	dropOnce = `DELETE FROM once_keys WHERE caller = $1 AND key = $2 AND token = $3 AND done_at IS NULL`

	forgetOnce = `DELETE FROM once_keys WHERE created_at <= $1`
)

// BeginOnce reserves the key of a request for scheduler.OnceLease. ok is false
// if another has it, or had it: then what is kept of that one is returned.
func (s *Store) BeginOnce(ctx context.Context, o scheduler.Once, now time.Time) (kept scheduler.Once, ok bool, err error) {
	now = now.UTC()
	// Not by write: a reservation changes nothing of anybody's.
	err = s.db.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		t := &tx{Store: s, ctx: ctx, db: db, pool: db.Statement.ConnPool}
		args := []any{o.Caller, o.Key, o.Hash, o.Token, now.Add(scheduler.OnceLease), now}
		res, err := t.pool.ExecContext(ctx, reserveOnce, args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			kept, ok = o, true
			return err
		}
		query := readOnceSQLite
		if t.postgres != nil {
			query = readOnce
		}
		var until, done time.Time
		rows, err := collect(t, query, args[:2], func(r *sql.Rows, o *scheduler.Once) error {
			var ids string
			if err := r.Scan(&o.Hash, &o.Token, nullTime{&until}, nullTime{&done}, &ids); err != nil {
				return err
			}
			var err error
			o.Done = !done.IsZero()
			o.IDs, err = parseRuns[int64](ids)
			return err
		})
		if err != nil {
			return err
		}
		if len(rows) > 0 && (rows[0].Done && done.After(now.Add(-scheduler.OnceKeep)) || !rows[0].Done && until.After(now)) {
			kept, ok = rows[0], false
			return nil
		}
		kept, ok = o, true
		if len(rows) == 0 { // dropped meanwhile
			_, err = t.pool.ExecContext(ctx, reserveOnce, args...)
			return err
		}
		_, err = t.pool.ExecContext(ctx, takeOnce, args...)
		return err
	})
	return kept, ok, err
}

// DropOnce gives up a reserved key whose request was not done.
func (s *Store) DropOnce(ctx context.Context, o scheduler.Once) error {
	return s.db.WithContext(ctx).Exec(dropOnce, o.Caller, o.Key, o.Token).Error
}

// finishOnce says in the transaction that it does a request, and what it made.
func (t *tx) finishOnce(o *scheduler.Once) error {
	res, err := t.pool.ExecContext(t.ctx, finishOnce, o.Caller, o.Key, o.Token, t.now().UTC(), runs(t.made))
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = scheduler.Errorf(scheduler.Conflict, "the request took so long that another one with its Idempotency-Key was begun")
	}
	return err
}
