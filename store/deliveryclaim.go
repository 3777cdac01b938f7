package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"slices"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

const deliveryColumns = `d.id, d.client_id, d.task_id, d.event_id, d.kind, d.attempt, d.sequence, d.origin, d.url, d.body,
	d.state, d.tries, d.tries_before, d.last_error, d.next_at, d.expires_at, d.lease_token, d.lease_until, d.created_at`

// Receiver by receiver, from $4 (exclusive) to $6 (inclusive), by skipping from
// one to the next in deliveries_ready; of each the first due rows, as many as it
// has slots ($3 without a limit of its own, never more than $8). Those among them
// that are leased are left out, and that is what limits the requests to a
// receiver over all nodes. A destination that needs care is left to
// carefulDestinations, by a limit of none: as a condition it would be looked at
// for each of its rows, a million of them if need be. Each step is a sub-select with a limit, so that a planner
// without statistics goes them one by one: the order is that of the receivers.
// It ends when it has found $2 rows, however many there are behind. The lock
// looks at the lease again, so two nodes never take the same row; what one of
// them holds the other skips.
const dueDeliveries = `WITH RECURSIVE receivers AS (
		(SELECT client_id, origin FROM deliveries WHERE state = 'ready'
			AND (client_id, origin) > ($4::uuid, $5) AND (client_id, origin) <= ($6::uuid, $7)
			ORDER BY client_id, origin LIMIT 1)
		UNION ALL
		SELECT n.client_id, n.origin FROM receivers r CROSS JOIN LATERAL (SELECT client_id, origin FROM deliveries
			WHERE state = 'ready' AND (client_id, origin) > (r.client_id, r.origin) AND (client_id, origin) <= ($6::uuid, $7)
			ORDER BY client_id, origin LIMIT 1) n)
	SELECT d.* FROM receivers r
	LEFT JOIN LATERAL (SELECT slots, careful FROM destinations
		WHERE client_id = r.client_id AND origin = r.origin LIMIT 1) t ON true
	CROSS JOIN LATERAL (SELECT id FROM deliveries
		WHERE state = 'ready' AND client_id = r.client_id AND origin = r.origin AND next_at <= $1
		ORDER BY next_at, id LIMIT CASE WHEN t.careful THEN 0 ELSE least(coalesce(nullif(t.slots, 0), $3), $8) END) w
	CROSS JOIN LATERAL (SELECT ` + deliveryColumns + ` FROM deliveries d
		WHERE d.id = w.id AND d.state = 'ready' AND (d.lease_until IS NULL OR d.lease_until <= $1)
		LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) d
	LIMIT $2`

// The same on SQLite, which has no LATERAL: a receiver is one text, the
// client's id (36 characters) and the origin. Nor does its LIMIT read a row: it
// takes $9, the most slots that any has. A step names the end of all times, too:
// SQLite looks for what is not less than a row, and would walk through all that
// is owed to the receiver that it leaves.
const dueDeliveriesSQLite = `WITH RECURSIVE receivers(k) AS (
		SELECT (SELECT client_id || origin FROM deliveries WHERE state = 'ready'
			AND (client_id, origin, next_at) > ($4, $5, 9223372036854775807) AND (client_id, origin) <= ($6, $7)
			ORDER BY client_id, origin LIMIT 1)
		UNION ALL
		SELECT (SELECT client_id || origin FROM deliveries WHERE state = 'ready'
			AND (client_id, origin, next_at) > (substr(k, 1, 36), substr(k, 37), 9223372036854775807) AND (client_id, origin) <= ($6, $7)
			ORDER BY client_id, origin LIMIT 1)
		FROM receivers WHERE k IS NOT NULL)
	SELECT ` + deliveryColumns + ` FROM receivers r
	LEFT JOIN destinations t ON t.client_id = substr(r.k, 1, 36) AND t.origin = substr(r.k, 37)
	JOIN deliveries d ON d.id IN (SELECT id FROM (
			SELECT id, row_number() OVER (ORDER BY next_at, id) AS place FROM (SELECT id, next_at FROM deliveries w
				WHERE w.state = 'ready' AND w.client_id = substr(r.k, 1, 36) AND w.origin = substr(r.k, 37) AND w.next_at <= $1
				ORDER BY w.next_at, w.id LIMIT min($8, $9)))
		WHERE place <= coalesce(nullif(t.slots, 0), $3))
	WHERE NOT coalesce(t.careful, false) AND (d.lease_until IS NULL OR d.lease_until <= $1)
	LIMIT $2`

