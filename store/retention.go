package store

import (
	"context"
	"time"

	"ringback/scheduler"
)

// forgetBatch is how many rows one transaction forgets: few enough to be over
// before anybody waits for it.
const forgetBatch = 1000

// Each deletes at most $2 rows that are as old as $1.
const (
	forgetChanges = `DELETE FROM queue_changes WHERE (queue_id, seq) IN
		(SELECT queue_id, seq FROM queue_changes WHERE hold_gate IS NULL AND at <= $1 ORDER BY at LIMIT $2)`

	forgetHolds = `DELETE FROM queue_changes WHERE (queue_id, seq) IN
		(SELECT queue_id, seq FROM queue_changes WHERE hold_gate IS NOT NULL AND at <= $1 ORDER BY at LIMIT $2)`

	forgetBulks = `DELETE FROM bulk_jobs WHERE id IN (SELECT id FROM bulk_jobs WHERE ended_at <= $1 ORDER BY ended_at LIMIT $2)`

	forgetRuns = `DELETE FROM account_task_runs WHERE id IN (SELECT id FROM account_task_runs WHERE ended_at <= $1 ORDER BY ended_at LIMIT $2)`

	forgetMails = `DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE ended_at <= $1 ORDER BY ended_at LIMIT $2)`

	forgetAudit = `DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at <= $1 ORDER BY at LIMIT $2)`

	forgetExternalIDs = `DELETE FROM external_ids WHERE (queue_id, external_id) IN
		(SELECT queue_id, external_id FROM external_ids x WHERE created_at <= $1 AND NOT EXISTS (SELECT 1 FROM tasks t
			WHERE t.queue_id = x.queue_id AND t.id = x.task_id AND (t.status <> 'finished' OR t.updated_at > $1)) LIMIT $2)`
)

// old is how long rows of a kind are kept.
type old struct {
	statement string
	keep      time.Duration
}

