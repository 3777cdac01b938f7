package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// undelivered is whether an earlier event of the same task and origin is still
// to be sent. A sub-select with a limit, not EXISTS: a planner without
// statistics would make a join of that and read the whole table.
const undelivered = `(SELECT true FROM deliveries p WHERE p.task_id = h.task_id AND p.origin = h.origin
	AND p.sequence < h.sequence AND p.state IN ('ready', 'held') LIMIT 1) IS NOT NULL`

// An event whose predecessor is undelivered is held. Both sides can miss each
// other: the predecessor may end, unseen, while this is not committed; the
// sweep sees to that. An event that is there already was written by a commit
// whose answer was lost.
var insertDeliveries = statement{
	postgres: `INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body,
		state, next_at, expires_at, created_at)
	SELECT h.client_id::uuid, h.task_id, h.event_id, h.kind, h.attempt, h.sequence, h.origin, h.url, h.body,
		CASE WHEN waits THEN 'held' ELSE 'ready' END, CASE WHEN waits THEN h.hold_until ELSE h.next_at END, h.expires_at, h.now
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[], $8::text[],
		$9::bytea[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::boolean[], $14::timestamptz[])
		AS h(client_id, task_id, event_id, kind, attempt, sequence, origin, url, body, now, hold_until, expires_at, behind, next_at)
	CROSS JOIN LATERAL (SELECT h.behind OR h.sequence > 1 AND ` + undelivered + ` AS waits) w
	ON CONFLICT (task_id, kind, attempt) DO NOTHING`,
	sqlite: `INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body,
		state, next_at, expires_at, created_at)
	SELECT h.client_id, h.task_id, h.event_id, h.kind, h.attempt, h.sequence, h.origin, h.url, h.body,
		CASE WHEN waits THEN 'held' ELSE 'ready' END, CASE WHEN waits THEN h.hold_until ELSE h.next_at END, h.expires_at, h.now
	FROM (SELECT h.*, h.behind OR h.sequence > 1 AND ` + undelivered + ` AS waits
		FROM (SELECT $1 AS client_id, $2 AS task_id, $3 AS event_id, $4 AS kind, $5 AS attempt, $6 AS sequence, $7 AS origin,
			$8 AS url, $9 AS body, $10 AS now, $11 AS hold_until, $12 AS expires_at, $13 AS behind,
			$14 AS next_at) h) h
	WHERE true ON CONFLICT (task_id, kind, attempt) DO NOTHING`,
}

// The lease is the fence: whoever claimed the row meanwhile has another token.
var settleDeliveries = statement{
	postgres: `UPDATE deliveries d SET state = v.state, tries = v.tries, next_at = v.next_at, ended_at = v.ended_at,
		last_error = v.error, lease_token = '', lease_until = NULL
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::text[])
		AS v(id, token, state, tries, next_at, ended_at, error)
	WHERE d.id = v.id AND d.lease_token = v.token AND d.state = 'ready'
	RETURNING d.id`,
	sqlite: `UPDATE deliveries SET state = $3, tries = $4, next_at = $5, ended_at = $6, last_error = $7,
		lease_token = '', lease_until = NULL
	WHERE id = $1 AND lease_token = $2 AND state = 'ready'`,
}

