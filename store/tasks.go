package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

func readTask(db *gorm.DB, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) (scheduler.Task, error) {
	return one[scheduler.Task](db.Where("client_id = ? AND queue_id = ? AND id = ?", client, queue, id), "there is no task %d", id)
}

// Task returns a task of a client's queue.
func (s *Store) Task(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) (scheduler.Task, error) {
	db := s.reads.WithContext(ctx)
	task, err := readTask(db.Where("EXISTS (SELECT 1 FROM queues q WHERE q.id = ? AND q.deleted_at IS NULL)", queue), client, queue, id)
	if scheduler.KindOf(err) == scheduler.NotFound {
		if _, gone := readQueue(db, client, queue); gone != nil {
			err = gone
		}
	}
	return task, err
}

// Tasks returns the tasks of a client's queue that a filter selects. They have
// their stored status; which of them a derived one selects is judged by the
// queue as it is now.
func (s *Store) Tasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, f scheduler.TaskFilter, p scheduler.Page) (scheduler.List[scheduler.Task], error) {
	q, runtime, err := s.QueueNow(ctx, client, queue)
	if err != nil {
		return scheduler.List[scheduler.Task]{}, err
	}
	return list[scheduler.Task](selectedTasks(s.reads.WithContext(ctx), q, runtime, f, s.now().UTC()), p)
}

// showing selects the tasks of a queue that show one of the statuses at now.
// What a task shows is Shown's to say: it is asked for each stored status, due
// and not due.
func showing(db *gorm.DB, statuses []scheduler.Status, q scheduler.Queue, r scheduler.Runtime, now time.Time) *gorm.DB {
	wanted := map[scheduler.Status]bool{}
	for _, status := range statuses {
		wanted[status] = true
	}
	either := db.Session(&gorm.Session{NewDB: true}).Where("1 = 0")
	for _, stored := range []scheduler.Status{scheduler.Scheduled, scheduler.Executed, scheduler.Delayed, scheduler.Finished} {
		due := scheduler.Task{Status: stored, ReadyAt: now}
		early := scheduler.Task{Status: stored, ReadyAt: now.Add(time.Second)}
		switch due, early := wanted[due.Shown(q, r, now)], wanted[early.Shown(q, r, now)]; {
		case due && early:
			either = either.Or("status = ?", stored)
		case due:
			either = either.Or("status = ? AND ready_at <= ?", stored, now)
		case early:
			either = either.Or("status = ? AND ready_at > ?", stored, now)
		}
	}
	return either
}

// filtered selects by everything of a filter but the status.
func filtered(q *gorm.DB, f scheduler.TaskFilter) *gorm.DB {
	if f.Result != "" {
		q = q.Where("result = ?", f.Result)
	}
	if f.Name != "" {
		q = q.Where("name = ?", f.Name)
	}
	if f.A != "" {
		q = q.Where("(a_number = ? OR a_number_e164 = ?)", f.A, f.A)
	}
	if f.B != "" {
		q = q.Where("(b_number = ? OR b_number_e164 = ?)", f.B, f.B)
	}
	if f.ExternalID != "" {
		q = q.Where("external_id = ?", f.ExternalID)
	}
	if len(f.IDs) > 0 {
		q = q.Where("id IN ?", f.IDs)
	}
	for _, bound := range []struct {
		where string
		at    time.Time
	}{
		{"created_at >= ?", f.CreatedFrom},
		{"created_at < ?", f.CreatedTo},
		{"start_at >= ?", f.StartFrom},
		{"start_at < ?", f.StartTo},
		{"updated_at >= ?", f.UpdatedSince},
	} {
		if !bound.at.IsZero() {
			q = q.Where(bound.where, bound.at.UTC())
		}
	}
	return q
}

