package store

import (
	"context"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// A count that ends: deliveries_ready and deliveries_held hold these states alone.
const (
	countReady = `SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'ready' LIMIT ?) d`
	countHeld  = `SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE state = 'held' LIMIT ?) d`
)

// One step into deliveries_ready for each destination.
const earliestDue = `SELECT next_at FROM (SELECT (SELECT next_at FROM deliveries d WHERE d.state = 'ready'
		AND d.client_id = t.client_id AND d.origin = t.origin ORDER BY next_at, id LIMIT 1) AS next_at
	FROM destinations t WHERE t.paused_at IS NULL AND t.disabled_at IS NULL) w
	WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1`

const oldestMail = `SELECT created_at FROM mails WHERE state = 'ready' ORDER BY created_at LIMIT 1`

// Backlog tells what is owed, over all clients, without reading all of it.
func (s *Store) Backlog(ctx context.Context, now time.Time) (webhooks.Backlog, error) {
	b := webhooks.Backlog{Destinations: map[webhooks.DestinationState]int{}}
	db := s.reads.WithContext(ctx)
	if err := db.Raw(countReady, webhooks.BacklogMost).Scan(&b.Ready).Error; err != nil {
		return b, err
	}
	if err := db.Raw(countHeld, webhooks.BacklogMost).Scan(&b.Held).Error; err != nil {
		return b, err
	}
	var due []scheduler.Delivery
	if err := db.Raw(earliestDue).Scan(&due).Error; err != nil {
		return b, err
	}
	if len(due) > 0 {
		b.Oldest = max(now.Sub(due[0].NextAt), 0)
	}
	var waiting []scheduler.Mail
	if err := db.Raw(oldestMail).Scan(&waiting).Error; err != nil {
		return b, err
	}
	if len(waiting) > 0 {
		b.OldestMail = max(now.Sub(waiting[0].CreatedAt), 0)
	}
	rows, err := db.Model(&webhooks.Destination{}).Select("disabled_at, paused_at, open_until, ramp_from").Rows()
	if err != nil {
		return b, err
	}
	defer rows.Close()
	for rows.Next() {
		var d webhooks.Destination
		if err := rows.Scan(nullTime{&d.DisabledAt}, nullTime{&d.PausedAt}, nullTime{&d.OpenUntil}, nullTime{&d.RampFrom}); err != nil {
			return b, err
		}
		b.Destinations[d.State(now)]++
	}
	return b, rows.Err()
}