// The ends of the round of receivers.
var (
	firstReceiver = webhooks.Receiver{Client: "00000000-0000-0000-0000-000000000000"}
	lastReceiver  = webhooks.Receiver{Client: "ffffffff-ffff-ffff-ffff-ffffffffffff", Origin: "~"}
)

var leaseDeliveries = statement{
	postgres: `UPDATE deliveries SET lease_token = ($2::text[])[1], lease_until = ($3::timestamptz[])[1]
	WHERE id = ANY($1::bigint[])`,
	sqlite: `UPDATE deliveries SET lease_token = $2, lease_until = $3 WHERE id = $1`,
}

// ClaimDeliveries leases deliveries that are due, and expires what went stale;
// more says that there may be others.
func (s *Store) ClaimDeliveries(ctx context.Context, c webhooks.Claim) (work []webhooks.Work, more bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		work = nil
		var due []scheduler.Delivery
		var err error
		if due, more, err = t.due(c); err != nil || len(due) == 0 {
			return err
		}
		var stale []webhooks.Settlement
		var fresh []scheduler.Delivery
		for _, d := range due {
			if !d.ExpiresAt.IsZero() && !c.Now.Before(d.ExpiresAt) {
				stale = append(stale, webhooks.Settlement{
					Delivery: d, Verdict: webhooks.Verdict{State: scheduler.DeliveryExpired},
				})
			} else {
				fresh = append(fresh, d)
			}
		}
		more = more || len(stale) > 0
		if err := t.settle(c.Now, stale); err != nil {
			return err
		}
		if err := t.lease(c, fresh); err != nil {
			return err
		}
		work, err = t.signed(c.Now, fresh)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return work, more, nil
}

// due locks and reads what a claim may have: of the destinations that need care
// half of the room at most, of the receivers behind the one where the last claim
// ended, and then of the others. more says that the room was too small.
func (t *tx) due(c webhooks.Claim) (due []scheduler.Delivery, more bool, err error) {
	if c.After == (webhooks.Receiver{}) {
		c.After = firstReceiver
	}
	if c.Share == 0 {
		c.Share = c.Room
	}
	query := dueDeliveriesSQLite
	if t.postgres != nil {
		query = dueDeliveries
	}
	between := func(after, upTo webhooks.Receiver, n int) ([]scheduler.Delivery, error) {
		args := []any{c.Now.UTC(), n, c.PerOrigin, string(after.Client), after.Origin, string(upTo.Client), upTo.Origin, c.Share}
		if t.postgres == nil {
			args = append(args, max(webhooks.MaxInFlight, c.PerOrigin))
		}
		return collect(t, query, args, scanDelivery)
	}
	careful, more, err := t.careful(c)
	if err != nil {
		return nil, false, err
	}
	due, err = between(c.After, lastReceiver, c.Room-len(careful))
	due = append(careful, due...)
	if err == nil && len(due) < c.Room && c.After != firstReceiver {
		var rest []scheduler.Delivery
		rest, err = between(firstReceiver, c.After, c.Room-len(due))
		due = append(due, rest...)
	}
	more = more || len(due) >= c.Room
	return onceEach(due), more, err
}

// onceEach drops what stands twice in a list: a destination whose ramp is over
// needs no more care once it was looked at, so the same claim meets it again.
func onceEach(due []scheduler.Delivery) []scheduler.Delivery {
	seen := make(map[scheduler.DeliveryID]bool, len(due))
	return slices.DeleteFunc(due, func(d scheduler.Delivery) bool {
		twice := seen[d.ID]
		seen[d.ID] = true
		return twice
	})
}

func scanDelivery(r *sql.Rows, d *scheduler.Delivery) error {
	return r.Scan(&d.ID, &d.ClientID, &d.TaskID, &d.EventID, &d.Kind, &d.Attempt, &d.Sequence, &d.Origin, &d.URL, &d.Body,
		&d.State, &d.Tries, &d.TriesBefore, &d.LastError, nullTime{&d.NextAt}, nullTime{&d.ExpiresAt}, &d.LeaseToken, nullTime{&d.LeaseUntil},
		nullTime{&d.CreatedAt})
}

// lease makes the deliveries this claim's until its lease ends.
func (t *tx) lease(c webhooks.Claim, claimed []scheduler.Delivery) error {
	token, until := leaseOf(c.Owner)+rand.Text(), c.Now.Add(webhooks.Lease)
	for i := range claimed {
		claimed[i].LeaseToken, claimed[i].LeaseUntil = token, until
	}
	type D = scheduler.Delivery
	return t.exec(leaseDeliveries, batch{n: len(claimed), columns: []column{
		col(claimed, func(d *D) int64 { return int64(d.ID) }),
		col(claimed, func(d *D) string { return d.LeaseToken }),
		timeCol(claimed, func(d *D) time.Time { return d.LeaseUntil }),
	}})
}

