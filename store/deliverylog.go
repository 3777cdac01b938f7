package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
	"ringback/webhooks"
)

// resendBatch is how many deliveries one statement sends again.
const resendBatch = 1000

// ResendMost is how many deliveries one demand sends again at most.
const ResendMost = 50_000

// selected selects deliveries of a client.
func selected(db *gorm.DB, client scheduler.ClientID, f webhooks.Filter) *gorm.DB {
	q := db.Model(&scheduler.Delivery{}).Where("client_id = ?", client)
	if len(f.States) > 0 {
		q = q.Where("state IN ?", f.States)
	}
	if f.Kind != "" {
		q = q.Where("kind = ?", f.Kind)
	}
	if f.TaskID != 0 {
		q = q.Where("task_id = ?", f.TaskID)
	}
	if f.Destination != 0 {
		q = q.Where("origin = (SELECT origin FROM destinations WHERE client_id = ? AND id = ?)", client, f.Destination)
	}
	if f.Error != "" {
		q = q.Where("last_error = ?", f.Error)
	}
	if !f.From.IsZero() {
		q = q.Where("created_at >= ?", f.From.UTC())
	}
	if !f.To.IsZero() {
		q = q.Where("created_at < ?", f.To.UTC())
	}
	return q
}

func readDelivery(db *gorm.DB, client scheduler.ClientID, id scheduler.DeliveryID) (scheduler.Delivery, error) {
	return one[scheduler.Delivery](db.Where("client_id = ? AND id = ?", client, id), "there is no delivery %d", id)
}

// Deliveries returns the events owed to a client's URLs, and what became of
// them, by id.
func (s *Store) Deliveries(ctx context.Context, client scheduler.ClientID, f webhooks.Filter, p scheduler.Page) (scheduler.List[scheduler.Delivery], error) {
	return list[scheduler.Delivery](selected(s.reads.WithContext(ctx), client, f), p)
}

// tryRow is the row of a try.
type tryRow struct {
	DeliveryID scheduler.DeliveryID
	Number     int
	At         time.Time `gorm:"serializer:instant"`
	TookUs     int64     // microseconds
	Remote     string
	Status     int
	Error      string
	Response   []byte
}

// TableName names the table for gorm.
func (tryRow) TableName() string { return "delivery_tries" }

// Delivery returns one of a client's, with its tries in order.
func (s *Store) Delivery(ctx context.Context, client scheduler.ClientID, id scheduler.DeliveryID) (scheduler.Delivery, []webhooks.Try, error) {
	db := s.reads.WithContext(ctx)
	d, err := readDelivery(db, client, id)
	if err != nil {
		return d, nil, err
	}
	var rows []tryRow
	if err := db.Where("delivery_id = ?", id).Order("number").Find(&rows).Error; err != nil {
		return d, nil, err
	}
	tries := make([]webhooks.Try, len(rows))
	for i, r := range rows {
		tries[i] = webhooks.Try{
			At: r.At, Took: time.Duration(r.TookUs) * time.Microsecond, Remote: r.Remote, Status: r.Status, Error: r.Error, Response: r.Response,
		}
	}
	return d, tries, nil
}

var resendDeliveries = statement{
	postgres: `UPDATE deliveries d SET state = 'held', tries_before = d.tries, next_at = v.next_at, expires_at = v.expires_at,
		ended_at = NULL, lease_token = '', lease_until = NULL
	FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS v(id, next_at, expires_at) WHERE d.id = v.id`,
	sqlite: `UPDATE deliveries SET state = 'held', tries_before = tries, next_at = $2, expires_at = $3,
		ended_at = NULL, lease_token = '', lease_until = NULL WHERE id = $1`,
}

// resend writes deliveries as webhooks.Again makes them, and lets those go that
// wait for nothing.
func (t *tx) resend(stored []scheduler.Delivery, now time.Time) error {
	tasks := make([]scheduler.TaskID, len(stored))
	for i := range stored {
		var err error
		if stored[i], err = webhooks.Again(stored[i], now); err != nil {
			return err
		}
		tasks[i] = stored[i].TaskID
		t.made = append(t.made, int64(stored[i].ID))
	}
	type D = scheduler.Delivery
	err := t.exec(resendDeliveries, batch{n: len(stored), columns: []column{
		col(stored, func(d *D) int64 { return int64(d.ID) }),
		timeCol(stored, func(d *D) time.Time { return d.NextAt }),
		timeCol(stored, func(d *D) time.Time { return d.ExpiresAt }),
	}})
	if err != nil {
		return err
	}
	t.eventful = true
	return t.promote(now, tasks)
}

// Resend sends an event of a client once more; see webhooks.Again.
func (s *Store) Resend(ctx context.Context, client scheduler.ClientID, id scheduler.DeliveryID, now time.Time) (scheduler.Delivery, error) {
	var again scheduler.Delivery
	err := s.write(ctx, func(t *tx) error {
		stored, err := readDelivery(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), client, id)
		if err != nil {
			return err
		}
		if err := t.resend([]scheduler.Delivery{stored}, now); err != nil {
			return err
		}
		again, err = readDelivery(t.db, client, id)
		return err
	})
	return again, err
}

// ResendAll sends the events once more that a filter selects, those that ended,
// all or none, and returns how many they are, up to ResendMost; dry, it only
// counts them.
func (s *Store) ResendAll(ctx context.Context, client scheduler.ClientID, f webhooks.Filter, now time.Time, dry bool) (int, error) {
	var ids []scheduler.DeliveryID
	err := selected(s.reads.WithContext(ctx), client, f).Where("ended_at IS NOT NULL").
		Order("id").Limit(ResendMost).Pluck("id", &ids).Error
	if err != nil || dry {
		return len(ids), err
	}
	sent := 0
	err = s.write(ctx, func(t *tx) error {
		sent = 0
		for slice := range slices.Chunk(ids, resendBatch) {
			var rows []scheduler.Delivery
			err := t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
				Where("client_id = ? AND id IN ? AND ended_at IS NOT NULL", client, slice).Order("id").Find(&rows).Error
			if err != nil {
				return err
			}
			if err := t.resend(rows, now); err != nil {
				return err
			}
			sent += len(rows)
		}
		return nil
	})
	return sent, err
}