// forget deletes what is old, a batch a transaction.
func (s *Store) forget(ctx context.Context, now time.Time, all ...old) error {
	for _, o := range all {
		for n := int64(forgetBatch); n == forgetBatch; {
			err := s.write(ctx, func(t *tx) error {
				res, err := t.pool.ExecContext(ctx, o.statement, now.Add(-o.keep).UTC(), forgetBatch)
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

// Forget deletes what is over for as long as it is kept: tasks with what is
// noted of them, calls, deliveries with their tries, and what bulk actions
// leave. No index by age is kept for it, which every task would pay for: rows
// are walked in the order of their numbers, which is that of their age, up to
// the first that is too young.
func (s *Store) Forget(ctx context.Context, now time.Time, keep scheduler.Keep) error {
	if err := s.forgetTasks(ctx, now.Add(-keep.Finished)); err != nil {
		return err
	}
	if err := s.forgetCalls(ctx, now.Add(-keep.Calls)); err != nil {
		return err
	}
	if err := s.forgetDeliveries(ctx, now); err != nil {
		return err
	}
	return s.forget(ctx, now, old{forgetHolds, keep.Finished}, old{forgetBulks, scheduler.BulksKeep}, old{forgetAudit, scheduler.AuditKeep},
		old{forgetRuns, scheduler.RunsKeep}, old{forgetMails, scheduler.MailKeep})
}

// aged is a row as a walk sees it.
type aged struct {
	ID        int64
	Over      bool      // and to be forgotten
	CreatedAt time.Time `gorm:"serializer:instant"`
}

// walk reads rows in the order of their numbers, a batch each, until one is
// younger than before, and drops those that are over.
func (s *Store) walk(ctx context.Context, before time.Time, read func(after int64) ([]aged, error), drop func(t *tx, ids []int64) error) error {
	for after := int64(0); ; {
		rows, err := read(after)
		if err != nil || len(rows) == 0 {
			return err
		}
		var over []int64
		for _, row := range rows {
			if row.Over {
				over = append(over, row.ID)
			}
		}
		if len(over) > 0 {
			if err := s.write(ctx, func(t *tx) error { return drop(t, over) }); err != nil {
				return err
			}
		}
		last := rows[len(rows)-1]
		if after = last.ID; len(rows) < forgetBatch || last.CreatedAt.After(before) {
			return nil
		}
	}
}

func (s *Store) forgetTasks(ctx context.Context, before time.Time) error {
	before = before.UTC()
	db := s.reads.WithContext(ctx)
	var queues []scheduler.QueueID
	if err := db.Model(&scheduler.Queue{}).Order("id").Pluck("id", &queues).Error; err != nil {
		return err
	}
	_, err := s.forgetTasksOf(ctx, queues, before)
	return err
}

// forgetTasksOf forgets the tasks of queues that finished before a time.
func (s *Store) forgetTasksOf(ctx context.Context, queues []scheduler.QueueID, before time.Time) (n int, err error) {
	db := s.reads.WithContext(ctx)
	for _, queue := range queues {
		err := s.walk(ctx, before, func(after int64) (rows []aged, err error) {
			err = db.Model(&scheduler.Task{}).Select("id, created_at, status = 'finished' AND updated_at <= ? AS over", before).
				Where("queue_id = ? AND id > ?", queue, after).Order("id").Limit(forgetBatch).Scan(&rows).Error
			return rows, err
		}, func(t *tx, ids []int64) error {
			if err := t.db.Where("queue_id = ? AND task_id IN ?", queue, ids).Delete(&scheduler.Noted{}).Error; err != nil {
				return err
			}
			// A finished task never changes.
			res := t.db.Where("queue_id = ? AND id IN ? AND status = 'finished'", queue, ids).Delete(&scheduler.Task{})
			n += int(res.RowsAffected)
			return res.Error
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (s *Store) forgetCalls(ctx context.Context, before time.Time) error {
	before = before.UTC()
	db := s.reads.WithContext(ctx)
	var clients []scheduler.ClientID
	if err := db.Model(&scheduler.Client{}).Pluck("id", &clients).Error; err != nil {
		return err
	}
	for _, client := range clients {
		if _, err := s.forgetCallsOf(ctx, client, before); err != nil {
			return err
		}
	}
	return nil
}

// PurgeHistory forgets the calls and the finished tasks of a client that ended
// before a time, a batch a transaction.
func (s *Store) PurgeHistory(ctx context.Context, client scheduler.ClientID, before time.Time) (calls, tasks int, err error) {
	before = before.UTC()
	if calls, err = s.forgetCallsOf(ctx, client, before); err != nil {
		return calls, 0, err
	}
	var queues []scheduler.QueueID
	if err := s.reads.WithContext(ctx).Model(&scheduler.Queue{}).Where("client_id = ?", client).Order("id").Pluck("id", &queues).Error; err != nil {
		return calls, 0, err
	}
	tasks, err = s.forgetTasksOf(ctx, queues, before)
	return calls, tasks, err
}

// forgetCallsOf forgets the calls of a client that ended before a time.
func (s *Store) forgetCallsOf(ctx context.Context, client scheduler.ClientID, before time.Time) (n int, err error) {
	db := s.reads.WithContext(ctx)
	for {
		var ids []scheduler.CallID
		err := db.Model(&scheduler.Attempt{}).Where("client_id = ? AND started_at <= ? AND ended_at <= ?", client, before, before).
			Order("started_at").Limit(forgetBatch).Pluck("call_id", &ids).Error
		if err != nil || len(ids) == 0 {
			return n, err
		}
		// An ended call never changes.
		err = s.write(ctx, func(t *tx) error { return t.db.Where("call_id IN ?", ids).Delete(&scheduler.Attempt{}).Error })
		if err != nil {
			return n, err
		}
		if n += len(ids); len(ids) < forgetBatch {
			return n, nil
		}
	}
}

func (s *Store) forgetDeliveries(ctx context.Context, now time.Time) error {
	taken, lost := now.Add(-scheduler.DeliveredKeep).UTC(), now.Add(-scheduler.UndeliveredKeep).UTC()
	const over = "(state = 'delivered' AND ended_at <= ? OR state IN ('dead', 'expired') AND ended_at <= ?)"
	return s.walk(ctx, taken, func(after int64) (rows []aged, err error) {
		err = s.reads.WithContext(ctx).Model(&scheduler.Delivery{}).Select("id, created_at, "+over+" AS over", taken, lost).
			Where("id > ?", after).Order("id").Limit(forgetBatch).Scan(&rows).Error
		return rows, err
	}, func(t *tx, ids []int64) error {
		// One may have been sent again meanwhile.
		return t.db.Where("id IN ? AND "+over, ids, taken, lost).Delete(&scheduler.Delivery{}).Error
	})
}
