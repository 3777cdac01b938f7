package store

import (
	"context"
	"database/sql"
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
const ratedHeads = 16

// The due tasks at the head of a queue, narrow: most of what is looked at does
// not start. The LATERAL walks tasks_ready of each queue in order and stops at
// its limit.
var readHeads = statement{
	postgres: `SELECT t.queue_id, t.id, t.extension_id, t.ready_at, t.deadline, e.blocked OR e.deleted_at IS NOT NULL
	FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS u(queue_id, n, now)
	CROSS JOIN LATERAL (SELECT queue_id, id, ready_at, deadline, extension_id FROM tasks
		WHERE queue_id = u.queue_id AND ready_at <= u.now ORDER BY ready_at, id LIMIT u.n) t
	JOIN extensions e ON e.id = t.extension_id
	ORDER BY t.queue_id, t.ready_at, t.id`,
	sqlite: `SELECT t.queue_id, t.id, t.extension_id, t.ready_at, t.deadline, e.blocked OR e.deleted_at IS NOT NULL
	FROM tasks t JOIN extensions e ON e.id = t.extension_id
	WHERE t.queue_id = $1 AND t.ready_at <= $3 ORDER BY t.ready_at, t.id LIMIT $2`,
}

// What admission decided about, whole, with what calls it.
var readDecided = statement{
	postgres: `SELECT ` + taskColumns + `, e.caller_id_name, e.ani, e.trunk
	FROM unnest($1::bigint[], $2::bigint[]) AS u(queue_id, id)
	JOIN tasks t ON t.queue_id = u.queue_id AND t.id = u.id JOIN extensions e ON e.id = t.extension_id`,
	sqlite: `SELECT ` + taskColumns + `, e.caller_id_name, e.ani, e.trunk
	FROM tasks t JOIN extensions e ON e.id = t.extension_id WHERE t.queue_id = $1 AND t.id = $2`,
}

const nextWake = `SELECT wake_at FROM queue_runtime WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`

// decided is a task that starts or ends, and the extension it calls for.
type decided struct {
	task scheduler.Task
	ext  scheduler.Extension
}

// Claim starts tasks that may start at now, at most room of them, as their
// owner: one transaction in which admission decides with exact counts.
func (s *Store) Claim(ctx context.Context, owner scheduler.Owner, now time.Time, room int) (scheduler.Claimed, error) {
	ctx, cancel := s.within(ctx, workerPatience)
	defer cancel()
	var claimed scheduler.Claimed
	err := s.write(ctx, func(t *tx) error {
		claimed = scheduler.Claimed{}
		if err := t.fence(owner); err != nil {
			return err
		}
		locked, err := t.lockAwakeQueues(now, queuesAClaim)
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
		return err
	})
	return claimed, err
}

// start plans the locked queues and writes what was decided.
func (t *tx) start(claimed *scheduler.Claimed, locked []lockedQueue, owner scheduler.Owner, now time.Time, room int) error {
	ready, err := t.readHeads(locked, now, room)
	if err != nil {
		return err
	}
	if err := t.limitsOfHeads(locked, ready); err != nil {
		return err
	}
	verdicts := scheduler.Plan(ready, room, now)
	tasks, err := t.readDecided(verdicts)
	if err != nil {
		return err
	}
	trs := make([]scheduler.Transition, 0, len(tasks)) // starts first
	claimed.Started = make([]scheduler.Started, 0, len(tasks))
	for i := range verdicts {
		v := &verdicts[i]
		locked[i].runtime.Hold, locked[i].runtime.NextStart = v.Hold, v.NextStart
		for _, id := range v.Start {
			d := tasks[id]
			tr := d.task.Start(now, scheduler.NewCallID(now), owner.Node, owner.Epoch).
				Asks(time.Duration(locked[i].queue.BeforeWait) * time.Millisecond)
			trs = append(trs, tr)
			claimed.Started = append(claimed.Started, scheduler.Started{
				Transition: tr, Call: tr.Task.Call(d.ext), Due: d.task.ReadyAt,
			})
		}
		for _, drop := range v.Finish {
			tr := tasks[drop.Task].task.Drop(now, drop.Comment)
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

// readHeads returns the locked queues as admission sees them. Of each it reads
// as much as its share of the room could be, and one more than it has slots, so
// that an expired head of a full queue is seen; a claim that comes back full is
// followed by another.
func (t *tx) readHeads(locked []lockedQueue, now time.Time, room int) ([]scheduler.Ready, error) {
	weights := map[scheduler.ClientID]int{}
	for _, l := range locked {
		weights[l.queue.ClientID] += l.queue.Weight()
	}
	n := func(l *lockedQueue) int64 {
		share := 2*room*l.queue.Weight()/(len(weights)*weights[l.queue.ClientID]) + 1
		if l.queue.StartRate > 0 {
			return int64(min(room, ratedHeads))
		}
		if l.queue.Limit == 0 {
			return int64(min(room, share))
		}
		return int64(min(room, share, max(l.queue.Limit-l.runtime.Running, 0)+1))
	}
	type head struct {
		queue scheduler.QueueID
		scheduler.Head
	}
	heads, err := gather(t, readHeads, batch{n: len(locked), columns: []column{
		col(locked, func(l *lockedQueue) int64 { return int64(l.queue.ID) }),
		col(locked, n),
		timeCol(locked, func(*lockedQueue) time.Time { return now }),
	}}, func(r row, h *head) error {
		return r.Scan(&h.queue, &h.Task, &h.Extension, nullTime{&h.Due}, nullTime{&h.Deadline}, &h.Blocked)
	})
	if err != nil {
		return nil, err
	}
	byQueue := make(map[scheduler.QueueID][]scheduler.Head, len(locked))
	for _, h := range heads {
		byQueue[h.queue] = append(byQueue[h.queue], h.Head)
	}
	ready := make([]scheduler.Ready, len(locked))
	for i, l := range locked {
		ready[i] = scheduler.Ready{Queue: l.queue, Runtime: l.runtime, Window: l.window, Head: byQueue[l.queue.ID]}
	}
	return ready, nil
}

// readDecided reads the tasks that the verdicts start or finish.
func (t *tx) readDecided(verdicts []scheduler.Verdict) (map[scheduler.TaskID]*decided, error) {
	var queues, ids []int64
	for _, v := range verdicts {
		for _, id := range v.Start {
			queues, ids = append(queues, int64(v.Queue)), append(ids, int64(id))
		}
		for _, drop := range v.Finish {
			queues, ids = append(queues, int64(v.Queue)), append(ids, int64(drop.Task))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := gather(t, readDecided, batch{n: len(ids), columns: []column{col(queues, same), col(ids, same)}},
		func(r row, d *decided) error {
			err := scanTask(r, &d.task, &d.ext.CallerIDName, &d.ext.ANI, &d.ext.Trunk)
			d.ext.ID = d.task.ExtensionID
			return err
		})
	byID := make(map[scheduler.TaskID]*decided, len(rows))
	for i := range rows {
		byID[rows[i].task.ID] = &rows[i]
	}
	return byID, err
}
