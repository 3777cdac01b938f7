package store

import (
	"cmp"
	"context"
	"database/sql"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ringback/scheduler"
)

// mostAwake is how many awake queues a list of them has at most.
const mostAwake = 4096

// awakeFor is how long a list of awake queues is good for: it only tells a claim
// which queues to try, and walks all of them.
const awakeFor = 100 * time.Millisecond

// awakeList is the latest list of awake queues, without those that this node has
// put to sleep since.
type awakeList struct {
	mu    sync.Mutex
	until time.Time
	list  []scheduler.Awake
}

// get returns the list if it is good still and names more than n.
func (l *awakeList) get(n int) []scheduler.Awake {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) <= n || !time.Now().Before(l.until) {
		return nil
	}
	return slices.Clone(l.list)
}

func (l *awakeList) set(list []scheduler.Awake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.until = slices.Clone(list), time.Now().Add(awakeFor)
}

// forget makes the next claim list anew: something woke that is on no list.
func (l *awakeList) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}

// slept takes out those of some queues that have nothing to start at now.
func (l *awakeList) slept(locked []lockedQueue, now time.Time) {
	asleep := make(map[scheduler.QueueID]bool, len(locked))
	for i := range locked {
		if at := locked[i].runtime.WakeAt; at.IsZero() || at.After(now) {
			asleep[locked[i].queue.ID] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(l.list, func(a scheduler.Awake) bool { return asleep[a.Queue] })
}

// SKIP LOCKED with LIMIT is safe here: the rows are locked by the very scan
// that counts them.
const lockAwake = `SELECT queue_id FROM queue_runtime WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED`

// What was chosen may have been locked, or may sleep since.
const lockChosen = `SELECT queue_id FROM queue_runtime WHERE queue_id = ANY($2::bigint[]) AND wake_at <= $1
	ORDER BY queue_id FOR NO KEY UPDATE SKIP LOCKED`

// One row if there is no queue, so that whoever is fenced hears of it.
const findAwake = `SELECT EXISTS (SELECT 1 FROM nodes WHERE id = $2 AND epoch = $3), coalesce(w.queue_id, 0), w.wake_at
	FROM (SELECT 1) AS one LEFT JOIN (SELECT queue_id, wake_at FROM queue_runtime WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT $1) w ON true
	ORDER BY w.wake_at`

const listAwake = `SELECT r.queue_id, q.client_id, q.priority FROM (SELECT queue_id FROM queue_runtime
	WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2) r JOIN queues q ON q.id = r.queue_id`

// Of so many that the list ends before them, those from some place on, so that
// a client's queues that have been awake for long keep none of another's out.
const (
	sampleAwake = `SELECT r.queue_id, q.client_id, q.priority FROM (SELECT queue_id FROM queue_runtime
		WHERE wake_at <= $1 AND queue_id >= $3 ORDER BY queue_id LIMIT $2) r JOIN queues q ON q.id = r.queue_id`

	lastRuntime = `SELECT coalesce(max(queue_id), 0) FROM queue_runtime`
)

// awake returns some queues in which something may start, at most n, and when
// that of the others may be that has the earliest. ErrFenced if the epoch of the
// owner was raised.
func (s *Store) awake(ctx context.Context, owner scheduler.Owner, now time.Time, n int) (ids []scheduler.QueueID, next time.Time, err error) {
	type waking struct {
		mine  bool
		queue scheduler.QueueID // 0: none
		at    time.Time
	}
	t := &tx{Store: s, ctx: ctx, pool: s.reads.Statement.ConnPool}
	first, err := collect(t, findAwake, []any{n, owner.Node, owner.Epoch}, func(r *sql.Rows, w *waking) error {
		return r.Scan(&w.mine, &w.queue, nullTime{&w.at})
	})
	for _, w := range first {
		switch {
		case !w.mine:
			return nil, time.Time{}, scheduler.ErrFenced
		case w.queue == 0 || w.at.After(now):
			return ids, w.at, err
		}
		ids = append(ids, w.queue)
	}
	return ids, time.Time{}, err
}

// lockAwakeQueues locks at most n queues in which something may start, of those
// that were awake or of all, leaving out those that another transaction holds.
// If there are more, the clients have fair shares of the n.
func (t *tx) lockAwakeQueues(ids []scheduler.QueueID, now time.Time, n int) ([]lockedQueue, error) {
	var err error
	if len(ids) > n {
		awake := t.awakes.get(n)
		if awake == nil {
			if awake, err = t.listAwake(now); err != nil {
				return nil, err
			}
			if len(awake) < mostAwake { // of a sample, the next one has others
				t.awakes.set(awake)
			}
		}
		ids = scheduler.Choose(awake, n, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
		if t.postgres != nil {
			ids, err = collect(t, lockChosen, []any{now.UTC(), ids}, scanID)
			if len(ids) < n/2 {
				t.awakes.forget() // others have put to sleep what it names
			}
		}
		if err != nil || len(ids) == 0 {
			return nil, err
		}
	} else if t.postgres != nil {
		ids, err = collect(t, lockAwake, []any{now.UTC(), n}, scanID)
		if err != nil || len(ids) == 0 {
			return nil, err
		}
	}
	return t.readQueues(ids)
}

// listAwake lists awake queues for a choice: those that have been so for
// longest, and if that is not all a sample of as many.
func (t *tx) listAwake(now time.Time) ([]scheduler.Awake, error) {
	scan := func(r *sql.Rows, a *scheduler.Awake) error { return r.Scan(&a.Queue, &a.Client, &a.Priority) }
	awake, err := collect(t, listAwake, []any{now.UTC(), mostAwake}, scan)
	if err != nil || len(awake) < mostAwake {
		return awake, err
	}
	last, err := collect(t, lastRuntime, nil, scanID)
	if err != nil {
		return nil, err
	}
	left, from := mostAwake, 1+rand.Int64N(max(int64(last[0]), 1))
	for _, from := range []int64{from, 1} { // round the end
		some, err := collect(t, sampleAwake, []any{now.UTC(), left, from}, scan)
		if err != nil {
			return nil, err
		}
		awake, left = append(awake, some...), left-len(some)
	}
	slices.SortFunc(awake, func(a, b scheduler.Awake) int { return cmp.Compare(a.Queue, b.Queue) })
	return slices.Compact(awake), nil
}

func scanID(r *sql.Rows, id *scheduler.QueueID) error { return r.Scan(id) }
