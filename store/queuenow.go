package store

import (
	"context"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// QueueNow returns a queue of a client with what moves of it, without counting
// its tasks: what tells why one of them waits.
func (s *Store) QueueNow(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, scheduler.Runtime, error) {
	db := s.reads.WithContext(ctx)
	q, err := readQueue(db, client, id)
	if err != nil {
		return scheduler.Queue{}, scheduler.Runtime{}, err
	}
	runtime, err := one[scheduler.Runtime](db.Where("queue_id = ?", id), "there is no task scheduler %d", id)
	if err != nil {
		return scheduler.Queue{}, scheduler.Runtime{}, err
	}
	windows, err := s.windows(db, client, []scheduler.QueueID{id})
	return q, runtime.At(windows[id], s.now().UTC()), err
}

// windows returns the calling windows of those queues of a client that have
// one.
func (s *Store) windows(db *gorm.DB, client scheduler.ClientID, ids []scheduler.QueueID) (map[scheduler.QueueID]scheduler.Window, error) {
	var users []scheduler.Queue
	err := queues(db, client).Select("id", "interval_id").Where("id IN ? AND interval_id IS NOT NULL", ids).Find(&users).Error
	if err != nil || len(users) == 0 {
		return nil, err
	}
	used := make([]scheduler.IntervalID, len(users))
	for i, q := range users {
		used[i] = *q.IntervalID
	}
	var rows []scheduler.Interval
	if err := intervals(db, client).Where("id IN ?", used).Find(&rows).Error; err != nil {
		return nil, err
	}
	byID := make(map[scheduler.IntervalID]scheduler.Window, len(rows))
	for _, i := range rows {
		zone, err := s.zone(i.TimeZone)
		if err != nil {
			return nil, err
		}
		byID[i.ID] = scheduler.Window{Interval: i, Zone: zone}
	}
	windows := make(map[scheduler.QueueID]scheduler.Window, len(users))
	for _, q := range users {
		windows[q.ID] = byID[*q.IntervalID]
	}
	return windows, nil
}

// Runtimes returns what moves of some queues of a client, by their ids.
func (s *Store) Runtimes(ctx context.Context, client scheduler.ClientID, ids []scheduler.QueueID) (map[scheduler.QueueID]scheduler.Runtime, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	db := s.reads.WithContext(ctx)
	var rows []scheduler.Runtime
	err := db.Where("queue_id IN (?)", queues(db, client).Where("id IN ?", ids).Select("id")).Find(&rows).Error
	runtimes := make(map[scheduler.QueueID]scheduler.Runtime, len(rows))
	if err != nil {
		return nil, err
	}
	windows, err := s.windows(db, client, ids)
	for _, r := range rows {
		runtimes[r.QueueID] = r.At(windows[r.QueueID], s.now().UTC())
	}
	return runtimes, err
}
