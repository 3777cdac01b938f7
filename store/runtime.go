package store

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"ringback/scheduler"
)

// lockedQueue is a queue whose runtime row this transaction holds, with
// everything read after the lock, so that it is what the last holder committed.
type lockedQueue struct {
	queue    scheduler.Queue
	runtime  scheduler.Runtime
	window   scheduler.Window
	limited  bool           // its client, or an extension of it, has a limit of calls
	first    time.Time      // when its first waiting task is due; zero: none
	held     scheduler.Hold // what held it when it was locked
	followed time.Time      // until when its changes are kept for those who listen
	kept     []byte         // the tally as it was read
	tally    scheduler.Tally
	counted  bool // tally is what is to be kept, and not kept
}

// Locking is a statement of its own: settings joined into it would be as old
// as its snapshot, not as the lock.
var lockRuntimes = statement{
	postgres: `SELECT queue_id FROM queue_runtime WHERE queue_id = ANY($1::bigint[]) ORDER BY queue_id FOR NO KEY UPDATE`,
	sqlite:   `SELECT $1`, // the one writer holds every row
}

const queueState = `q.id, q.client_id, q.is_on, q.concurrent_limit, q.start_rate, q.priority, q.before_wait, q.deleted_at,
	q.asr_min_percent, q.asr_basis, q.asr_window, q.asr_min_attempts, q.asr_pause, r.brake, r.tally,
	r.running, r.next_start, r.hold_gate, r.hold_until, r.hold_detail, r.wake_at, r.changes, r.followed_until,
	q.interval_id, coalesce(i.name, ''), coalesce(i.time_zone, ''), i.conditions,
	EXISTS (SELECT 1 FROM call_limits WHERE client_id = q.client_id)
	FROM queues q JOIN queue_runtime r ON r.queue_id = q.id LEFT JOIN intervals i ON i.id = q.interval_id`

var readQueues = statement{
	postgres: `SELECT ` + queueState + ` WHERE q.id = ANY($1::bigint[]) ORDER BY q.id`,
	sqlite:   `SELECT ` + queueState + ` WHERE q.id = $1`,
}

var firstReady = statement{
	postgres: `SELECT u.id, f.ready_at FROM unnest($1::bigint[]) AS u(id) CROSS JOIN LATERAL
		(SELECT ready_at FROM tasks WHERE queue_id = u.id AND ready_at IS NOT NULL ORDER BY ready_at LIMIT 1) f`,
	sqlite: `SELECT queue_id, ready_at FROM tasks WHERE queue_id = $1 AND ready_at IS NOT NULL ORDER BY ready_at LIMIT 1`,
}

var updateRuntimes = statement{
	postgres: `UPDATE queue_runtime r SET running = v.running, hold_gate = v.gate, hold_until = v.until,
		hold_detail = v.detail, wake_at = v.wake, next_start = v.next_start, brake = v.brake, changes = v.changes,
		tally = v.tally
	FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::timestamptz[], $5::text[], $6::timestamptz[],
		$7::timestamptz[], $8::text[], $9::bigint[], $10::bytea[])
		AS v(id, running, gate, until, detail, wake, next_start, brake, changes, tally)
	WHERE r.queue_id = v.id`,
	sqlite: `UPDATE queue_runtime SET running = $2, hold_gate = $3, hold_until = $4, hold_detail = $5, wake_at = $6,
		next_start = $7, brake = $8, changes = $9, tally = $10 WHERE queue_id = $1`,
}

func queueIDs(ids []scheduler.QueueID) batch {
	return batch{n: len(ids), columns: []column{col(ids, func(id *scheduler.QueueID) int64 { return int64(*id) })}}
}

// lockQueues locks the runtime rows of the queues, in the order of their ids,
// and reads them. A queue that is not there is left out.
func (t *tx) lockQueues(ids []scheduler.QueueID) ([]lockedQueue, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if t.postgres != nil {
		if err := t.exec(lockRuntimes, queueIDs(ids)); err != nil {
			return nil, err
		}
	}
	return t.readQueues(ids)
}

func (t *tx) readQueues(ids []scheduler.QueueID) ([]lockedQueue, error) {
	return gather(t, readQueues, queueIDs(ids), t.scanQueue)
}

