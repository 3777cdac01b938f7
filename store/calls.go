package store

import (
	"context"

	"gorm.io/gorm"

	"ringback/scheduler"
)

// allCalls is the view of attempts as they are stored and of those under way, of
// which their tasks' rows tell.
const allCalls = "calls"

// Calls returns the calls of a client, live ones included, ordered by when
// they began.
func (s *Store) Calls(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter, p scheduler.Page) (scheduler.List[scheduler.Attempt], error) {
	return s.pageOfCalls(ctx, client, s.calls(ctx, client, f), p)
}

// pageOfCalls reads a page of some calls of a client with how far those are
// that are under way.
func (s *Store) pageOfCalls(ctx context.Context, client scheduler.ClientID, all *gorm.DB, p scheduler.Page) (scheduler.List[scheduler.Attempt], error) {
	db, page := s.reads.WithContext(ctx), all
	if p.AfterCall != "" {
		last, err := one[scheduler.Attempt](db.Table(allCalls).Where("client_id = ? AND call_id = ?", client, p.AfterCall), "there is no call %s to go on after", p.AfterCall)
		if err != nil {
			return scheduler.List[scheduler.Attempt]{}, err
		}
		page = all.Where(beyond(p), last.StartedAt.UTC(), last.CallID)
	}
	found, err := paged[scheduler.Attempt](all, page.Order(direction("started_at", p)).Order(direction("call_id", p)), p)
	if err != nil {
		return found, err
	}
	return found, fillLive(db, found.Rows)
}

// beyond selects the calls that come after one in the order of a page.
func beyond(p scheduler.Page) string {
	if p.Descending {
		return "(started_at, call_id) < (?, ?)"
	}
	return "(started_at, call_id) > (?, ?)"
}

// callsAtOnce is how many calls of a long history are in memory at one time.
const callsAtOnce = 1000

// EachCall hands all calls of a client that a filter selects to tell, some at a
// time, in the order in which they began, or the other way round. What begins
// or ends meanwhile may be told or not.
func (s *Store) EachCall(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter, descending bool, tell func([]scheduler.Attempt) error) error {
	p := scheduler.Page{Descending: descending}
	all := s.calls(ctx, client, f)
	for from := all; ; {
		var rows []scheduler.Attempt
		err := from.Order(direction("started_at", p)).Order(direction("call_id", p)).Limit(callsAtOnce).Find(&rows).Error
		if err == nil {
			err = fillLive(s.reads.WithContext(ctx), rows)
		}
		if err == nil && len(rows) > 0 {
			err = tell(rows)
		}
		if err != nil || len(rows) < callsAtOnce {
			return err
		}
		last := rows[len(rows)-1]
		from = all.Where(beyond(p), last.StartedAt.UTC(), last.CallID)
	}
}

// calls selects the calls of a client by a filter.
func (s *Store) calls(ctx context.Context, client scheduler.ClientID, f scheduler.CallFilter) *gorm.DB {
	q := s.reads.WithContext(ctx).Table(allCalls).Where("client_id = ?", client)
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
		q = q.Where("(b_number = ? OR b_number_e164 = ?)", f.ToNumber, f.ToNumber)
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
	return q.Session(&gorm.Session{})
}

// CallByID returns a call of a client, live or ended.
func (s *Store) CallByID(ctx context.Context, client scheduler.ClientID, id scheduler.CallID) (scheduler.Attempt, error) {
	db := s.reads.WithContext(ctx)
	a, err := one[scheduler.Attempt](db.Table(allCalls).Where("client_id = ? AND call_id = ?", client, id), "there is no call %s", id)
	if err != nil {
		return a, err
	}
	rows := []scheduler.Attempt{a}
	err = fillLive(db, rows)
	return rows[0], err
}
