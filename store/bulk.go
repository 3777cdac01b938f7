package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// selectedTasks selects by a filter, the status included, as the queue is at
// now.
func selectedTasks(db *gorm.DB, q scheduler.Queue, r scheduler.Runtime, f scheduler.TaskFilter, now time.Time) *gorm.DB {
	rows := db.Model(&scheduler.Task{}).Where("client_id = ? AND queue_id = ?", q.ClientID, q.ID)
	if len(f.Statuses) > 0 {
		rows = rows.Where(showing(db, f.Statuses, q, r, now))
	}
	return filtered(rows, f)
}

// eligible leaves those that a bulk action applies to at now.
func eligible(rows *gorm.DB, b scheduler.Bulk, now time.Time) *gorm.DB {
	switch b.Action {
	case scheduler.BulkCancel:
		if b.HangUp {
			return rows.Where("(ready_at IS NOT NULL OR status = 'executed' AND NOT cancel_requested)")
		}
	case scheduler.BulkRunNow:
		return rows.Where("ready_at > ?", now)
	case scheduler.BulkRequeue:
		return rows.Where("status = 'finished'")
	case scheduler.BulkMove:
		// An external id names one task of a queue.
		return rows.Where(`ready_at IS NOT NULL AND (external_id = '' OR NOT EXISTS (SELECT 1 FROM external_ids x
			WHERE x.queue_id = ? AND x.external_id = tasks.external_id))`, b.Target)
	}
	return rows.Where("ready_at IS NOT NULL")
}

// PreviewBulk returns a bulk action with the tasks counted that it selects, and
// those that it would change.
func (s *Store) PreviewBulk(ctx context.Context, b scheduler.Bulk) (scheduler.Bulk, error) {
	q, runtime, err := s.QueueNow(ctx, b.ClientID, b.QueueID)
	if err != nil {
		return b, err
	}
	now, db := s.now().UTC(), s.reads.WithContext(ctx)
	var matched, changes int64
	if err := selectedTasks(db, q, runtime, b.Filter, now).Count(&matched).Error; err != nil {
		return b, err
	}
	err = eligible(selectedTasks(db, q, runtime, b.Filter, now), b, now).Count(&changes).Error
	b.Matched, b.Eligible = int(matched), int(changes)
	return b, err
}

// AddBulk stores a bulk action, to be worked on by any node, with the tasks
// counted as PreviewBulk does.
func (s *Store) AddBulk(ctx context.Context, b scheduler.Bulk) (scheduler.Bulk, error) {
	b, err := s.PreviewBulk(ctx, b)
	if err != nil {
		return b, err
	}
	err = s.write(ctx, func(t *tx) error {
		now := t.now().UTC()
		b.State, b.CreatedAt, b.WorkedAt = scheduler.BulkRunning, now, now
		last := t.db.Model(&scheduler.Task{}).Where("queue_id = ?", b.QueueID).Select("coalesce(max(id), 0)")
		if err := last.Scan(&b.Upto).Error; err != nil {
			return err
		}
		err := t.db.Create(&b).Error
		t.made = append(t.made, int64(b.ID))
		t.saw(nil, b)
		return err
	})
	return b, err
}

// Bulk returns a bulk action on a client's queue.
func (s *Store) Bulk(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.BulkID) (scheduler.Bulk, error) {
	db := s.reads.WithContext(ctx)
	if _, err := readQueue(db, client, queue); err != nil {
		return scheduler.Bulk{}, err
	}
	return one[scheduler.Bulk](db.Where("client_id = ? AND queue_id = ? AND id = ?", client, queue, id), "there is no bulk action %d", id)
}

// WorkBulk does the next slice of a bulk action, waiting for whoever does one,
// and returns it as it is then.
func (s *Store) WorkBulk(ctx context.Context, id scheduler.BulkID) (scheduler.Bulk, error) {
	return s.workBulk(ctx, func(db *gorm.DB) *gorm.DB {
		return db.Clauses(clause.Locking{Strength: "UPDATE"}).Where("id = ?", id)
	})
}

// WorkBulks does the next slice of the running bulk action that was worked on
// longest ago and that no other node works on. It reports whether there was one.
func (s *Store) WorkBulks(ctx context.Context) (bool, error) {
	b, err := s.workBulk(ctx, func(db *gorm.DB) *gorm.DB {
		return db.Clauses(clause.Locking{Strength: "UPDATE", Options: clause.LockingOptionsSkipLocked}).
			Where("state = ?", scheduler.BulkRunning).Order("worked_at, id")
	})
	if scheduler.KindOf(err) == scheduler.NotFound {
		return false, nil
	}
	return b.ID != 0, err
}