func (t *tx) scanQueue(r row, l *lockedQueue) error {
	q, rt, i := &l.queue, &l.runtime, &l.window.Interval
	var conditions, brake, tally sql.RawBytes
	err := r.Scan(&q.ID, &q.ClientID, &q.On, &q.Limit, &q.StartRate, &q.Priority, &q.BeforeWait, nullTime{&q.DeletedAt},
		&q.Brake.MinPercent, &q.Brake.Basis, &q.Brake.Window, &q.Brake.MinAttempts, &q.Brake.Pause, &brake, &tally,
		&rt.Running, nullTime{&rt.NextStart}, &rt.Hold.Gate, nullTime{&rt.Hold.Until}, &rt.Hold.Detail, nullTime{&rt.WakeAt}, &rt.Changes, nullTime{&l.followed},
		&q.IntervalID, &i.Name, &i.TimeZone, &conditions, &l.limited)
	rt.QueueID, l.kept = q.ID, bytes.Clone(tally)
	if err == nil && len(brake) > len("{}") {
		err = json.Unmarshal(brake, &rt.Brake)
	}
	l.held = l.holds(t.now().UTC())
	if err != nil || q.IntervalID == nil {
		return err
	}
	if err := json.Unmarshal(conditions, &i.Conditions); err != nil {
		return err
	}
	l.window.Zone, err = t.zone(i.TimeZone)
	return err
}

// saveRuntimes writes the runtime rows back, with when each queue is to be
// looked at next, and what changed of it.
func (t *tx) saveRuntimes(locked []lockedQueue) error {
	ids := make([]scheduler.QueueID, len(locked))
	at := make(map[scheduler.QueueID]*lockedQueue, len(locked))
	for i := range locked {
		ids[i], at[locked[i].queue.ID] = locked[i].queue.ID, &locked[i]
		locked[i].first = time.Time{}
	}
	type first struct {
		queue scheduler.QueueID
		at    time.Time
	}
	firsts, err := gather(t, firstReady, queueIDs(ids), func(r row, f *first) error {
		return r.Scan(&f.queue, nullTime{&f.at})
	})
	if err != nil {
		return err
	}
	for _, f := range firsts {
		at[f.queue].first = f.at
	}
	for i := range locked {
		l := &locked[i]
		before := l.runtime.WakeAt
		if l.first.IsZero() && l.runtime.Hold != l.runtime.Hold.Lasting() {
			l.runtime.Hold = scheduler.Hold{} // nobody looks again
		}
		l.runtime.WakeAt = l.runtime.WakeIn(l.window, l.queue, l.first, t.now())
		if w := l.runtime.WakeAt; !w.IsZero() && (before.IsZero() || w.Before(before)) {
			t.lowered = true
		}
	}
	if err := t.saveChanges(locked); err != nil {
		return err
	}
	type L = lockedQueue
	brakes, err := jsonCol(locked, "{}", func(l *L) any { return l.runtime.Brake.Kept() })
	if err != nil {
		return err
	}
	return t.exec(updateRuntimes, batch{n: len(locked), columns: []column{
		col(locked, func(l *L) int64 { return int64(l.queue.ID) }),
		col(locked, func(l *L) int { return l.runtime.Running }),
		col(locked, func(l *L) string { return string(l.runtime.Hold.Gate) }),
		timeCol(locked, func(l *L) time.Time { return l.runtime.Hold.Until }),
		col(locked, func(l *L) string { return l.runtime.Hold.Detail }),
		timeCol(locked, func(l *L) time.Time { return l.runtime.WakeAt }),
		timeCol(locked, func(l *L) time.Time { return l.runtime.NextStart }),
		brakes,
		col(locked, func(l *L) int64 { return l.runtime.Changes }),
		col(locked, func(l *L) []byte { return l.tallied() }),
	}})
}

// count adds what a transition tells to the queue's statistics, which are read
// only for that.
func (t *tx) count(l *lockedQueue, tr scheduler.Transition) {
	if tr.Counts() {
		t.readTally(l)
		l.tally = l.tally.Count(tr)
	}
}

// readTally reads the statistics that the row keeps. Calls must not suffer from
// one that cannot be read: it begins anew.
func (t *tx) readTally(l *lockedQueue) {
	if l.counted {
		return
	}
	var err error
	if l.tally, err = scheduler.ParseTally(l.kept); err != nil {
		t.log.Error("the latest statistics of a queue are lost", "queue", l.queue.ID, "err", err)
	}
	l.counted = true
}

// tallied is the tally as it is to be kept.
func (l *lockedQueue) tallied() []byte {
	switch {
	case l.counted:
		return l.tally.Bytes()
	case l.kept == nil:
		return []byte{}
	}
	return l.kept
}

// zone returns a time zone by its IANA name; reading it from its file takes
// longer than all else of a look at a queue.
func (s *Store) zone(name string) (*time.Location, error) {
	if zone, ok := s.zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil {
		s.zones.Store(name, zone)
	}
	return zone, err
}
