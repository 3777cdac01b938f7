package store

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// intervals selects the intervals of a client.
func intervals(db *gorm.DB, client scheduler.ClientID) *gorm.DB {
	return db.Model(&scheduler.Interval{}).Where("client_id = ?", client)
}

func readInterval(db *gorm.DB, client scheduler.ClientID, id scheduler.IntervalID) (scheduler.Interval, error) {
	return one[scheduler.Interval](intervals(db, client).Where("id = ?", id), "there is no interval %d", id)
}

// Intervals returns the calling windows of a client.
func (s *Store) Intervals(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Interval], error) {
	return list[scheduler.Interval](intervals(s.reads.WithContext(ctx), client), p)
}

// Interval returns a calling window of a client.
func (s *Store) Interval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID) (scheduler.Interval, error) {
	return readInterval(s.reads.WithContext(ctx), client, id)
}

// AddInterval stores a calling window and returns it with its id.
func (s *Store) AddInterval(ctx context.Context, i scheduler.Interval) (scheduler.Interval, error) {
	i.ID = 0
	err := s.write(ctx, func(t *tx) error {
		err := t.db.Create(&i).Error
		t.saw(nil, i)
		t.made = append(t.made, int64(i.ID))
		return err
	})
	return i, err
}

// UpdateInterval changes a calling window: change is given what is stored,
// under its lock. The queues that use it are looked at anew at once.
func (s *Store) UpdateInterval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID, change func(*scheduler.Interval) error) (scheduler.Interval, error) {
	var changed scheduler.Interval
	err := s.write(ctx, func(t *tx) error {
		used, err := t.queuesUsing(client, id)
		if err != nil {
			return err
		}
		locked, err := t.lockQueues(used)
		if err != nil {
			return err
		}
		stored, err := readInterval(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), client, id)
		if err != nil {
			return err
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		changed.ID, changed.ClientID, changed.CreatedAt = stored.ID, stored.ClientID, stored.CreatedAt
		err = intervals(t.db, client).Where("id = ?", id).Select("Name", "TimeZone", "Conditions").Updates(changed).Error
		if err != nil {
			return err
		}
		t.saw(stored, changed)
		return t.reconsider(locked)
	})
	if err != nil {
		return changed, err
	}
	// A queue that took the window meanwhile may hold until its former opening.
	return changed, s.write(ctx, func(t *tx) error {
		used, err := t.queuesUsing(client, id)
		if err != nil {
			return err
		}
		locked, err := t.lockQueues(used)
		if err != nil {
			return err
		}
		return t.reconsider(locked)
	})
}

// reconsider lets the next claim look anew at queues that are locked, with the
// windows that they have now.
func (t *tx) reconsider(locked []lockedQueue) error {
	now := t.now().UTC()
	ids := make([]scheduler.QueueID, len(locked))
	for i := range locked {
		ids[i] = locked[i].queue.ID
	}
	fresh, err := t.readQueues(ids)
	if err != nil {
		return err
	}
	windows := make(map[scheduler.QueueID]scheduler.Window, len(fresh))
	for _, l := range fresh {
		windows[l.queue.ID] = l.window
	}
	for i := range locked {
		l := &locked[i]
		l.runtime, l.window = l.runtime.Reconsider(l.queue, now), windows[l.queue.ID]
	}
	return t.saveRuntimes(locked)
}

// useInterval keeps the window of a queue, if it has one, from being deleted
// until the commit.
func (t *tx) useInterval(q scheduler.Queue) error {
	if q.IntervalID == nil {
		return nil
	}
	_, err := readInterval(t.db.Clauses(clause.Locking{Strength: "KEY SHARE"}), q.ClientID, *q.IntervalID)
	return err
}

func (t *tx) queuesUsing(client scheduler.ClientID, id scheduler.IntervalID) ([]scheduler.QueueID, error) {
	var ids []scheduler.QueueID
	err := queues(t.db, client).Where("interval_id = ?", id).Order("id").Pluck("id", &ids).Error
	return ids, err
}

// DeleteInterval forgets a calling window. While a queue uses it it is a
// Conflict that names the queue.
func (s *Store) DeleteInterval(ctx context.Context, client scheduler.ClientID, id scheduler.IntervalID) error {
	return s.write(ctx, func(t *tx) error {
		stored, err := readInterval(t.db.Clauses(clause.Locking{Strength: "UPDATE"}), client, id)
		if err != nil {
			return err
		}
		t.saw(stored, nil)
		used, err := t.queuesUsing(client, id)
		if err != nil {
			return err
		}
		if len(used) > 0 {
			return scheduler.Errorf(scheduler.Conflict, "interval %d is used by task scheduler %d", id, used[0])
		}
		// What is left of deleted queues needs no window.
		forget := t.db.Model(&scheduler.Queue{}).Where("client_id = ? AND interval_id = ?", client, id).Update("interval_id", nil)
		if forget.Error != nil {
			return forget.Error
		}
		return intervals(t.db, client).Where("id = ?", id).Delete(&scheduler.Interval{}).Error
	})
}
