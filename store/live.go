package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// A view for those who ask, written by the node that makes the call and by
// nobody else; what is true stands in the attempt.
var insertLive = statement{
	postgres: `INSERT INTO live_calls (call_id, client_id, legs)
	SELECT call_id, client_id::uuid, legs FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS u(call_id, client_id, legs)
	ON CONFLICT (call_id) DO UPDATE SET legs = excluded.legs`,
	sqlite: `INSERT INTO live_calls (call_id, client_id, legs) VALUES ($1, $2, $3)
	ON CONFLICT (call_id) DO UPDATE SET legs = excluded.legs`,
}

var deleteLive = statement{
	postgres: `DELETE FROM live_calls WHERE call_id = ANY($1::text[])`,
	sqlite:   `DELETE FROM live_calls WHERE call_id = $1`,
}

// What a node that is gone has left.
const forgetLive = `DELETE FROM live_calls WHERE call_id NOT IN (SELECT call_id FROM calls_live)`

// liveCall is the legs of a call under way.
type liveCall struct {
	CallID scheduler.CallID `gorm:"primaryKey"`
	Legs   []scheduler.Leg  `gorm:"serializer:json"`
}

func (liveCall) TableName() string { return "live_calls" }

// SaveLive stores how far calls have come, and forgets those that are over.
func (s *Store) SaveLive(ctx context.Context, calls []scheduler.LiveCall, over []scheduler.CallID) error {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	type C = scheduler.LiveCall
	legs, err := jsonCol(calls, "[]", func(c *C) any { return &c.Legs })
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		err := t.exec(insertLive, batch{n: len(calls), columns: []column{
			col(calls, func(c *C) string { return string(c.CallID) }), col(calls, func(c *C) string { return string(c.ClientID) }), legs,
		}})
		if err != nil {
			return err
		}
		return t.exec(deleteLive, batch{n: len(over), columns: []column{col(over, func(id *scheduler.CallID) string { return string(*id) })}})
	})
}

// LiveCalls returns the calls of a client that are under way, in the order in
// which they began.
func (s *Store) LiveCalls(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Attempt], error) {
	db := s.reads.WithContext(ctx)
	all := db.Table("calls_live").Where("client_id = ?", client).Session(&gorm.Session{})
	return s.pageOfCalls(ctx, client, all, p)
}

// LiveCall returns a call of a client that is under way.
func (s *Store) LiveCall(ctx context.Context, client scheduler.ClientID, id scheduler.CallID) (scheduler.Attempt, error) {
	a, err := s.CallByID(ctx, client, id)
	if err == nil && !a.EndedAt.IsZero() {
		err = noLiveCall(id)
	}
	return a, err
}

func noLiveCall(id scheduler.CallID) error {
	return scheduler.Errorf(scheduler.NotFound, "there is no call %s under way", id)
}

// fillLive fills in how far those of some calls have come that are under way.
func fillLive(db *gorm.DB, rows []scheduler.Attempt) error {
	at := map[scheduler.CallID]*scheduler.Attempt{}
	var ids []scheduler.CallID
	for i := range rows {
		if rows[i].EndedAt.IsZero() {
			at[rows[i].CallID], ids = &rows[i], append(ids, rows[i].CallID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var known []liveCall
	if err := db.Where("call_id IN ?", ids).Find(&known).Error; err != nil {
		return err
	}
	for _, l := range known {
		at[l.CallID].Live(l.Legs)
	}
	return nil
}

// HangUp asks whoever makes a call of a client to end it. Its task, if it has
// one, ends with it. A call that is not under way is NotFound.
func (s *Store) HangUp(ctx context.Context, client scheduler.ClientID, id scheduler.CallID, now time.Time) error {
	a, err := s.LiveCall(ctx, client, id)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		t.hangups = append(t.hangups, id)
		if a.TaskID == 0 {
			res := t.db.Model(&scheduler.Callback{}).Where("client_id = ? AND call_id = ?", client, id).Update("cancel_requested", true)
			if res.Error == nil && res.RowsAffected == 0 {
				return noLiveCall(id)
			}
			return res.Error
		}
		locked, err := t.lockQueues([]scheduler.QueueID{a.QueueID})
		if err != nil {
			return err
		}
		task, err := readTask(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), client, a.QueueID, a.TaskID)
		if err != nil {
			return err
		}
		if task.Status != scheduler.Executed || task.CallID != id {
			return noLiveCall(id)
		}
		tr, _ := task.Cancel(now)
		if _, err := t.apply(locked, []scheduler.Transition{tr}); err != nil {
			return err
		}
		return t.saveRuntimes(locked)
	})
}
