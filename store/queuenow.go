package store

import (
	"context"

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
	return q, runtime, err
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
	for _, r := range rows {
		runtimes[r.QueueID] = r
	}
	return runtimes, err
}
