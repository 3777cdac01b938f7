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
