package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"ringback/scheduler"
)

// What waits in a queue, counted by the second in which it is due, all that is
// due already in the first; what its deadline has passed for never starts.
const (
	readBacklog = `SELECT greatest(floor(extract(epoch FROM ready_at)), $2)::bigint, count(*) FROM tasks
	WHERE queue_id = $1 AND ready_at IS NOT NULL AND (deadline IS NULL OR deadline > $3) GROUP BY 1 ORDER BY 1`

	readBacklogSQLite = `SELECT max(ready_at / 1000000, $2), count(*) FROM tasks
	WHERE queue_id = $1 AND ready_at IS NOT NULL AND (deadline IS NULL OR deadline > $3) GROUP BY 1 ORDER BY 1`
)

// Of how long ago the calls are, the first that has any, that say how long an
// attempt lasts.
var lastingOf = []time.Duration{time.Hour, 24 * time.Hour}

var errRehearsed = errors.New("rehearsed")

// Outlook returns how a client's queue stands, for a forecast of tasks that are
// not stored. Their external ids are checked as if they were to be.
func (s *Store) Outlook(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, tasks []scheduler.Task) (scheduler.Outlook, error) {
	var o scheduler.Outlook
	if err := s.rehearseExternalIDs(ctx, client, id, tasks); err != nil {
		return o, err
	}
	var err error
	if o.Queue, o.Runtime, err = s.QueueNow(ctx, client, id); err != nil {
		return o, err
	}
	windows, err := s.windows(s.reads.WithContext(ctx), client, []scheduler.QueueID{id})
	if err != nil {
		return o, err
	}
	o.Window = windows[id]
	now := s.now().UTC()
	query := readBacklog
	if s.postgres == nil {
		query = readBacklogSQLite
	}
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	o.Waiting, err = collect(t, query, []any{int64(id), now.Unix(), now}, func(r *sql.Rows, b *scheduler.Backlog) error {
		var second int64
		err := r.Scan(&second, &b.N)
		b.Due = time.Unix(second, 0).UTC()
		return err
	})
	if err != nil {
		return o, err
	}
	for _, ago := range lastingOf {
		f, err := s.Stats(ctx, client, id, scheduler.MinuteOf(now.Add(-ago)), scheduler.MinuteOf(now)+1)
		if err != nil {
			return o, err
		}
		if f.Attempts > 0 {
			o.Lasts = f.Busy / time.Duration(f.Attempts)
			break
		}
	}
	return o, nil
}

// rehearseExternalIDs takes the external ids of tasks and gives them up again.
func (s *Store) rehearseExternalIDs(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, tasks []scheduler.Task) error {
	if !slices.ContainsFunc(tasks, func(t scheduler.Task) bool { return t.ExternalID != "" }) {
		return nil
	}
	named := slices.Clone(tasks)
	for i := range named {
		named[i].ID, named[i].ClientID, named[i].QueueID = scheduler.TaskID(i+1), client, id
	}
	err := s.write(ctx, func(t *tx) error {
		if _, err := t.lockQueue(client, id); err != nil {
			return err
		}
		if err := t.claimExternalIDs(named, true); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}
