package store

import (
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