// workBulk does a slice of the action that pick selects. The lock of its row is
// the claim: a slice and how far the action is are one transaction, so that it
// goes on from there on any node, whatever became of the one before.
func (s *Store) workBulk(ctx context.Context, pick func(*gorm.DB) *gorm.DB) (scheduler.Bulk, error) {
	var b scheduler.Bulk
	err := s.write(ctx, func(t *tx) error {
		var err error
		if b, err = one[scheduler.Bulk](pick(t.db), "there is no such bulk action"); err != nil || b.State != scheduler.BulkRunning {
			return err
		}
		worked := b
		if err := t.slice(&worked); err != nil {
			return err
		}
		worked.Failures, worked.WorkedAt = 0, t.now().UTC()
		b = worked
		return t.saveBulk(b)
	})
	if err == nil || b.ID == 0 || ctx.Err() != nil {
		return b, err
	}
	// Its row must say so, or it would be tried for ever.
	b.Failures++
	if b.WorkedAt = s.now().UTC(); b.Failures >= scheduler.BulkFailures || scheduler.KindOf(err) != scheduler.Internal {
		b.State, b.EndedAt, b.Error = scheduler.BulkFailed, b.WorkedAt, "internal error"
		if scheduler.KindOf(err) != scheduler.Internal {
			b.Error, err = err.Error(), nil
		}
	}
	return b, errors.Join(err, s.write(ctx, func(t *tx) error { return t.saveBulk(b) }))
}

func (t *tx) saveBulk(b scheduler.Bulk) error {
	return t.db.Model(&b).Where("state = ?", scheduler.BulkRunning).
		Select("State", "Error", "Changed", "After", "Failures", "WorkedAt", "EndedAt").Updates(b).Error
}

// slice changes the next tasks of a bulk action, under the locks of its queues.
func (t *tx) slice(b *scheduler.Bulk) error {
	ids := []scheduler.QueueID{b.QueueID}
	if b.Action == scheduler.BulkMove {
		ids = append(ids, b.Target)
	}
	locked, err := t.lockQueues(ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(locked, func(l lockedQueue) bool {
			return l.queue.ID == id && l.queue.ClientID == b.ClientID && l.queue.DeletedAt.IsZero()
		}) {
			return noQueue(id)
		}
	}
	of := locked[slices.IndexFunc(locked, func(l lockedQueue) bool { return l.queue.ID == b.QueueID })]
	now := t.now().UTC().Truncate(time.Microsecond)
	var tasks []scheduler.Task
	err = eligible(selectedTasks(t.db, of.queue, of.runtime.At(of.window, now), b.Filter, now), *b, now).
		Where("id > ? AND id <= ?", b.After, b.Upto).Order("id").Limit(scheduler.BulkSlice).Find(&tasks).Error
	if err != nil {
		return err
	}
	if len(tasks) < scheduler.BulkSlice {
		b.State, b.EndedAt = scheduler.BulkDone, now
	}
	if len(tasks) == 0 {
		return nil
	}
	if err := t.act(*b, locked, tasks, now); err != nil {
		return err
	}
	b.Changed += len(tasks)
	b.After = tasks[len(tasks)-1].ID
	return t.saveRuntimes(locked)
}

// act does to tasks of locked queues what a bulk action says.
func (t *tx) act(b scheduler.Bulk, locked []lockedQueue, tasks []scheduler.Task, now time.Time) error {
	switch b.Action {
	case scheduler.BulkCancel:
		trs := make([]scheduler.Transition, len(tasks))
		for i, task := range tasks {
			trs[i], _ = task.Cancel(now)
		}
		_, err := t.apply(locked, trs)
		return err
	case scheduler.BulkRequeue:
		again := make([]scheduler.Task, len(tasks))
		for i, task := range tasks {
			again[i] = task.Again(now)
		}
		if err := t.number(again); err != nil {
			return err
		}
		t.changed(again...)
		return t.insertTasks(again)
	}
	ids := make([]scheduler.TaskID, len(tasks))
	notes := make([]scheduler.Noted, len(tasks))
	for i, task := range tasks {
		ids[i] = task.ID
		notes[i] = scheduler.Noted{QueueID: task.QueueID, TaskID: task.ID, Attempt: task.Attempts, Step: scheduler.StepChange, LastAt: now}
	}
	t.changed(tasks...)
	if err := t.note(notes...); err != nil {
		return err
	}
	rows := t.db.Model(&scheduler.Task{}).Where("queue_id = ? AND id IN ?", b.QueueID, ids)
	if b.Action == scheduler.BulkRunNow {
		return rows.Select("StartAt", "ReadyAt", "UpdatedAt").Updates(scheduler.Task{StartAt: now, ReadyAt: now, UpdatedAt: now}).Error
	}
	return t.move(b, rows, tasks, ids, now)
}

// move brings tasks to another queue, with what is kept of them by queue.
func (t *tx) move(b scheduler.Bulk, rows *gorm.DB, tasks []scheduler.Task, ids []scheduler.TaskID, now time.Time) error {
	err := rows.Select("QueueID", "UpdatedAt").Updates(scheduler.Task{QueueID: b.Target, UpdatedAt: now}).Error
	if err != nil {
		return err
	}
	for _, table := range []string{"external_ids", "task_steps"} {
		err := t.db.Table(table).Where("queue_id = ? AND task_id IN ?", b.QueueID, ids).Update("queue_id", b.Target).Error
		if err != nil {
			return err
		}
	}
	for i := range tasks {
		tasks[i].QueueID = b.Target
	}
	t.changed(tasks...)
	return nil
}
