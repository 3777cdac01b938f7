package store

import (
	"context"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// Calls returns the calls of a client, live ones included, ordered by when
// they began. They have no row numbers, so the page's cursor is ignored.
func (s *Store) Calls(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter, p scheduler.Page) (scheduler.List[scheduler.Attempt], error) {
	p.After = 0
	q := s.reads.WithContext(ctx).Model(&scheduler.Attempt{}).Where("client_id = ?", client)
	if !f.From.IsZero() {
		q = q.Where("started_at >= ?", f.From.UTC())
	}
	if !f.To.IsZero() {
		q = q.Where("started_at < ?", f.To.UTC())
	}
	if f.ExtensionID != 0 {
		q = q.Where("extension_id = ?", f.ExtensionID)
	}
	if f.ToNumber != "" {
		q = q.Where("b_number = ?", f.ToNumber)
	}
	if f.Result != "" {
		q = q.Where("result = ?", f.Result)
	}
	if f.TaskID != 0 {
		q = q.Where("task_id = ?", f.TaskID)
	}
	if f.QueueID != 0 {
		q = q.Where("queue_id = ?", f.QueueID)
	}
	all := q.Session(&gorm.Session{})
	found, err := paged[scheduler.Attempt](all, all.Order(direction("started_at", p)).Order(direction("call_id", p)), p)
	if err != nil {
		return found, err
	}
	return found, fillLive(s.reads.WithContext(ctx), found.Rows)
}

// CallByID returns a call of a client, live or ended.
func (s *Store) CallByID(ctx context.Context, client scheduler.ClientID, id scheduler.CallID) (scheduler.Attempt, error) {
	db := s.reads.WithContext(ctx)
	a, err := one[scheduler.Attempt](db.Where("client_id = ? AND call_id = ?", client, id), "there is no call %s", id)
	if err != nil {
		return a, err
	}
	rows := []scheduler.Attempt{a}
	err = fillLive(db, rows)
	return rows[0], err
}
