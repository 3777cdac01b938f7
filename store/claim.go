package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"ringback/scheduler"
)

// queuesAClaim is how many queues one claim locks: enough to fill it from
// queues with a few free slots each, few enough to leave others to the nodes
// beside it. A queue's share of a claim, which is a fortieth of MaxStarts, is
// more than most limits: the queue is full and asleep then, and the results of
// its calls do not wait for a claim that looks at it again.
const queuesAClaim = 40

// ratedHeads is how many heads are read of a queue with a start rate, of which
// a claim starts one: the others may have expired.
const ratedHeads = 4

// The due tasks at the head of a queue, whole, with what calls them: most of
// what is looked at starts. The LATERAL walks tasks_ready of each queue in order
// and stops at its limit.
var readHeads = statement{
	postgres: `SELECT ` + headColumns + `
	FROM unnest($1::bigint[], $2::bigint[]) AS u(queue_id, n)
	CROSS JOIN LATERAL (SELECT * FROM tasks WHERE queue_id = u.queue_id AND ready_at <= ($3::timestamptz[])[1]
		ORDER BY ready_at, id LIMIT u.n) t
	JOIN extensions e ON e.id = t.extension_id`,
	sqlite: `SELECT ` + headColumns + `
	FROM tasks t JOIN extensions e ON e.id = t.extension_id
	WHERE t.queue_id = $1 AND t.ready_at <= $3 ORDER BY t.ready_at, t.id LIMIT $2`,
}

const headColumns = taskColumns + `, e.caller_id_name, e.ani, e.trunk, e.blocked OR e.deleted_at IS NOT NULL`

const nextWake = `SELECT wake_at FROM queue_runtime WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`

// due is a task at the head of its queue, and the extension it calls for.
type due struct {
	task    scheduler.Task
	ext     scheduler.Extension
	blocked bool // the extension may not call
}

// Claim starts tasks that may start at now, at most room of them, as their
// owner: one transaction in which admission decides with exact counts.
func (s *Store) Claim(ctx context.Context, owner scheduler.Owner, now time.Time, room int) (scheduler.Claimed, error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	var claimed scheduler.Claimed
	// What is asleep is seen without a transaction, and so without the writer of
	// SQLite: most looks find nothing.
	awake, next, err := s.awake(ctx, owner, now, queuesAClaim+1)
	if err != nil || len(awake) == 0 {
		claimed.Next = next
		return claimed, err
	}
	var tried []lockedQueue
	err = s.write(ctx, func(t *tx) error {
		t.results = true
		claimed = scheduler.Claimed{}
		if err := t.fence(owner); err != nil {
			return err
		}
		locked, err := t.lockAwakeQueues(awake, now, queuesAClaim)
		if err != nil {
			return err
		}
		if len(locked) > 0 {
			if err := t.start(&claimed, locked, owner, now, room); err != nil {
				return err
			}
		}
		next, err := collect(t, nextWake, nil, func(r *sql.Rows, at *time.Time) error { return r.Scan(nullTime{at}) })
		if len(next) > 0 {
			claimed.Next = next[0]
		}
		tried = locked
		return err
	})
	if err == nil {
		s.awakes.slept(tried, now)
	}
	return claimed, err
}

// start plans the locked queues and writes what was decided.
func (t *tx) start(claimed *scheduler.Claimed, locked []lockedQueue, owner scheduler.Owner, now time.Time, room int) error {
	ready, heads, err := t.readHeads(locked, now, room)
	if err != nil {
		return err
	}
	if err := t.limitsOfHeads(locked, ready); err != nil {
		return err
	}
	verdicts := scheduler.Plan(ready, room, now)
	most := min(room, len(heads))
	trs := make([]scheduler.Transition, 0, most) // starts first
	claimed.Started = make([]scheduler.Started, 0, most)
	for i := range verdicts {
		v := &verdicts[i]
		locked[i].runtime.Hold, locked[i].runtime.NextStart = v.Hold, v.NextStart
		for _, id := range v.Start {
			d := heads[id]
			tr := d.task.Start(now, scheduler.NewCallID(now), owner.Node, owner.Epoch).
				Asks(time.Duration(locked[i].queue.BeforeWait) * time.Millisecond)
			trs = append(trs, tr)
			claimed.Started = append(claimed.Started, scheduler.Started{
				Transition: tr, Call: tr.Task.Call(d.ext), Due: d.task.ReadyAt,
			})
		}
		for _, drop := range v.Finish {
			tr := heads[drop.Task].task.Drop(now, drop.Comment)
			claimed.Dropped = append(claimed.Dropped, tr)
		}
	}
	trs = append(trs, claimed.Dropped...)
	// Every waiting row of a locked queue changes only under that lock: all of
	// these are taken.
	if _, err := t.apply(locked, trs); err != nil {
		return err
	}
	if err := t.noteClaim(owner, claimed.Started); err != nil {
		return err
	}
	return t.saveRuntimes(locked)
}

// readHeads returns the locked queues as admission sees them, and their heads.
// Of each it reads as much as its share of the room could be, and one more than
// it has slots, so that an expired head of a full queue is seen. What the others
// leave of their shares is for the next claim, which follows at once.
func (t *tx) readHeads(locked []lockedQueue, now time.Time, room int) ([]scheduler.Ready, map[scheduler.TaskID]*due, error) {
	weights := map[scheduler.ClientID]int{}
	for _, l := range locked {
		weights[l.queue.ClientID] += l.queue.Weight()
	}
	n := func(l *lockedQueue) int64 {
		share := room*l.queue.Weight()/(len(weights)*weights[l.queue.ClientID]) + 1
		if l.queue.StartRate > 0 {
			return int64(min(room, ratedHeads))
		}
		if l.queue.Limit == 0 {
			return int64(min(room, share))
		}
		return int64(min(room, share, max(l.queue.Limit-l.runtime.Running, 0)+1))
	}
	heads, err := gather(t, readHeads, batch{n: len(locked), answers: min(room, len(locked)*ratedHeads), columns: []column{
		col(locked, func(l *lockedQueue) int64 { return int64(l.queue.ID) }),
		col(locked, n),
		constantTime(now),
	}}, func(r row, d *due) error {
		err := scanTask(r, &d.task, &d.ext.CallerIDName, &d.ext.ANI, &d.ext.Trunk, &d.blocked)
		d.ext.ID = d.task.ExtensionID
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	byQueue := make(map[scheduler.QueueID][]scheduler.Head, len(locked))
	byID := make(map[scheduler.TaskID]*due, len(heads))
	for i := range heads {
		d := &heads[i]
		byID[d.task.ID] = d
		byQueue[d.task.QueueID] = append(byQueue[d.task.QueueID], scheduler.Head{
			Task: d.task.ID, Extension: d.task.ExtensionID, Due: d.task.ReadyAt, Deadline: d.task.Deadline, Blocked: d.blocked,
		})
	}
	ready := make([]scheduler.Ready, len(locked))
	for i, l := range locked {
		head := byQueue[l.queue.ID]
		// A join keeps no order that it was not asked for.
		slices.SortFunc(head, func(a, b scheduler.Head) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Task, b.Task)) })
		ready[i] = scheduler.Ready{Queue: l.queue, Runtime: l.runtime, Window: l.window, Head: head}
	}
	return ready, byID, nil
}
