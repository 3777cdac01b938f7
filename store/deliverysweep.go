package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"ringback/scheduler"
)

// sweepBatch is how many held deliveries one transaction of a sweep looks at.
const sweepBatch = 1000

// holdOn is how long a held delivery keeps its place while its destination takes
// nothing, before it is looked at again.
const holdOn = 2 * time.Minute

// sweepAges are the ages at which a held delivery is looked at for a
// predecessor that ended while it was being inserted: once most transactions
// are over, and once all are. A tick comes at least once in each.
var sweepAges = []struct{ from, to time.Duration }{
	{time.Second, 3 * time.Second}, {10 * time.Second, 12 * time.Second},
}

// What a sweep has to do: a mark for each kind of work that there is, and the
// tasks with held deliveries of sweepAges.
const (
	staleMark, buriedMark, lateMark = -1, -2, -3

	// Sub-selects in the order of their indexes, not EXISTS: where a million rows are ready a planner would hope to meet one soon, and
	// read them all.
	lookOwing = `SELECT -1 AS task_id WHERE (SELECT true FROM deliveries WHERE state IN ('ready', 'held') AND expires_at <= $1
			AND (lease_until IS NULL OR lease_until <= $1) ORDER BY expires_at LIMIT 1) IS NOT NULL
		UNION ALL SELECT -2 WHERE (SELECT true FROM destinations t WHERE disabled_at IS NOT NULL AND (SELECT true FROM deliveries
			WHERE state = 'ready' AND client_id = t.client_id AND origin = t.origin ORDER BY next_at, id LIMIT 1) IS NOT NULL
			ORDER BY id LIMIT 1) IS NOT NULL
		UNION ALL SELECT -3 WHERE (SELECT true FROM deliveries WHERE state = 'held' AND next_at <= $1 ORDER BY next_at, id LIMIT 1) IS NOT NULL
		UNION ALL SELECT task_id FROM deliveries WHERE state = 'held' AND next_at > $2 AND next_at <= $3
		UNION ALL SELECT task_id FROM deliveries WHERE state = 'held' AND next_at > $4 AND next_at <= $5`
)

const (
	// While a destination takes nothing, or a probe at a time, an event waits for it and not for the
	// one before: it keeps its place for another while ($3).
	letLateGo = `UPDATE deliveries d SET state = CASE WHEN ` + shut + ` THEN 'held' ELSE 'ready' END,
		next_at = CASE WHEN ` + shut + ` THEN $3::timestamptz ELSE $1 END
	WHERE id = ANY(ARRAY(SELECT id FROM deliveries WHERE state = 'held' AND next_at <= $1 ORDER BY next_at, id LIMIT $2
		FOR NO KEY UPDATE SKIP LOCKED)) RETURNING state`

	letLateGoSQLite = `UPDATE deliveries AS d SET state = CASE WHEN ` + shut + ` THEN 'held' ELSE 'ready' END,
		next_at = CASE WHEN ` + shut + ` THEN $3 ELSE $1 END
	WHERE id IN (SELECT id FROM deliveries WHERE state = 'held' AND next_at <= $1 ORDER BY next_at, id LIMIT $2) RETURNING state`

	// Half open, it takes what is due already as its probes; if nothing is, an
	// event that has waited may be the probe.
	shut = `EXISTS (SELECT 1 FROM destinations t WHERE t.client_id = d.client_id AND t.origin = d.origin
		AND (t.paused_at IS NOT NULL OR t.open_until > $1 OR t.ramp_from IS NOT NULL
			OR t.open_until IS NOT NULL AND EXISTS (SELECT 1 FROM deliveries p
				WHERE p.state = 'ready' AND p.client_id = t.client_id AND p.origin = t.origin AND p.next_at <= $1)))`
)

// What went stale, but for what is being sent right now.
const (
	expireStale = `UPDATE deliveries SET state = 'expired', ended_at = $1 WHERE id = ANY(ARRAY(
		SELECT id FROM deliveries WHERE state IN ('ready', 'held') AND expires_at <= $1
			AND (lease_until IS NULL OR lease_until <= $1)
		ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)) RETURNING task_id`

	expireStaleSQLite = `UPDATE deliveries SET state = 'expired', ended_at = $1 WHERE id IN (
		SELECT id FROM deliveries WHERE state IN ('ready', 'held') AND expires_at <= $1
			AND (lease_until IS NULL OR lease_until <= $1)
		ORDER BY expires_at LIMIT $2) RETURNING task_id`
)

