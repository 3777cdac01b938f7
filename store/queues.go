package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// queues selects the live queues of a client.
func queues(db *gorm.DB, client scheduler.ClientID) *gorm.DB {
	return db.Model(&scheduler.Queue{}).Where("client_id = ? AND deleted_at IS NULL", client)
}

// Queues returns the queues of a client.
func (s *Store) Queues(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Queue], error) {
	return list[scheduler.Queue](queues(s.reads.WithContext(ctx), client), p)
}

// Queue returns a queue of a client.
func (s *Store) Queue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, error) {
	return readQueue(s.reads.WithContext(ctx), client, id)
}

func readQueue(db *gorm.DB, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, error) {
	return one[scheduler.Queue](queues(db, client).Where("id = ?", id), "there is no task scheduler %d", id)
}

// QueueState returns what moves of a queue, and how many of its tasks show
// each status.
func (s *Store) QueueState(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Runtime, map[scheduler.Status]int, error) {
	q, runtime, err := s.QueueNow(ctx, client, id)
	if err != nil {
		return scheduler.Runtime{}, nil, err
	}
	now := s.now().UTC()
	var groups []struct {
		Status scheduler.Status
		Due    bool
		N      int
	}
	err = s.reads.WithContext(ctx).Model(&scheduler.Task{}).Where("queue_id = ?", id).
		Select("status, ready_at IS NOT NULL AND ready_at <= ? AS due, count(*) AS n", now).Group("1, 2").Scan(&groups).Error
	counts := map[scheduler.Status]int{}
	for _, g := range groups {
		shown := scheduler.Task{Status: g.Status, ReadyAt: now}
		if !g.Due {
			shown.ReadyAt = now.Add(time.Second)
		}
		counts[shown.Shown(q, runtime, now)] += g.N
	}
	return runtime, counts, err
}

// AddQueue stores a queue and returns it with its id.
func (s *Store) AddQueue(ctx context.Context, q scheduler.Queue) (scheduler.Queue, error) {
	q.ID, q.DeletedAt = 0, time.Time{}
	err := s.write(ctx, func(t *tx) error {
		if err := t.lockClient(q.ClientID, "SHARE"); err != nil {
			return err
		}
		if err := t.maySwitchOn(q); err != nil {
			return err
		}
		if err := t.useInterval(q); err != nil {
			return err
		}
		if err := t.db.Create(&q).Error; err != nil {
			return err
		}
		t.saw(nil, q)
		t.made = append(t.made, int64(q.ID))
		return t.db.Create(&scheduler.Runtime{QueueID: q.ID}).Error
	})
	return q, err
}

// settings are the fields of a queue that its owner may change, but its name.
var settings = []any{
	"Comment", "On", "Limit", "IntervalID", "StartRate", "Priority", "BeforeWait",
	"asr_min_percent", "asr_basis", "asr_window", "asr_min_attempts", "asr_pause",
}

// UpdateQueue changes the settings of a queue: change is given what is stored,
// under its lock. What is executed goes on, whatever the new limit.
func (s *Store) UpdateQueue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, change func(*scheduler.Queue) error) (scheduler.Queue, error) {
	var changed scheduler.Queue
	err := s.write(ctx, func(t *tx) (err error) {
		changed, err = t.updateQueue(client, id, change)
		return err
	})
	return changed, err
}

func (t *tx) updateQueue(client scheduler.ClientID, id scheduler.QueueID, change func(*scheduler.Queue) error) (scheduler.Queue, error) {
	// Whoever begins a limit holds the client, and then takes its queues.
	if err := t.lockClient(client, "SHARE"); err != nil {
		return scheduler.Queue{}, err
	}
	locked, err := t.lockQueue(client, id)
	if err != nil {
		return scheduler.Queue{}, err
	}
	stored, err := readQueue(t.db, client, id)
	if err != nil {
		return scheduler.Queue{}, err
	}
	changed := stored
	if err := change(&changed); err != nil {
		return changed, err
	}
	changed.ID, changed.ClientID, changed.CreatedAt, changed.DeletedAt = stored.ID, stored.ClientID, stored.CreatedAt, stored.DeletedAt
	if changed.On && !stored.On {
		if err := t.maySwitchOn(changed); err != nil {
			return changed, err
		}
	}
	if err := t.useInterval(changed); err != nil {
		return changed, err
	}
	err = queues(t.db, client).Where("id = ?", id).Select("Name", settings...).Updates(changed).Error
	if err != nil {
		return changed, err
	}
	t.saw(stored, changed)
	locked[0].queue = changed
	locked[0].runtime.Brake = locked[0].runtime.Brake.Edited(stored.Brake, changed.Brake, t.now().UTC())
	return changed, t.reconsider(locked)
}

// maySwitchOn refuses a queue that is to be on while its client, which is
// locked, is disabled.
func (t *tx) maySwitchOn(q scheduler.Queue) error {
	if !q.On {
		return nil
	}
	_, err := one[scheduler.Client](t.db.Where("id = ? AND disabled_at IS NULL", q.ClientID).Where(ofEnabled), "")
	if scheduler.KindOf(err) == scheduler.NotFound {
		return scheduler.Errorf(scheduler.Conflict, "the client is disabled: its schedulers stay off")
	}
	return err
}

