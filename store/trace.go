package store

import (
	"context"
	"time"

	"ringback/scheduler"
)

// What no attempt tells of a task, once a step and attempt: a task that is
// released again and again has one row, not a thousand.
var noteSteps = statement{
	postgres: `INSERT INTO task_steps AS s (queue_id, task_id, attempt, step, times, first_at, last_at)
	SELECT queue_id, task_id, attempt, step, 1, at, at
	FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::timestamptz[]) AS u(queue_id, task_id, attempt, step, at)
	ON CONFLICT (queue_id, task_id, attempt, step) DO UPDATE SET times = s.times + 1, last_at = excluded.last_at`,
	sqlite: `INSERT INTO task_steps AS s (queue_id, task_id, attempt, step, times, first_at, last_at)
	VALUES ($1, $2, $3, $4, 1, $5, $5)
	ON CONFLICT (queue_id, task_id, attempt, step) DO UPDATE SET times = s.times + 1, last_at = excluded.last_at`,
}

// note keeps steps of tasks whose queues are locked.
func (t *tx) note(steps ...scheduler.Noted) error {
	type N = scheduler.Noted
	return t.exec(noteSteps, batch{n: len(steps), columns: []column{
		col(steps, func(n *N) int64 { return int64(n.QueueID) }),
		col(steps, func(n *N) int64 { return int64(n.TaskID) }),
		col(steps, func(n *N) int { return n.Attempt }),
		col(steps, func(n *N) string { return string(n.Step) }),
		timeCol(steps, func(n *N) time.Time { return n.LastAt }),
	}})
}

// noteTransitions keeps what no attempt tells of transitions that were taken.
func (t *tx) noteTransitions(written []scheduler.Transition) error {
	var steps []scheduler.Noted
	for _, tr := range written {
		if n, ok := tr.Note(); ok {
			steps = append(steps, n)
		}
	}
	return t.note(steps...)
}

// Of a timeline at most: the holds of a queue that changes its mind, and tries
// of deliveries.
const (
	traceHolds = 1000
	traceTries = 5000
)

const readTries = `SELECT d.kind, d.attempt, d.origin, y.number, y.at, y.took_us AS micros, y.status, y.error
	FROM delivery_tries y JOIN deliveries d ON d.id = y.delivery_id
	WHERE d.client_id = ? AND d.task_id = ? ORDER BY y.at LIMIT ?`

// Trace returns everything that is stored of a task of a client's queue.
func (s *Store) Trace(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, id scheduler.TaskID) (scheduler.Trace, error) {
	task, err := s.Task(ctx, client, queue, id)
	if err != nil {
		return scheduler.Trace{}, err
	}
	trace, db := scheduler.Trace{Task: task}, s.reads.WithContext(ctx)
	if err := db.Table(allCalls).Where("client_id = ? AND task_id = ?", client, id).Order("number").Find(&trace.Attempts).Error; err != nil {
		return trace, err
	}
	if err := db.Where("queue_id = ? AND task_id = ?", queue, id).Find(&trace.Steps).Error; err != nil {
		return trace, err
	}
	if err := db.Where("client_id = ? AND task_id = ?", client, id).Order("sequence").Omit("Body").Find(&trace.Events).Error; err != nil {
		return trace, err
	}
	if trace.Sent, err = s.sent(ctx, client, id); err != nil {
		return trace, err
	}
	until := s.now()
	if task.Status == scheduler.Finished {
		until = task.UpdatedAt
	}
	trace.Holds, err = s.holdsBetween(ctx, queue, task.CreatedAt, until)
	return trace, err
}

func (s *Store) sent(ctx context.Context, client scheduler.ClientID, task scheduler.TaskID) ([]scheduler.Sent, error) {
	var rows []struct {
		scheduler.Sent
		At     time.Time `gorm:"serializer:instant"`
		Micros int64
	}
	err := s.reads.WithContext(ctx).Raw(readTries, client, task, traceTries).Scan(&rows).Error
	sent := make([]scheduler.Sent, len(rows))
	for i, r := range rows {
		sent[i] = r.Sent
		sent[i].At, sent[i].Took = r.At, time.Duration(r.Micros)*time.Microsecond
	}
	return sent, err
}

// holdsBetween returns the changes of what holds a queue between two moments,
// the latest of them.
func (s *Store) holdsBetween(ctx context.Context, queue scheduler.QueueID, from, to time.Time) ([]scheduler.Change, error) {
	var rows []struct {
		Seq        int64
		At         time.Time `gorm:"serializer:instant"`
		HoldGate   scheduler.Gate
		HoldUntil  time.Time `gorm:"serializer:instant"`
		HoldDetail string
	}
	err := s.reads.WithContext(ctx).Table("queue_changes").
		Where("queue_id = ? AND hold_gate IS NOT NULL AND at BETWEEN ? AND ?", queue, from.UTC(), to.UTC()).
		Order("at DESC").Limit(traceHolds).Find(&rows).Error
	changes := make([]scheduler.Change, len(rows))
	for i, r := range rows {
		changes[i] = scheduler.Change{
			Seq: r.Seq, At: r.At, Hold: &scheduler.Hold{Gate: r.HoldGate, Until: r.HoldUntil, Detail: r.HoldDetail},
		}
	}
	return changes, err
}