// lockTask locks a client's queue, then one of its tasks.
func (t *tx) lockTask(client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) ([]lockedQueue, scheduler.Task, error) {
	locked, err := t.lockQueue(client, queue)
	if err != nil {
		return nil, scheduler.Task{}, err
	}
	task, err := readTask(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), client, queue, id)
	return locked, task, err
}

// asked are the fields of a task that its owner may change, with when it is
// due.
var asked = []any{
	"ExternalID", "Name", "ANumber", "ANumberE164", "BNumber", "BNumberE164",
	"TryCount", "TryPause", "TryCountCaller", "TryPauseCaller",
	"URLBefore", "URLBeforeAgain", "URLSuccess", "URLAfter",
	"StartAt", "Deadline", "Params", "Variables", "ReadyAt", "UpdatedAt",
}

// UpdateTask changes what was asked of a waiting task, and when it is due:
// change is given what is stored, under its lock, and where the task stands
// stays as it is. A task that does not wait is a Conflict that names its state.
func (s *Store) UpdateTask(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID, change func(*scheduler.Task) error) (scheduler.Task, error) {
	var changed scheduler.Task
	err := s.write(ctx, func(t *tx) error {
		locked, stored, err := t.lockTask(client, queue, id)
		if err != nil {
			return err
		}
		if !stored.Status.Waiting() {
			return scheduler.Errorf(scheduler.Conflict, "task %d is %s", id, stored.Status)
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		changed.ID, changed.ClientID, changed.QueueID = stored.ID, stored.ClientID, stored.QueueID
		changed.UpdatedAt = t.now().UTC()
		if err := t.moveExternalID(stored, changed); err != nil {
			return err
		}
		err = t.db.Model(&stored).Where("status = ?", stored.Status).Select("ExtensionID", asked...).Updates(changed).Error
		if err != nil {
			return err
		}
		if changed, err = readTask(t.db, client, queue, id); err != nil {
			return err
		}
		t.changed(changed)
		t.saw(stored, changed)
		err = t.note(scheduler.Noted{
			QueueID: queue, TaskID: id, Attempt: changed.Attempts, Step: scheduler.StepChange, LastAt: changed.UpdatedAt,
		})
		if err != nil {
			return err
		}
		return t.saveRuntimes(locked)
	})
	if err != nil {
		return changed, err
	}
	// Not under the queue's lock: who adds tasks takes destinations first.
	return changed, s.write(ctx, func(t *tx) error { return t.introduce([]scheduler.Task{changed}) })
}

// moveExternalID gives up a task's former external id and takes the new one.
func (t *tx) moveExternalID(from, to scheduler.Task) error {
	if from.ExternalID == to.ExternalID {
		return nil
	}
	if from.ExternalID != "" {
		const release = "DELETE FROM external_ids WHERE queue_id = ? AND external_id = ? AND task_id = ?"
		if err := t.db.Exec(release, from.QueueID, from.ExternalID, from.ID).Error; err != nil {
			return err
		}
	}
	return t.claimExternalIDs([]scheduler.Task{to}, false)
}

// CancelTask finishes a waiting task as cancelled. Of an executed one it asks
// the node that calls to hang up, if hangup is set, and is a Conflict if not. A
// task that is cancelled already stays so; one that finished otherwise is a
// Conflict.
func (s *Store) CancelTask(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID, hangup bool, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		locked, task, err := t.lockTask(client, queue, id)
		if err != nil {
			return err
		}
		switch {
		case task.Status == scheduler.Finished && task.Comment == scheduler.CommentCancelled:
			return nil
		case task.Status == scheduler.Executed && !hangup, task.Status == scheduler.Finished:
			return scheduler.Errorf(scheduler.Conflict, "task %d is %s", id, task.Status)
		}
		if task.Status == scheduler.Executed {
			t.hangups = append(t.hangups, task.CallID)
		}
		tr, _ := task.Cancel(now)
		if _, err := t.apply(locked, []scheduler.Transition{tr}); err != nil {
			return err
		}
		return t.saveRuntimes(locked)
	})
}