var insertTries = statement{
	postgres: `INSERT INTO delivery_tries (delivery_id, number, at, took_us, remote, status, error, response)
	SELECT * FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::text[], $6::integer[],
		$7::text[], $8::bytea[])`,
	sqlite: `INSERT INTO delivery_tries (delivery_id, number, at, took_us, remote, status, error, response)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
}

// foremost is the first undelivered event of each origin of the tasks: held, it
// waits for nothing.
const foremost = `(SELECT id FROM (SELECT id, state, row_number() OVER (PARTITION BY task_id, origin ORDER BY sequence) AS place
	FROM deliveries WHERE state IN ('ready', 'held') AND task_id = `

// What another transaction holds is being let go by that one: nobody waits for
// anybody here. The inner state is not spelled as in the predicate of
// deliveries_held: for "id = ANY" a planner without statistics would walk that
// index once for each id.
var promoteHeld = statement{
	postgres: `UPDATE deliveries SET state = 'ready', next_at = ($2::timestamptz[])[1] WHERE id = ANY(ARRAY(
		SELECT id FROM deliveries WHERE state IN ('ready', 'held') AND state <> 'ready' AND id = ANY(ARRAY` + foremost + `ANY($1::bigint[])) f
			WHERE place = 1 AND state = 'held'))
		ORDER BY id FOR NO KEY UPDATE SKIP LOCKED))`,
	sqlite: `UPDATE deliveries SET state = 'ready', next_at = $2 WHERE id IN ` + foremost + `$1)
		WHERE place = 1 AND state = 'held')`,
}

// insertDeliveries writes the events that the transaction makes true.
func (t *tx) insertDeliveries(events []scheduler.Event) error {
	now := t.now()
	bodies, ids, origins := make([][]byte, len(events)), make([]string, len(events)), make([]string, len(events))
	behind := make([]bool, len(events))
	type line struct {
		task   scheduler.TaskID
		origin string
	}
	seen := make(map[line]bool, len(events))
	forms, err := t.wantForms(events)
	if err != nil {
		return err
	}
	for i, e := range events {
		ids[i] = webhooks.NewEventID()
		if forms[e.Task.ClientID] {
			bodies[i] = webhooks.FormBody(e, ids[i])
		} else {
			bodies[i] = webhooks.Body(e, ids[i])
		}
		origins[i] = webhooks.Origin(e.URL)
		l := line{e.Task.ID, origins[i]}
		behind[i], seen[l] = seen[l], true
	}
	type E = scheduler.Event
	return t.exec(insertDeliveries, batch{n: len(events), columns: []column{
		col(events, func(e *E) string { return string(e.Task.ClientID) }),
		col(events, func(e *E) int64 { return int64(e.Task.ID) }),
		col(ids, same),
		col(events, func(e *E) string { return string(e.Kind) }),
		col(events, func(e *E) int { return e.Task.Attempts }),
		col(events, func(e *E) int { return e.Sequence }),
		col(origins, same),
		col(events, func(e *E) string { return e.URL }),
		col(bodies, func(b *[]byte) []byte { return *b }),
		timeCol(events, func(*E) time.Time { return now }),
		timeCol(events, func(e *E) time.Time { return e.At.Add(scheduler.HoldMost) }),
		timeCol(events, func(e *E) time.Time { return e.Kind.Keeps(e.At) }),
		col(behind, func(b *bool) bool { return *b }),
		timeCol(events, func(e *E) time.Time { return now.Add(e.Wait) }), // until then it is left to who asks
	}})
}

func same[T any](v *T) T { return *v }

// wantForms returns the clients among those of events that read forms.
func (t *tx) wantForms(events []scheduler.Event) (map[scheduler.ClientID]bool, error) {
	forms := map[scheduler.ClientID]bool{}
	for i := range events {
		forms[events[i].Task.ClientID] = false
	}
	var clients []scheduler.ClientID
	err := t.db.Model(&scheduler.Client{}).Where("webhook_format = ? AND id IN ?", scheduler.WebhookForm, slices.Collect(maps.Keys(forms))).
		Pluck("id", &clients).Error
	for _, id := range clients {
		forms[id] = true
	}
	return forms, err
}

// SettleDeliveries writes what became of claimed deliveries, records their
// tries, and lets go what waited for those that ended. What another has claimed
// meanwhile is left alone. It returns the destinations whose state changed.
func (s *Store) SettleDeliveries(ctx context.Context, now time.Time, done []webhooks.Settlement) ([]webhooks.Turn, error) {
	var turns []webhooks.Turn
	err := s.write(ctx, func(t *tx) error {
		var err error
		if turns, err = t.hear(now, done); err != nil {
			return err
		}
		return t.settle(now, done)
	})
	return turns, err
}

func (t *tx) settle(now time.Time, done []webhooks.Settlement) error {
	type S = webhooks.Settlement
	done = slices.Clone(done)
	slices.SortFunc(done, func(a, b S) int { return cmp.Compare(a.Delivery.ID, b.Delivery.ID) })
	taken, err := t.matched(settleDeliveries, batch{n: len(done), columns: []column{
		col(done, func(s *S) int64 { return int64(s.Delivery.ID) }),
		col(done, func(s *S) string { return s.Delivery.LeaseToken }),
		col(done, func(s *S) string { return string(s.Verdict.State) }),
		col(done, tries),
		timeCol(done, func(s *S) time.Time {
			if s.Verdict.State.Ended() {
				return s.Delivery.NextAt
			}
			return s.Verdict.NextAt
		}),
		timeCol(done, func(s *S) time.Time {
			if s.Verdict.State.Ended() {
				return now
			}
			return time.Time{}
		}),
		col(done, lastError),
	}})
	if err != nil {
		return err
	}
	var tried []S
	var ended []scheduler.TaskID
	for i, ok := range taken {
		if ok && done[i].Try != nil {
			tried = append(tried, done[i])
		}
		if ok && done[i].Verdict.State.Ended() && done[i].Delivery.Kind != scheduler.EventAfter { // nothing comes after it
			ended = append(ended, done[i].Delivery.TaskID)
		}
	}
	if err := t.recordTries(tried); err != nil {
		return err
	}
	return t.promote(now, ended)
}

// tries is how many were made with this one.
func tries(s *webhooks.Settlement) int {
	if s.Try == nil {
		return s.Delivery.Tries
	}
	return s.Delivery.Tries + 1
}

// lastError is what was wrong with the last try.
func lastError(s *webhooks.Settlement) string {
	if s.Try == nil {
		return s.Delivery.LastError
	}
	return s.Try.Error
}

func (t *tx) recordTries(tried []webhooks.Settlement) error {
	type S = webhooks.Settlement
	return t.exec(insertTries, batch{n: len(tried), columns: []column{
		col(tried, func(s *S) int64 { return int64(s.Delivery.ID) }),
		col(tried, tries),
		timeCol(tried, func(s *S) time.Time { return s.Try.At }),
		col(tried, func(s *S) int64 { return s.Try.Took.Microseconds() }),
		col(tried, func(s *S) string { return s.Try.Remote }),
		col(tried, func(s *S) int { return s.Try.Status }),
		col(tried, func(s *S) string { return s.Try.Error }),
		col(tried, func(s *S) []byte { return append([]byte{}, s.Try.Response...) }), // never NULL
	}})
}

// promote lets go what waited for deliveries of these tasks.
func (t *tx) promote(now time.Time, tasks []scheduler.TaskID) error {
	slices.Sort(tasks)
	tasks = slices.Compact(tasks)
	return t.exec(promoteHeld, batch{n: len(tasks), columns: []column{
		col(tasks, func(id *scheduler.TaskID) int64 { return int64(*id) }),
		timeCol(tasks, func(*scheduler.TaskID) time.Time { return now }),
	}})
}