// What is owed to a disabled destination is dead at once, but for what is being
// sent right now. Disabled ones are few: they come first, on PostgreSQL by
// sub-selects with limits, on SQLite by CROSS JOIN, which it never turns round. A
// plain join began with all that is ready, whoever it is for.
const (
	buryDisabled = `UPDATE deliveries SET state = 'dead', ended_at = $1, last_error = 'disabled' WHERE id = ANY(ARRAY(
		SELECT d.id FROM destinations t
		CROSS JOIN LATERAL (SELECT id FROM deliveries
			WHERE state = 'ready' AND client_id = t.client_id AND origin = t.origin ORDER BY next_at, id LIMIT $2) w
		CROSS JOIN LATERAL (SELECT id FROM deliveries
			WHERE id = w.id AND state = 'ready' AND (lease_until IS NULL OR lease_until <= $1) LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) d
		WHERE t.disabled_at IS NOT NULL LIMIT $2)) RETURNING task_id`

	buryDisabledSQLite = `UPDATE deliveries SET state = 'dead', ended_at = $1, last_error = 'disabled' WHERE id IN (
		SELECT d.id FROM destinations t CROSS JOIN deliveries d ON d.state = 'ready' AND d.client_id = t.client_id AND d.origin = t.origin
		WHERE t.disabled_at IS NOT NULL AND (d.lease_until IS NULL OR d.lease_until <= $1) LIMIT $2) RETURNING task_id`
)

// owing is what a sweep has to do.
type owing struct {
	stale, buried, late bool
	waiting             []scheduler.TaskID // whose held deliveries are to be looked at
}

// look finds out, by one statement that locks nothing: most sweeps of most
// nodes have nothing to do.
func (s *Store) look(ctx context.Context, now time.Time) (o owing, err error) {
	args := []any{now.UTC()}
	for _, age := range sweepAges {
		// What has waited for an age has the rest of HoldMost before it.
		args = append(args, now.Add(scheduler.HoldMost-age.to).UTC(), now.Add(scheduler.HoldMost-age.from).UTC())
	}
	rows, err := s.reads.WithContext(ctx).Raw(lookOwing, args...).Rows()
	if err != nil {
		return o, err
	}
	defer rows.Close()
	for rows.Next() {
		var task scheduler.TaskID
		if err := rows.Scan(&task); err != nil {
			return o, err
		}
		switch task {
		case staleMark:
			o.stale = true
		case buriedMark:
			o.buried = true
		case lateMark:
			o.late = true
		default:
			o.waiting = append(o.waiting, task)
		}
	}
	return o, rows.Err()
}

// SweepDeliveries expires what went stale, ends what is owed to a destination
// that is disabled, lets go the held deliveries that wait for nothing any more,
// and those that have waited for scheduler.HoldMost; it returns how many of the
// latter there were.
func (s *Store) SweepDeliveries(ctx context.Context, now time.Time) (overtook int, err error) {
	found, err := s.look(ctx, now)
	if err != nil {
		return 0, err
	}
	for found.stale {
		n, err := s.expireStale(ctx, now)
		if err != nil {
			return 0, err
		}
		if n < sweepBatch {
			break
		}
	}
	for found.buried {
		n, err := s.buryDisabled(ctx, now)
		if err != nil {
			return 0, err
		}
		if n == 0 { // and what waited for those
			break
		}
	}
	for found.late {
		seen, gone, err := s.letLateGo(ctx, now)
		overtook += gone
		if err != nil {
			return overtook, err
		}
		if seen < sweepBatch {
			break
		}
	}
	for tasks := range slices.Chunk(found.waiting, sweepBatch) {
		if err := s.write(ctx, func(t *tx) error { return t.promote(now, tasks) }); err != nil {
			return overtook, err
		}
	}
	return overtook, nil
}

// letLateGo makes a batch ready of what has waited long enough; it returns how
// many it looked at, and how many of them need not wait any longer.
func (s *Store) letLateGo(ctx context.Context, now time.Time) (seen, gone int, err error) {
	query := letLateGoSQLite
	if s.postgres != nil {
		query = letLateGo
	}
	err = s.write(ctx, func(t *tx) error {
		states, err := collect(t, query, []any{now.UTC(), sweepBatch, now.Add(holdOn).UTC()},
			func(r *sql.Rows, state *scheduler.DeliveryState) error { return r.Scan(state) })
		seen, gone = len(states), 0
		for _, state := range states {
			if state == scheduler.DeliveryReady {
				gone++
			}
		}
		return err
	})
	return seen, gone, err
}

// expireStale ends a batch of what went stale, and lets go what waited for it.
func (s *Store) expireStale(ctx context.Context, now time.Time) (int, error) {
	query := expireStaleSQLite
	if s.postgres != nil {
		query = expireStale
	}
	return s.endBatch(ctx, now, query)
}

// buryDisabled ends a batch of what is owed to disabled destinations.
func (s *Store) buryDisabled(ctx context.Context, now time.Time) (int, error) {
	query := buryDisabledSQLite
	if s.postgres != nil {
		query = buryDisabled
	}
	return s.endBatch(ctx, now, query)
}

// endBatch ends the deliveries that a statement selects, and lets go what
// waited for them.
func (s *Store) endBatch(ctx context.Context, now time.Time, query string) (int, error) {
	var tasks []scheduler.TaskID
	err := s.write(ctx, func(t *tx) (err error) {
		tasks, err = collect(t, query, []any{now.UTC(), sweepBatch},
			func(r *sql.Rows, id *scheduler.TaskID) error { return r.Scan(id) })
		if err != nil || len(tasks) == 0 {
			return err
		}
		return t.promote(now, slices.Clone(tasks))
	})
	return len(tasks), err
}
