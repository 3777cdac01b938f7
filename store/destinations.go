package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
	"ringback/webhooks"
)

// carefulBatch is how many destinations that need care one claim looks at.
const carefulBatch = 64

// Destinations that need care and have something due, locked: what may be sent
// to them is counted under their lock. What another claim holds is its own.
// A sub-select in the order of deliveries_ready, not EXISTS: a planner would make
// a join of that, and read every row that is owed to anybody.
const (
	carefulDestinations = `SELECT id FROM destinations t WHERE look_at <= $1 AND (SELECT true FROM deliveries
			WHERE state = 'ready' AND client_id = t.client_id AND origin = t.origin AND next_at <= $1
			ORDER BY next_at, id LIMIT 1) IS NOT NULL
		ORDER BY look_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED`

	carefulDestinationsSQLite = `SELECT id FROM destinations t WHERE look_at <= $1 AND (SELECT true FROM deliveries
			WHERE state = 'ready' AND client_id = t.client_id AND origin = t.origin AND next_at <= $1
			ORDER BY next_at, id LIMIT 1) IS NOT NULL
		ORDER BY look_at, id LIMIT $2`
)

// The due deliveries of one destination: the first $4, of which those that are
// leased are in flight, and at most $5 of the others.
const (
	dueOfDestination = `SELECT ` + deliveryColumns + ` FROM (SELECT id FROM deliveries
			WHERE state = 'ready' AND client_id = $2 AND origin = $3 AND next_at <= $1 ORDER BY next_at, id LIMIT $4) w
		JOIN deliveries d ON d.id = w.id
		WHERE d.state = 'ready' AND (d.lease_until IS NULL OR d.lease_until <= $1)
		ORDER BY d.next_at, d.id LIMIT $5 FOR NO KEY UPDATE OF d SKIP LOCKED`

	dueOfDestinationSQLite = `SELECT ` + deliveryColumns + ` FROM deliveries d WHERE id IN (SELECT id FROM deliveries
			WHERE state = 'ready' AND client_id = $2 AND origin = $3 AND next_at <= $1 ORDER BY next_at, id LIMIT $4)
		AND (lease_until IS NULL OR lease_until <= $1) ORDER BY next_at, id LIMIT $5`
)

// A destination is known before the first event goes to it, so that whoever
// writes events never waits for its row.
var insertDestinations = statement{
	postgres: `INSERT INTO destinations (client_id, origin, created_at, slots, careful)
	SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::integer[], $5::boolean[]) ORDER BY 1, 2
	ON CONFLICT (client_id, origin) DO NOTHING`,
	sqlite: `INSERT INTO destinations (client_id, origin, created_at, slots, careful) VALUES ($1, $2, $3, $4, $5)
	ON CONFLICT (client_id, origin) DO NOTHING`,
}

// A destination that is well again gets at once what it was tried with while it
// was not, each in its place.
const hurryTried = `UPDATE deliveries SET next_at = created_at
	WHERE state = 'ready' AND client_id = $2 AND origin = $3 AND next_at > $1 AND lease_until IS NULL`

// introduce makes the destinations known that tasks want their events at.
func (t *tx) introduce(tasks []scheduler.Task) error {
	known := map[webhooks.Receiver]bool{}
	var fresh []webhooks.Destination
	for i := range tasks {
		for _, url := range []string{tasks[i].URLBefore, tasks[i].URLBeforeAgain, tasks[i].URLSuccess, tasks[i].URLAfter} {
			if url == "" {
				continue
			}
			r := webhooks.Receiver{Client: tasks[i].ClientID, Origin: webhooks.Origin(url)}
			if !known[r] {
				known[r] = true
				fresh = append(fresh, webhooks.NewDestination(r.Client, r.Origin, t.now()))
			}
		}
	}
	type D = webhooks.Destination
	return t.exec(insertDestinations, batch{n: len(fresh), columns: []column{
		col(fresh, func(d *D) string { return string(d.ClientID) }),
		col(fresh, func(d *D) string { return d.Origin }),
		timeCol(fresh, func(d *D) time.Time { return d.CreatedAt }),
		col(fresh, func(d *D) int { return d.Slots }),
		col(fresh, func(d *D) bool { return d.Careful }),
	}})
}

// careful locks and reads what a claim may have of the destinations that need
// care, and writes what that makes of them. cut says that some of them were left
// out for others.
func (t *tx) careful(c webhooks.Claim) (all []scheduler.Delivery, cut bool, err error) {
	query, due := carefulDestinationsSQLite, dueOfDestinationSQLite
	if t.postgres != nil {
		query, due = carefulDestinations, dueOfDestination
	}
	ids, err := collect(t, query, []any{c.Now.UTC(), carefulBatch},
		func(r *sql.Rows, id *webhooks.DestinationID) error { return r.Scan(id) })
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	var locked []webhooks.Destination
	if err := t.db.Where("id IN ?", ids).Order("look_at, id").Find(&locked).Error; err != nil {
		return nil, false, err
	}
	most := (c.Room + 1) / 2
	for _, d := range locked {
		slots := d.Slots
		if slots == 0 {
			slots = c.PerOrigin
		}
		room := min(most-len(all), d.Allow(c.Now))
		if room <= 0 {
			continue
		}
		claimed, err := collect(t, due, []any{c.Now.UTC(), string(d.ClientID), d.Origin, min(slots, c.Share), room}, scanDelivery)
		if err != nil {
			return nil, false, err
		}
		all = append(all, claimed...)
		if sent := d.Sent(c.Now, claimed); sent != d {
			if err := t.saveHealth(sent); err != nil {
				return nil, false, err
			}
		}
	}
	return all, len(all) >= most || len(ids) == carefulBatch && len(all) > 0, nil
}

