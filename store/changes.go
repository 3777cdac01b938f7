package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/scheduler"
)

// One row a queue and transaction, whatever it changed: the queue's row is
// locked from before its counter was read until the commit, so that numbers
// become visible in their order, and whoever has read one has seen all before.
var insertChanges = statement{
	postgres: `INSERT INTO queue_changes (queue_id, seq, at, tasks, hold_gate, hold_until, hold_detail)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])`,
	sqlite: `INSERT INTO queue_changes (queue_id, seq, at, tasks, hold_gate, hold_until, hold_detail)
	VALUES ($1, $2, $3, $4, $5, $6, $7)`,
}

const readChanges = `SELECT c.seq, c.at, c.tasks, c.hold_gate, c.hold_until, c.hold_detail
	FROM queue_changes c JOIN queues q ON q.id = c.queue_id
	WHERE q.client_id = $1 AND c.queue_id = $2 AND c.seq > $3 ORDER BY c.seq LIMIT $4`

// changed notes tasks that this transaction wrote, for those who listen. What
// is noted goes into the next saveRuntimes.
func (t *tx) changed(tasks ...scheduler.Task) {
	if t.changes == nil {
		t.changes = map[scheduler.QueueID][]scheduler.TaskID{}
	}
	for i := range tasks {
		t.changes[tasks[i].QueueID] = append(t.changes[tasks[i].QueueID], tasks[i].ID)
	}
}

// holds is what holds the queue as a whole at now, by its row; if nothing does,
// what held it last.
func (l *lockedQueue) holds(now time.Time) scheduler.Hold {
	if h := l.runtime.Holds(l.queue, now); h.Gate != "" {
		return h
	}
	return l.runtime.Hold
}

// lookAgain is how long a hold is at most that only says when to look again:
// one that follows another of its gate is no news.
const lookAgain = time.Second

// anew reports whether a hold is another one than was.
func anew(is, was scheduler.Hold, now time.Time) bool {
	return is.Gate != was.Gate || is.Until.After(was.Until) && !was.Until.After(now) && is.Until.Sub(now) > lookAgain
}

// saveChanges counts what changed of the locked queues in their runtime rows,
// and writes what somebody listens to, and holds. A hold that is only prolonged
// is no change.
func (t *tx) saveChanges(locked []lockedQueue) error {
	var of []*lockedQueue
	var changes []scheduler.Change
	now := t.now().UTC()
	for i := range locked {
		l := &locked[i]
		c := scheduler.Change{At: now, Tasks: t.changes[l.queue.ID]}
		if is := l.holds(now); anew(is, l.held, now) {
			c.Hold, l.held = new(l.runtime.Holds(l.queue, now).Lasting()), is
		}
		if len(c.Tasks) == 0 && c.Hold == nil {
			continue
		}
		l.runtime.Changes++
		if c.Hold == nil && !l.followed.After(now) {
			continue // nobody listens: who comes back to a gap begins anew
		}
		slices.Sort(c.Tasks)
		c.Seq = l.runtime.Changes
		of, changes = append(of, l), append(changes, c)
	}
	t.changes = nil
	type C = scheduler.Change
	return t.exec(insertChanges, batch{n: len(changes), columns: []column{
		col(of, func(l **lockedQueue) int64 { return int64((*l).queue.ID) }),
		col(changes, func(c *C) int64 { return c.Seq }),
		timeCol(changes, func(c *C) time.Time { return c.At }),
		col(changes, func(c *C) string { return runs(c.Tasks) }),
		col(changes, func(c *C) *string {
			if c.Hold == nil {
				return nil
			}
			return new(string(c.Hold.Gate))
		}),
		timeCol(changes, func(c *C) time.Time { return held(c).Until }),
		col(changes, func(c *C) string { return held(c).Detail }),
	}})
}

func held(c *scheduler.Change) scheduler.Hold {
	if c.Hold == nil {
		return scheduler.Hold{}
	}
	return *c.Hold
}

