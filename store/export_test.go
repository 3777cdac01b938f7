package store

import (
	"context"
	"time"

	"ringback/scheduler"
)

// Insert stores a row as it is: what no method of this release makes.
func Insert(s *Store, row any) error { return s.db.Create(row).Error }

// Exec runs a statement on the database.
func Exec(s *Store, statement string, args ...any) error { return s.db.Exec(statement, args...).Error }

// SealedSecrets returns the sealed columns of all webhook secrets.
func SealedSecrets(s *Store) ([][]byte, error) {
	var sealed [][]byte
	err := s.db.Model(&sealedSecret{}).Pluck("sealed", &sealed).Error
	return sealed, err
}

// TasksOf returns the tasks of a queue, deleted or not, by id.
func TasksOf(s *Store, queue scheduler.QueueID) ([]scheduler.Task, error) {
	var tasks []scheduler.Task
	err := s.db.Where("queue_id = ?", queue).Order("id").Find(&tasks).Error
	return tasks, err
}

// SetClock gives the store another clock; nothing may be under way.
func SetClock(s *Store, now func() time.Time) { s.now = now }

// Count returns how many rows a table has; -1 if it cannot be read.
func Count(s *Store, table string) int {
	var n int64
	if s.db.Table(table).Count(&n).Error != nil {
		return -1
	}
	return int(n)
}

// MinutesOf returns the minutes of a queue that are in the roll-up, in order.
func MinutesOf(s *Store, queue scheduler.QueueID) ([]scheduler.Minute, error) {
	var minutes []scheduler.Minute
	err := s.db.Table("queue_minutes").Where("queue_id = ?", queue).Order("minute").Pluck("minute", &minutes).Error
	return minutes, err
}

// AwakeQueues copies a queue n times, each as one that has been awake since a
// time, with nothing in it.
func AwakeQueues(s *Store, of scheduler.QueueID, n int, since time.Time) error {
	return s.write(context.Background(), func(t *tx) error {
		const upTo = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
		err := t.db.Exec("INSERT INTO queues (client_id, name, is_on, created_at) "+upTo+
			"SELECT q.client_id, 'copy', q.is_on, q.created_at FROM queues q CROSS JOIN n WHERE q.id = ?", n, of).Error
		if err != nil {
			return err
		}
		const runtimes = "INSERT INTO queue_runtime (queue_id, wake_at) SELECT id, ? FROM queues WHERE name = 'copy'"
		return t.db.Exec(runtimes, nullable(since)).Error
	})
}

// Refuses reports whether an error says that a row may not be as it is.
func Refuses(err error) bool { return refusesRow(err) }

// WakeChannel is where nodes are told of what may start.
const WakeChannel = wakeChannel
