package store

import (
	"context"
	"time"

	"ringback/scheduler"
)

// TryRow is a recorded try of a delivery.
type TryRow struct {
	DeliveryID scheduler.DeliveryID
	Number     int
	At         time.Time `gorm:"serializer:instant"`
	TookUs     int64
	Remote     string
	Status     int
	Error      string
	Response   []byte
}

// Deliveries returns the whole outbox, by id.
func Deliveries(s *Store) ([]scheduler.Delivery, error) {
	var rows []scheduler.Delivery
	return rows, s.db.Order("id").Find(&rows).Error
}

// Tries returns every recorded try, in order.
func Tries(s *Store) ([]TryRow, error) {
	var rows []TryRow
	return rows, s.db.Table("delivery_tries").Order("delivery_id, number").Find(&rows).Error
}

// InsertDeliveries writes events as a transaction of tasks does, and calls
// before between that and its commit.
func InsertDeliveries(s *Store, events []scheduler.Event, before func()) error {
	return s.write(context.Background(), func(t *tx) error {
		if err := t.insertDeliveries(events); err != nil {
			return err
		}
		if before != nil {
			before()
		}
		return nil
	})
}
