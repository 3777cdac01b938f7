package store

import (
	"context"
	"strconv"
	"strings"
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

// OutboxOnSQLite are the statements that the notifier's loop asks SQLite, by
// what they are for.
var OutboxOnSQLite = map[string]string{
	"receivers and what is due to them":  dueDeliveriesSQLite,
	"destinations that need care":        carefulDestinationsSQLite,
	"what is due to one of those":        dueOfDestinationSQLite,
	"what is in flight to a destination": inFlight,
	"the event of a question":            questionDeliverySQLite,
	"what a sweep has to do":             lookOwing,
	"what went stale":                    expireStaleSQLite,
	"what is owed to disabled ones":      buryDisabledSQLite,
	"what has waited long enough":        letLateGoSQLite,
	"what waited for what ended":         promoteHeld.sqlite,
	"the end of a delivery":              settleDeliveries.sqlite,
	"what was tried while it was away":   hurryTried,
	"how long one has been due":          earliestDue,
}

// Explain returns the plan of a statement on SQLite, a line per step.
func Explain(s *Store, statement string) ([]string, error) {
	var args []any
	for strings.Contains(statement, "$"+strconv.Itoa(len(args)+1)) {
		args = append(args, nil)
	}
	rows, err := s.reads.Raw("EXPLAIN QUERY PLAN "+statement, args...).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, rows.Err()
}
