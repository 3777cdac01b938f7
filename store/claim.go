package store

import (
	"context"
	"database/sql"
	"time"

	"ringback/scheduler"
)

// queuesAClaim is how many queues one claim locks: enough to fill it from
// queues with a few free slots each, few enough to leave others to the nodes
// beside it.
const queuesAClaim = 64

// The due tasks at the head of a queue, with what calls them. The LATERAL walks
// tasks_ready of each queue in order and stops at its limit.
var readHeads = statement{
	postgres: `SELECT ` + taskColumns + `, e.blocked OR e.deleted_at IS NOT NULL, e.caller_id_name, e.ani
	FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[]) AS u(queue_id, n, now)
	CROSS JOIN LATERAL (SELECT * FROM tasks WHERE queue_id = u.queue_id AND ready_at <= u.now
		ORDER BY ready_at, id LIMIT u.n) t
	JOIN extensions e ON e.id = t.extension_id
	ORDER BY t.queue_id, t.ready_at, t.id`,
	sqlite: `SELECT ` + taskColumns + `, e.blocked OR e.deleted_at IS NOT NULL, e.caller_id_name, e.ani
	FROM tasks t JOIN extensions e ON e.id = t.extension_id
	WHERE t.queue_id = $1 AND t.ready_at <= $3 ORDER BY t.ready_at, t.id LIMIT $2`,
}

const nextWake = `SELECT wake_at FROM queue_runtime WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1`

// head is a due task and the extension it calls for.
type head struct {
	task scheduler.Task
	ext  scheduler.Extension
}

// Claim starts tasks that may start at now, at most room of them, as their
// owner: one transaction in which admission decides with exact counts.
func (s *Store) Claim(ctx context.Context, owner scheduler.Owner, now time.Time, room int) (scheduler.Claimed, error) {
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
	heads, err := t.readHeads(locked, now, room)
	if err != nil {
		return err
	}
	ready := make([]scheduler.Ready, len(locked))
	for i, l := range locked {
		ready[i] = scheduler.Ready{Queue: l.queue, Runtime: l.runtime}
		for _, h := range heads[l.queue.ID] {
			ready[i].Head = append(ready[i].Head, scheduler.Head{
				Task: h.task.ID, Due: h.task.ReadyAt, Deadline: h.task.Deadline, Blocked: h.ext.Blocked,
			})
		}
	}
	byID := map[scheduler.TaskID]head{}
	for _, queue := range heads {
		for _, h := range queue {
			byID[h.task.ID] = h
		}
	}
	var trs []scheduler.Transition
	for i, v := range scheduler.Plan(ready, room, now) {
		locked[i].runtime.Hold = v.Hold
		for _, id := range v.Start {
			tr := byID[id].task.Start(now, scheduler.NewCallID(now), owner.Node, owner.Epoch)
			trs = append(trs, tr)
			claimed.Started = append(claimed.Started, scheduler.Started{
				Transition: tr, Call: tr.Task.Call(byID[id].ext), Due: byID[id].task.ReadyAt,
			})
		}
		for _, drop := range v.Finish {
			tr := byID[drop.Task].task.Drop(now, drop.Comment)
			trs = append(trs, tr)
			claimed.Dropped = append(claimed.Dropped, tr)
		}
	}
	// Every waiting row of a locked queue changes only under that lock: all of
	// these are taken.
	if _, err := t.apply(locked, trs); err != nil {
		return err
	}
	return t.saveRuntimes(locked)
}

func (t *tx) readHeads(locked []lockedQueue, now time.Time, room int) (map[scheduler.QueueID][]head, error) {
	n := func(l *lockedQueue) int64 {
		if l.queue.Limit == 0 {
			return int64(room)
		}
		// One more than may start, so that an expired head of a full queue is seen.
		return int64(min(room, max(l.queue.Limit-l.runtime.Running, 0)+1))
	}
	heads, err := gather(t, readHeads, batch{n: len(locked), columns: []column{
		col(locked, func(l *lockedQueue) int64 { return int64(l.queue.ID) }),
		col(locked, n),
		timeCol(locked, func(*lockedQueue) time.Time { return now }),
	}}, func(r *sql.Rows, h *head) error {
		err := scanTask(r, &h.task, &h.ext.Blocked, &h.ext.CallerIDName, &h.ext.ANI)
		h.ext.ID = h.task.ExtensionID
		return err
	})
	byQueue := map[scheduler.QueueID][]head{}
	for _, h := range heads {
		byQueue[h.task.QueueID] = append(byQueue[h.task.QueueID], h)
	}
	return byQueue, err
}