// runs spells ascending ids, each run of neighbours as its ends: 1-3,7.
func runs[T ~int64](ids []T) string {
	var b []byte
	for i := 0; i < len(ids); {
		last := i
		for last+1 < len(ids) && ids[last+1] <= ids[last]+1 {
			last++
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(ids[i]), 10)
		if ids[last] != ids[i] {
			b = append(b, '-')
			b = strconv.AppendInt(b, int64(ids[last]), 10)
		}
		i = last + 1
	}
	return string(b)
}

// parseRuns reads what runs spells.
func parseRuns[T ~int64](text string) ([]T, error) {
	var ids []T
	for run := range strings.SplitSeq(text, ",") {
		if run == "" {
			continue
		}
		from, to, isRun := strings.Cut(run, "-")
		if !isRun {
			to = from
		}
		first, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("a list of ids is damaged: %w", err)
		}
		last, err := strconv.ParseInt(to, 10, 64)
		if err != nil || last-first > scheduler.MaxBatch {
			return nil, fmt.Errorf("a list of ids is damaged: %q", run)
		}
		for id := first; id <= last; id++ {
			ids = append(ids, T(id))
		}
	}
	return ids, nil
}

// It takes the lock that every writer of the queue takes, so that each of them
// either is over, and in the number that is read after it, or sees it.
const follow = `UPDATE queue_runtime SET followed_until = $3 WHERE queue_id = $1 AND (followed_until IS NULL OR followed_until < $2)
	AND EXISTS (SELECT 1 FROM queues WHERE id = queue_id AND client_id = $4 AND deleted_at IS NULL)`

// followSpare is how much longer than needed changes are kept, so that who goes
// on listening seldom writes that.
const followSpare = time.Hour

// Follow has the changes of a client's queue kept from now on, for
// scheduler.ChangesKeep at least.
func (s *Store) Follow(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID) error {
	return s.write(ctx, func(t *tx) error {
		until := t.now().UTC().Add(scheduler.ChangesKeep)
		_, err := t.pool.ExecContext(ctx, follow, int64(queue), until, until.Add(followSpare), string(client))
		return err
	})
}

// Changes returns what changed of a client's queue after a Seq, in order, at
// most limit entries. Old ones are forgotten: then the first has a Seq beyond
// the next.
func (s *Store) Changes(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, after int64, limit int) ([]scheduler.Change, error) {
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	return collect(t, readChanges, []any{string(client), int64(queue), after, limit}, func(r *sql.Rows, c *scheduler.Change) error {
		var tasks string
		var gate *scheduler.Gate
		var hold scheduler.Hold
		err := r.Scan(&c.Seq, nullTime{&c.At}, &tasks, &gate, nullTime{&hold.Until}, &hold.Detail)
		if err != nil {
			return err
		}
		if gate != nil {
			hold.Gate = *gate
			c.Hold = &hold
		}
		c.Tasks, err = parseRuns[scheduler.TaskID](tasks)
		return err
	})
}

// Heads returns the Seq of the latest change of each of some queues; those
// that are deleted are left out.
func (s *Store) Heads(ctx context.Context, ids []scheduler.QueueID) (map[scheduler.QueueID]int64, error) {
	var rows []scheduler.Runtime
	err := s.reads.WithContext(ctx).Select("queue_id", "changes").
		Where("queue_id IN ? AND EXISTS (SELECT 1 FROM queues WHERE id = queue_id AND deleted_at IS NULL)", ids).Find(&rows).Error
	heads := make(map[scheduler.QueueID]int64, len(rows))
	for _, r := range rows {
		heads[r.QueueID] = r.Changes
	}
	return heads, err
}

// TasksByID returns those of some tasks that a client's queue has, by id.
func (s *Store) TasksByID(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, ids []scheduler.TaskID) ([]scheduler.Task, error) {
	var rows []scheduler.Task
	err := s.reads.WithContext(ctx).Where("client_id = ? AND queue_id = ? AND id IN ?", client, queue, ids).Order("id").Find(&rows).Error
	return rows, err
}