// signed adds the live secrets of their clients to the deliveries. A secret
// that cannot be read is left out: an event is never sent unsigned.
func (t *tx) signed(now time.Time, claimed []scheduler.Delivery) ([]webhooks.Work, error) {
	secrets := map[scheduler.ClientID][]webhooks.Secret{}
	var clients []scheduler.ClientID
	for _, d := range claimed {
		if _, ok := secrets[d.ClientID]; !ok {
			secrets[d.ClientID] = nil
			clients = append(clients, d.ClientID)
		}
	}
	if len(clients) == 0 {
		return nil, nil
	}
	var rows []sealedSecret
	if err := t.db.Where("client_id IN ? AND (expires_at IS NULL OR expires_at > ?)", clients, now.UTC()).
		Order("id").Find(&rows).Error; err != nil {
		return nil, err
	}
	for _, row := range rows {
		secret, err := t.unseal(row)
		if err != nil {
			t.log.ErrorContext(t.ctx, "events cannot be signed", "client", row.ClientID, "err", err)
			continue
		}
		secrets[row.ClientID] = append(secrets[row.ClientID], secret)
	}
	work := make([]webhooks.Work, len(claimed))
	for i, d := range claimed {
		work[i] = webhooks.Work{Delivery: d, Secrets: secrets[d.ClientID]}
	}
	return work, nil
}

// The event of a question, if it is nobody's yet and its destination takes events
// as they come. As in dueDeliveries, what is in flight is among the first due
// rows of the destination.
const (
	questionDelivery = `SELECT ` + deliveryColumns + ` FROM deliveries d WHERE task_id = $1 AND kind = $2 AND attempt = $3
		AND state = 'ready' AND lease_until IS NULL FOR NO KEY UPDATE SKIP LOCKED`

	questionDeliverySQLite = `SELECT ` + deliveryColumns + ` FROM deliveries d WHERE task_id = $1 AND kind = $2 AND attempt = $3
		AND state = 'ready' AND lease_until IS NULL`

	inFlight = `SELECT count(*) FROM (SELECT lease_until FROM deliveries WHERE state = 'ready' AND client_id = $1 AND origin = $2
		AND next_at <= $3 ORDER BY next_at, id LIMIT $4) w WHERE lease_until > $3`

	hurryQuestion = `UPDATE deliveries SET next_at = $2 WHERE id = $1`
)

// ClaimQuestion leases the event of a question; see webhooks.Questions.
func (s *Store) ClaimQuestion(ctx context.Context, q scheduler.Question, c webhooks.Claim) (webhooks.Work, bool, error) {
	var work []webhooks.Work
	err := s.write(ctx, func(t *tx) error {
		query := questionDeliverySQLite
		if t.postgres != nil {
			query = questionDelivery
		}
		found, err := collect(t, query, []any{int64(q.Task), string(q.Kind), q.Attempt}, scanDelivery)
		if err != nil || len(found) == 0 {
			return err
		}
		takes, err := t.takesMore(found[0], c.Now, c.PerOrigin)
		if err != nil || !takes {
			return err
		}
		// In flight it stands where those stand that are counted.
		if _, err := t.pool.ExecContext(t.ctx, hurryQuestion, int64(found[0].ID), c.Now.UTC()); err != nil {
			return err
		}
		if err := t.lease(c, found); err != nil {
			return err
		}
		work, err = t.signed(c.Now, found)
		return err
	})
	if err != nil || len(work) == 0 {
		return webhooks.Work{}, false, err
	}
	return work[0], true, nil
}

// takesMore reports whether the destination of a delivery takes another request
// now, and needs no care.
func (t *tx) takesMore(d scheduler.Delivery, now time.Time, perOrigin int) (bool, error) {
	var found []webhooks.Destination
	if err := destinations(t.db, d.ClientID).Where("origin = ?", d.Origin).Find(&found).Error; err != nil {
		return false, err
	}
	slots := perOrigin
	if len(found) > 0 {
		if found[0].Careful {
			return false, nil
		}
		if found[0].Slots > 0 {
			slots = found[0].Slots
		}
	}
	flying, err := collect(t, inFlight, []any{string(d.ClientID), d.Origin, now.UTC(), slots},
		func(r *sql.Rows, n *int) error { return r.Scan(n) })
	return err == nil && flying[0] < slots, err
}
