package store

import (
	"context"
	"database/sql"
	"time"

	"ringback/scheduler"
)

const (
	// rollUpQueues is how many queues one transaction of the roll-up moves.
	rollUpQueues = 200

	// freshMinutes is how many whole minutes stay with the queue's own row, for
	// what is written late.
	freshMinutes = 2

	tallied = `SELECT queue_id FROM queue_runtime WHERE queue_id > $1 AND length(tally) > 0 ORDER BY queue_id LIMIT $2`

	// One statement, and so one snapshot: a minute that is being moved is in one
	// of the two places.
	readStats = `SELECT figures FROM queue_minutes WHERE queue_id = $1 AND minute >= $2 AND minute < $3
	UNION ALL SELECT tally FROM queue_runtime WHERE queue_id = $1`

	forgetMinutes = `DELETE FROM queue_minutes WHERE minute < $1`
)

// Under the lock of its queue nobody else writes a minute, so that one that is
// there already can be read, added to and written again.
var (
	readMinutes = statement{
		postgres: `SELECT m.queue_id, m.figures FROM unnest($1::bigint[], $2::bigint[]) AS v(queue_id, minute)
			JOIN queue_minutes m ON m.queue_id = v.queue_id AND m.minute = v.minute`,
		sqlite: `SELECT queue_id, figures FROM queue_minutes WHERE queue_id = $1 AND minute = $2`,
	}

	writeMinutes = statement{
		postgres: `INSERT INTO queue_minutes (queue_id, minute, figures)
			SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])
			ON CONFLICT (queue_id, minute) DO UPDATE SET figures = excluded.figures`,
		sqlite: `INSERT INTO queue_minutes (queue_id, minute, figures) VALUES ($1, $2, $3)
			ON CONFLICT (queue_id, minute) DO UPDATE SET figures = excluded.figures`,
	}
)

// RollUp moves the statistics of past minutes from the rows of their queues to
// the roll-up, all but the last two, and forgets those before keep. What it is
// interrupted in, it has not done; a second one at the same time finds nothing.
func (s *Store) RollUp(ctx context.Context, now, keep time.Time) error {
	before := scheduler.MinuteOf(now) - freshMinutes
	for last := scheduler.QueueID(0); ; {
		ids, err := s.rollUp(ctx, last, before)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		last = ids[len(ids)-1]
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.pool.ExecContext(ctx, forgetMinutes, int64(scheduler.MinuteOf(keep)))
		return err
	})
}

// minuteRow is a minute of a queue on its way to the roll-up.
type minuteRow struct {
	queue   scheduler.QueueID
	figures scheduler.MinuteFigures
}

// rollUp moves the minutes before a time of the next queues after one, and
// returns which it looked at.
func (s *Store) rollUp(ctx context.Context, after scheduler.QueueID, before scheduler.Minute) (ids []scheduler.QueueID, err error) {
	err = s.write(ctx, func(t *tx) error {
		var err error
		if ids, err = collect(t, tallied, []any{int64(after), rollUpQueues}, scanID); err != nil || len(ids) == 0 {
			return err
		}
		locked, err := t.lockQueues(ids)
		if err != nil {
			return err
		}
		var moved []minuteRow
		var changed []lockedQueue
		for i := range locked {
			l := &locked[i]
			t.readTally(l)
			n := len(moved)
			var left scheduler.Tally
			for _, m := range l.tally {
				if m.Minute < before {
					moved = append(moved, minuteRow{l.queue.ID, m})
				} else {
					left = append(left, m)
				}
			}
			if l.tally = left; len(moved) > n {
				changed = append(changed, *l)
			}
		}
		if err := t.addMinutes(moved); err != nil || len(moved) == 0 {
			return err
		}
		return t.saveRuntimes(changed)
	})
	return ids, err
}

// addMinutes adds minutes of locked queues to the roll-up.
func (t *tx) addMinutes(rows []minuteRow) error {
	type M = minuteRow
	keys := []column{
		col(rows, func(m *M) int64 { return int64(m.queue) }),
		col(rows, func(m *M) int64 { return int64(m.figures.Minute) }),
	}
	if len(rows) == 0 {
		return nil
	}
	type key struct {
		queue  scheduler.QueueID
		minute scheduler.Minute
	}
	there := map[key]scheduler.Figures{}
	_, err := gather(t, readMinutes, batch{n: len(rows), columns: keys}, func(r row, id *scheduler.QueueID) error {
		var figures sql.RawBytes
		if err := r.Scan(id, &figures); err != nil {
			return err
		}
		kept, err := scheduler.ParseTally(figures)
		for _, m := range kept {
			there[key{*id, m.Minute}] = m.Figures
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, m := range rows {
		rows[i].figures.Add(there[key{m.queue, m.figures.Minute}])
	}
	return t.exec(writeMinutes, batch{n: len(rows), columns: append(keys,
		col(rows, func(m *M) []byte { return scheduler.Tally{m.figures}.Bytes() }))})
}

// Stats returns what the calls of a client's queue came to in the minutes from
// one up to another, which is left out.
func (s *Store) Stats(ctx context.Context, client scheduler.ClientID, id scheduler.QueueID, from, to scheduler.Minute) (scheduler.Figures, error) {
	var sum scheduler.Figures
	if _, err := readQueue(s.reads.WithContext(ctx), client, id); err != nil {
		return sum, err
	}
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	_, err := collect(t, readStats, []any{int64(id), int64(from), int64(to)}, func(r *sql.Rows, _ *struct{}) error {
		var figures sql.RawBytes
		if err := r.Scan(&figures); err != nil {
			return err
		}
		minutes, err := scheduler.ParseTally(figures)
		for _, m := range minutes {
			if from <= m.Minute && m.Minute < to {
				sum.Add(m.Figures)
			}
		}
		return err
	})
	return sum, err
}