const disabledQueues = `SELECT q.id, q.client_id FROM queues q JOIN clients c ON c.id = q.client_id JOIN accounts a ON a.id = c.account_id
	WHERE q.is_on AND q.deleted_at IS NULL AND (c.disabled_at IS NOT NULL OR a.disabled_at IS NOT NULL) ORDER BY q.id LIMIT 1000`

// stopDisabled switches off the queues of disabled clients, and of those of
// disabled accounts: whoever disables does so afterwards, housekeeping if that
// was cut short.
func (s *Store) stopDisabled(ctx context.Context) error {
	var found []scheduler.Queue
	if err := s.db.WithContext(ctx).Raw(disabledQueues).Scan(&found).Error; err != nil {
		return err
	}
	for _, q := range found {
		_, err := s.UpdateQueue(ctx, q.ClientID, q.ID, func(q *scheduler.Queue) error { q.On = false; return nil })
		if err != nil && scheduler.KindOf(err) != scheduler.NotFound {
			return err
		}
	}
	if len(found) > 0 {
		return s.stopDisabled(ctx)
	}
	return nil
}

// ResetBrake closes the brake of a queue and forgets what it counted: what is
// due starts again.
func (s *Store) ResetBrake(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) error {
	return s.write(ctx, func(t *tx) error {
		locked, err := t.lockQueue(client, id)
		if err != nil {
			return err
		}
		locked[0].runtime.Brake = scheduler.Brake{}
		return t.saveRuntimes(locked)
	})
}

// lockQueue locks the runtime row of a client's live queue.
func (t *tx) lockQueue(client scheduler.ClientID, id scheduler.QueueID) ([]lockedQueue, error) {
	locked, err := t.lockQueues([]scheduler.QueueID{id})
	if err != nil {
		return nil, err
	}
	if len(locked) == 0 || locked[0].queue.ClientID != client || !locked[0].queue.DeletedAt.IsZero() {
		return nil, noQueue(id)
	}
	return locked, nil
}

// cancelBatch is how many waiting tasks of a deleted queue one transaction
// cancels.
const cancelBatch = 1000

// DeleteQueue marks a queue as deleted and cancels what waits in it. While
// calls are up it is a Conflict, unless force is set: then they end on their
// own.
func (s *Store) DeleteQueue(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, force bool, now time.Time) error {
	err := s.write(ctx, func(t *tx) error {
		locked, err := t.lockQueue(client, id)
		if err != nil {
			return err
		}
		if n := locked[0].runtime.Running; n > 0 && !force {
			return scheduler.Errorf(scheduler.Conflict, "task scheduler %d has %d tasks executed", id, n)
		}
		err = queues(t.db, client).Where("id = ?", id).Select("DeletedAt").Updates(scheduler.Queue{DeletedAt: now}).Error
		if err != nil {
			return err
		}
		t.saw(locked[0].queue, nil)
		locked[0].queue.DeletedAt = now
		return t.saveRuntimes(locked)
	})
	if err != nil {
		return err
	}
	// It is deleted, also for a caller who does not wait for what that takes.
	ctx = context.WithoutCancel(ctx)
	for {
		if n, err := s.cancelWaiting(ctx, id, now); err != nil || n < cancelBatch {
			return err
		}
	}
}

const deletedQueues = `SELECT q.id FROM queues q WHERE q.deleted_at IS NOT NULL
	AND EXISTS (SELECT 1 FROM tasks WHERE queue_id = q.id AND ready_at IS NOT NULL) ORDER BY q.id LIMIT 1000`

// emptyDeleted cancels a batch of what waits in deleted queues: what a
// deletion that was cut short left, and what a call that was up then has sent
// back to wait since. It returns the transitions it wrote.
func (s *Store) emptyDeleted(ctx context.Context, now time.Time) (ended int, err error) {
	var ids []scheduler.QueueID
	if err := s.reads.WithContext(ctx).Raw(deletedQueues).Scan(&ids).Error; err != nil {
		return 0, err
	}
	for _, id := range ids {
		n, err := s.cancelWaiting(ctx, id, now)
		if err != nil {
			return ended, err
		}
		ended += n
	}
	return ended, nil
}

// cancelWaiting cancels a batch of what waits in a deleted queue.
func (s *Store) cancelWaiting(ctx context.Context, id scheduler.QueueID, now time.Time) (ended int, err error) {
	err = s.write(ctx, func(t *tx) error {
		ended = 0
		locked, err := t.lockQueues([]scheduler.QueueID{id})
		if err != nil || len(locked) == 0 {
			return err
		}
		var waiting []scheduler.Task
		err = t.db.Where("queue_id = ? AND ready_at IS NOT NULL", id).Order("ready_at, id").Limit(cancelBatch).Find(&waiting).Error
		if err != nil {
			return err
		}
		trs := make([]scheduler.Transition, len(waiting))
		for i, task := range waiting {
			trs[i], _ = task.Cancel(now)
		}
		ended = len(trs)
		if _, err := t.apply(locked, trs); err != nil {
			return err
		}
		return t.saveRuntimes(locked)
	})
	return ended, err
}
