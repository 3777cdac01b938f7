package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"time"

	"gorm.io/gorm"

	"ringback/scheduler"
)

const (
	reserveOnce = `INSERT INTO once_keys (caller, key, hash, token, leased_until, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (caller, key) DO NOTHING`

	readOnce       = `SELECT hash, token, leased_until, done_at, ids, call_id, answer FROM once_keys WHERE caller = $1 AND key = $2 FOR NO KEY UPDATE`
	readOnceSQLite = `SELECT hash, token, leased_until, done_at, ids, call_id, answer FROM once_keys WHERE caller = $1 AND key = $2`

	takeOnce = `UPDATE once_keys SET hash = $3, token = $4, leased_until = $5, created_at = $6, done_at = NULL, ids = '',
		call_id = '', answer = ''
		WHERE caller = $1 AND key = $2`

	// Whoever took the key over has another token: what is done here is not
	// committed then.
	finishOnce = `UPDATE once_keys SET done_at = $4, ids = $5, call_id = $6, answer = $7
		WHERE caller = $1 AND key = $2 AND token = $3 AND done_at IS NULL`

	dropOnce = `DELETE FROM once_keys WHERE caller = $1 AND key = $2 AND token = $3 AND done_at IS NULL`

	forgetOnce = `DELETE FROM once_keys WHERE created_at <= $1`
)

// hashed is a hash that nobody can make without the key: the body of a request
// may hold a password, and is guessed by a plain one.
func hashed(key, what []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write(what) // never fails
	return h.Sum(nil)
}

// BeginOnce reserves the key of a request for scheduler.OnceLease. ok is false
// if another has it, or had it: then what is kept of that one is returned, with
// the same hash if it was the same request.
func (s *Store) BeginOnce(ctx context.Context, o scheduler.Once, now time.Time) (kept scheduler.Once, ok bool, err error) {
	now, stored := now.UTC(), hashed(s.onceKey, o.Hash)
	// Not by write: a reservation changes nothing of anybody's.
	err = s.db.WithContext(ctx).Transaction(func(db *gorm.DB) error {
		t := &tx{Store: s, ctx: ctx, db: db, pool: db.Statement.ConnPool}
		args := []any{o.Caller, o.Key, stored, o.Token, now.Add(scheduler.OnceLease), now}
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
			if err := r.Scan(&o.Hash, &o.Token, nullTime{&until}, nullTime{&done}, &ids, &o.Call, &o.Answer); err != nil {
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
			if hmac.Equal(kept.Hash, stored) {
				kept.Hash = o.Hash
			}
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

// FinishOnce says of a request that changes nothing here that it was done.
func (s *Store) FinishOnce(ctx context.Context, o *scheduler.Once) error {
	return s.write(scheduler.WithOnce(ctx, o), func(*tx) error { return nil })
}

// finishOnce says in the transaction that it does a request, and what it made.
func (t *tx) finishOnce(o *scheduler.Once) error {
	res, err := t.pool.ExecContext(t.ctx, finishOnce, o.Caller, o.Key, o.Token, t.now().UTC(), runs(t.made), o.Call, o.Answer)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = scheduler.Errorf(scheduler.Conflict, "the request took so long that another one with its Idempotency-Key was begun")
	}
	return err
}
