package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// QueueNow returns a queue of a client with what moves of it, without counting
// its tasks: what tells why one of them waits.
func (s *Store) QueueNow(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID) (scheduler.Queue, scheduler.Runtime, error) {
	db := s.reads.WithContext(ctx)
	type found struct {
		Queue    scheduler.Queue    `gorm:"embedded;embeddedPrefix:q_"`
		Runtime  scheduler.Runtime  `gorm:"embedded;embeddedPrefix:r_"`
		Interval scheduler.Interval `gorm:"embedded;embeddedPrefix:i_"`
		Full     bool               // a limit of its client, or of an extension
	}
	row, err := one[found](db.Table("queues q").
		Select(beside[scheduler.Queue](db, "q", "q_")+", "+beside[scheduler.Runtime](db, "r", "r_")+", "+beside[scheduler.Interval](db, "i", "i_")+
			", EXISTS (SELECT 1 FROM call_limits l WHERE l.client_id = q.client_id AND l.running >= l.most) AS full").
		Joins("JOIN queue_runtime r ON r.queue_id = q.id LEFT JOIN intervals i ON i.id = q.interval_id AND i.client_id = q.client_id").
		Where("q.client_id = ? AND q.id = ? AND q.deleted_at IS NULL", client, id),
		"there is no task scheduler %d", id)
	if err != nil {
		return scheduler.Queue{}, scheduler.Runtime{}, err
	}
	runtimes := map[scheduler.QueueID]scheduler.Runtime{id: row.Runtime}
	windows := map[scheduler.QueueID]scheduler.Window{}
	if row.Queue.IntervalID != nil {
		zone, err := s.zone(row.Interval.TimeZone)
		if err != nil {
			return scheduler.Queue{}, scheduler.Runtime{}, err
		}
		windows[id] = scheduler.Window{Interval: row.Interval, Zone: zone}
	}
	err = s.holding(db, client, windows, row.Full, runtimes)
	return row.Queue, runtimes[id], err
}

// readHolding reads what holds queues of a client beside their own rows, by id:
// their windows, and the limits that they share with others.
func (s *Store) readHolding(db *gorm.DB, client scheduler.ClientID, runtimes map[scheduler.QueueID]scheduler.Runtime) error {
	windows, err := s.windows(db, client, slices.Collect(maps.Keys(runtimes)))
	if err != nil {
		return err
	}
	return s.holding(db, client, windows, true, runtimes)
}

// holding is readHolding with the windows; isFull says that a limit may be full.
func (s *Store) holding(db *gorm.DB, client scheduler.ClientID, windows map[scheduler.QueueID]scheduler.Window, isFull bool, runtimes map[scheduler.QueueID]scheduler.Runtime) error {
	ids, now := slices.Collect(maps.Keys(runtimes)), s.now().UTC()
	var full []scheduler.CallLimit
	if isFull {
		if err := db.Model(&callLimit{}).Where("client_id = ? AND running >= most", client).Order("extension_id DESC").Find(&full).Error; err != nil {
			return err
		}
	}
	heads, err := headExtensions(db, ids, full, now)
	for id, r := range runtimes {
		r = r.At(windows[id], now)
		r.Full, r.Head = full, heads[id]
		runtimes[id] = r
	}
	return err
}

// headExtensions returns the extension of the first due task of each of some
// queues, if a limit of an extension is full.
func headExtensions(db *gorm.DB, ids []scheduler.QueueID, full []scheduler.CallLimit, now time.Time) (map[scheduler.QueueID]scheduler.ExtensionID, error) {
	if len(full) == 0 || full[0].ExtensionID == 0 {
		return nil, nil
	}
	var rows []struct {
		QueueID scheduler.QueueID
		Head    scheduler.ExtensionID
	}
	err := db.Model(&scheduler.Runtime{}).Where("queue_id IN ?", ids).Select(`queue_id, coalesce((SELECT t.extension_id FROM tasks t
		WHERE t.queue_id = queue_runtime.queue_id AND t.ready_at <= ? ORDER BY t.ready_at, t.id LIMIT 1), 0) AS head`, now).Scan(&rows).Error
	heads := make(map[scheduler.QueueID]scheduler.ExtensionID, len(rows))
	for _, r := range rows {
		heads[r.QueueID] = r.Head
	}
	return heads, err
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
	for _, r := range rows {
		runtimes[r.QueueID] = r
	}
	return runtimes, s.readHolding(db, client, runtimes)
}
