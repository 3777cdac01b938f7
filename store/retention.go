package store

import (
	"context"
	"time"

	"ringback/scheduler"
)

// forgetBatch is how many rows one transaction forgets: few enough to be over
// before anybody waits for it.
const forgetBatch = 1000

// Each deletes at most $2 rows that are as old as $1, the oldest first.
const forgetChanges = `DELETE FROM queue_changes WHERE (queue_id, seq) IN
	(SELECT queue_id, seq FROM queue_changes WHERE hold_gate IS NULL AND at <= $1 ORDER BY at LIMIT $2)`

// forget deletes what is old, a batch a transaction.
func (s *Store) forget(ctx context.Context, now time.Time) error {
	for _, old := range []struct {
		statement string
		keep      time.Duration
	}{
		{forgetChanges, scheduler.ChangesKeep},
	} {
		for n := int64(forgetBatch); n == forgetBatch; {
			err := s.write(ctx, func(t *tx) error {
				res, err := t.pool.ExecContext(ctx, old.statement, now.Add(-old.keep).UTC(), forgetBatch)
				if err != nil {
					return err
				}
				n, err = res.RowsAffected()
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