// health are the columns of a destination that its tries move.
var health = []any{
	"WindowFrom", "WindowTries", "WindowFailures", "OpenUntil", "OpenFor", "ProbeID", "ProbeUntil", "Probes", "RampFrom",
	"NextSend", "SucceededAt", "FailingSince", "Failures", "DisabledAt", "Slots", "Careful", "LookAt",
}

func (t *tx) saveHealth(d webhooks.Destination) error {
	return t.db.Model(&d).Select("FailuresInRow", health...).Updates(d).Error
}

// hear lets the destinations know what became of tries. Most of them it does
// not change: their rows are not even locked.
func (t *tx) hear(now time.Time, done []webhooks.Settlement) ([]webhooks.Turn, error) {
	byReceiver := map[webhooks.Receiver][]webhooks.Settlement{}
	var clients []scheduler.ClientID
	var origins []string
	for _, s := range done {
		r := webhooks.Receiver{Client: s.Delivery.ClientID, Origin: s.Delivery.Origin}
		if byReceiver[r] == nil {
			clients, origins = append(clients, r.Client), append(origins, r.Origin)
		}
		byReceiver[r] = append(byReceiver[r], s)
	}
	var rows []webhooks.Destination
	if err := t.db.Where("client_id IN ? AND origin IN ?", clients, origins).Find(&rows).Error; err != nil {
		return nil, err
	}
	var moved []webhooks.DestinationID
	for _, d := range rows {
		if heardAll(d, byReceiver, now) != d {
			moved = append(moved, d.ID)
		}
	}
	if len(moved) == 0 {
		return nil, nil
	}
	var locked []webhooks.Destination
	if err := t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id IN ?", moved).Order("id").Find(&locked).Error; err != nil {
		return nil, err
	}
	var turns []webhooks.Turn
	for _, d := range locked {
		heard := heardAll(d, byReceiver, now)
		if heard == d {
			continue
		}
		if err := t.saveHealth(heard); err != nil {
			return nil, err
		}
		from, to := d.State(now), heard.State(now)
		if from == to {
			continue
		}
		turns = append(turns, webhooks.Turn{Destination: heard, From: from, To: to})
		if to == webhooks.DestinationRamp {
			if _, err := t.pool.ExecContext(t.ctx, hurryTried, now.UTC(), string(d.ClientID), d.Origin); err != nil {
				return nil, err
			}
		}
	}
	return turns, nil
}

func heardAll(d webhooks.Destination, all map[webhooks.Receiver][]webhooks.Settlement, now time.Time) webhooks.Destination {
	done := all[webhooks.Receiver{Client: d.ClientID, Origin: d.Origin}]
	ended := func(s webhooks.Settlement) time.Time {
		if s.Try == nil {
			return now
		}
		return s.Try.At.Add(s.Try.Took)
	}
	slices.SortStableFunc(done, func(a, b webhooks.Settlement) int { return ended(a).Compare(ended(b)) })
	for _, s := range done {
		d = d.Heard(s.Delivery.ID, s.Try, ended(s))
	}
	return d
}

// destinations selects the destinations of a client.
func destinations(db *gorm.DB, client scheduler.ClientID) *gorm.DB {
	return db.Model(&webhooks.Destination{}).Where("client_id = ?", client)
}

func readDestination(db *gorm.DB, client scheduler.ClientID, id webhooks.DestinationID) (webhooks.Destination, error) {
	return one[webhooks.Destination](destinations(db, client).Where("id = ?", id), "there is no destination %d", id)
}

// Destinations returns where the events of a client go, by id.
func (s *Store) Destinations(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[webhooks.Destination], error) {
	return list[webhooks.Destination](destinations(s.reads.WithContext(ctx), client), p)
}

// Destination returns one of a client's.
func (s *Store) Destination(ctx context.Context, client scheduler.ClientID, id webhooks.DestinationID) (webhooks.Destination, error) {
	return readDestination(s.reads.WithContext(ctx), client, id)
}

// UpdateDestination changes the limits of a destination, or whether it is
// paused or disabled: change is given what is stored, under its lock.
func (s *Store) UpdateDestination(ctx context.Context, client scheduler.ClientID, id webhooks.DestinationID, change func(*webhooks.Destination) error) (webhooks.Destination, error) {
	var changed webhooks.Destination
	err := s.write(ctx, func(t *tx) error {
		stored, err := readDestination(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), client, id)
		if err != nil {
			return err
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		changed = changed.Settle(t.now().UTC())
		t.eventful = true // what waited may go
		t.saw(stored, changed)
		return t.db.Model(&changed).Select("FailuresInRow", append([]any{"MaxInFlight", "MaxRate", "PausedAt"}, health...)...).Updates(changed).Error
	})
	return changed, err
}
