package store_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// However many events there are, SQLite steps to those that a statement is about
// by an index: it walks through all of them for none.
func TestSQLiteStepsToTheEventsItWants(t *testing.T) {
	s := storetest.Open(t, storetest.SQLiteURL(t))
	walks := regexp.MustCompile(`^SCAN (deliveries|[dpwh])( |$)`)
	const due = "deliveries_ready (client_id=? AND origin=? AND next_at<?)"
	want := map[string]string{
		"receivers and what is due to them":  due,
		"destinations that need care":        "destinations_look (look_at<?)",
		"what is due to one of those":        due,
		"what is in flight to a destination": due,
		"what a sweep has to do":             "deliveries_stale (expires_at<?)",
		"what is owed to disabled ones":      "destinations_disabled",
		"what has waited long enough":        "deliveries_held (next_at<?)",
	}
	for what, statement := range store.OutboxOnSQLite {
		plan, err := store.Explain(s, statement)
		must(t, err)
		if slices.ContainsFunc(plan, walks.MatchString) && !strings.HasPrefix(strings.TrimSpace(statement), "SELECT count(*) FROM (") {
			t.Errorf("%s: it walks through the events\n%s", what, strings.Join(plan, "\n"))
		}
		if !strings.Contains(strings.Join(plan, "\n"), want[what]) {
			t.Errorf("%s: it does not go by %s\n%s", what, want[what], strings.Join(plan, "\n"))
		}
	}
	// From one receiver to the next it steps over all that is owed to the first.
	plan, err := store.Explain(s, store.OutboxOnSQLite["receivers and what is due to them"])
	must(t, err)
	if !strings.Contains(strings.Join(plan, "\n"), "RECURSIVE STEP") || strings.Count(strings.Join(plan, "\n"), "((client_id,origin,next_at)>(?,?,?)") != 2 {
		t.Errorf("it does not step from receiver to receiver\n%s", strings.Join(plan, "\n"))
	}
}

// crowd owes 12,000 events: 4,000 each to a receiver that is shut, to one that is
// busy, and held ones; and three to one that is disabled.
func crowd(w *world, conn *pgx.Conn) {
	w.Helper()
	const hookC = "https://c.example.com/hook"
	shut, busy, disabled := w.know(hookA), w.know(hookB), w.know(hookC)
	w.alter(shut, func(d *webhooks.Destination) { d.OpenUntil, d.OpenFor = w.now.Add(time.Hour), time.Hour })
	w.alter(disabled, func(d *webhooks.Destination) { d.DisabledAt = w.now })
	for i, owed := range []struct {
		origin, state, next string
		n                   int
	}{
		{shut.Origin, "ready", "0 s", 4000}, {busy.Origin, "ready", "0 s", 4000}, {busy.Origin, "held", "40 s", 4000}, {disabled.Origin, "ready", "0 s", 3},
	} {
		_, err := conn.Exec(w.Context(), `INSERT INTO deliveries (client_id, task_id, event_id, kind, attempt, sequence, origin, url, body, state, next_at, expires_at, created_at)
			SELECT $1, i, 'evt_' || i, 'before', 1, 1, $2, $2 || '/', '{}', $3, $4::timestamptz + $5::interval, $4::timestamptz + interval '1 h', $4
			FROM generate_series($6::bigint, $7) i`, string(w.cl.ID), owed.origin, owed.state, w.now, owed.next, 1_000_000*(i+1), 1_000_000*(i+1)+owed.n-1)
		must(w.T, err)
	}
}

// read counts the rows of events that were read so far, in an index or the table.
func read(t *testing.T, conn *pgx.Conn) (n int64) {
	t.Helper()
	must(t, conn.QueryRow(t.Context(), `SELECT sum(idx_tup_read)::bigint + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'deliveries')
		FROM pg_stat_user_indexes WHERE relname = 'deliveries'`).Scan(&n))
	return n
}

// However many events there are, PostgreSQL reads few of them for a claim, a
// sweep or a settlement, whether it knows how many there are or not.
func TestPostgresReadsFewEvents(t *testing.T) {
	given := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, given), 0)
	counted, err := url.Parse(given)
	must(t, err)
	named := counted.Query()
	named.Set("application_name", "counted")
	counted.RawQuery = named.Encode()
	conn, err := pgx.Connect(t.Context(), given)
	must(t, err)
	defer func() { must(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.Exec(t.Context(), "ALTER TABLE deliveries SET (autovacuum_enabled = off)")
	must(t, err)
	crowd(w, conn)
	for _, known := range []bool{false, true} {
		if known {
			// What this reads is counted now, not in a second.
			for _, do := range []string{"UPDATE deliveries SET state = 'ready', ended_at = NULL WHERE state = 'dead'", "ANALYZE", "SELECT pg_stat_force_next_flush()"} {
				_, err = conn.Exec(t.Context(), do)
				must(t, err)
			}
		}
		for what, do := range map[string]func(*store.Store) error{
			"a claim and its end": func(s *store.Store) error {
				work, more, err := s.ClaimDeliveries(t.Context(), webhooks.Claim{Now: w.now, Room: 256, PerOrigin: 16})
				if err != nil || len(work) == 0 || more {
					return fmt.Errorf("%d claimed, more %v: %w", len(work), more, err)
				}
				var done []webhooks.Settlement
				for _, one := range work {
					done = append(done, webhooks.Settlement{Delivery: one.Delivery, Verdict: delivered, Try: &webhooks.Try{At: w.now}})
				}
				_, err = s.SettleDeliveries(t.Context(), w.now, done)
				return err
			},
			"a sweep": func(s *store.Store) error {
				_, err := s.SweepDeliveries(t.Context(), w.now)
				return err
			},
			"a question": func(s *store.Store) error {
				q := scheduler.Question{Task: 2_002_000, Kind: scheduler.EventBefore, Attempt: 1}
				_, _, err := s.ClaimQuestion(t.Context(), q, webhooks.Claim{Now: w.now, PerOrigin: 16})
				return err
			},
		} {
			before := read(t, conn)
			own, err := store.Open(t.Context(), store.Options{URL: counted.String(), Secret: storetest.SecretKey()})
			must(t, err)
			for range 3 {
				must(t, do(own))
			}
			must(t, own.Close()) // its connections tell what they read when they end
			for gone := false; !gone; <-time.After(10 * time.Millisecond) {
				must(t, conn.QueryRow(t.Context(), "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'counted'").Scan(&gone))
			}
			if n := (read(t, conn) - before) / 3; n > 500 {
				t.Errorf("%s reads %d events, of 12,000 (analysed: %v)", what, n, known)
			} else {
				t.Logf("%s reads %d events, of 12,000 (analysed: %v)", what, n, known)
			}
		}
	}
}
