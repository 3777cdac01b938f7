package store

import (
	"context"
	"database/sql"

	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// Locked after the queues and before the tasks, in the order of the keys. The
// limit stands in the row that counts, so that what the lock returns is what
// its last holder committed.
var lockLimits = statement{
	postgres: `SELECT l.client_id, l.extension_id, l.most, l.running FROM call_limits l
	WHERE (l.client_id, l.extension_id) IN (SELECT c::uuid, e FROM unnest($1::text[], $2::bigint[]) AS u(c, e))
	ORDER BY l.client_id, l.extension_id FOR NO KEY UPDATE`,
	sqlite: `SELECT client_id, extension_id, most, running FROM call_limits WHERE client_id = $1 AND extension_id = $2`,
}

var updateLimits = statement{
	postgres: `UPDATE call_limits l SET running = v.running
	FROM unnest($1::text[], $2::bigint[], $3::integer[]) AS v(client_id, extension_id, running)
	WHERE l.client_id = v.client_id::uuid AND l.extension_id = v.extension_id`,
	sqlite: `UPDATE call_limits SET running = $3 WHERE client_id = $1 AND extension_id = $2`,
}

// No claim or end of this client's is in flight behind it, and none begins.
const lockQueuesOf = `SELECT r.queue_id FROM queue_runtime r JOIN queues q ON q.id = r.queue_id
	WHERE q.client_id = $1 ORDER BY r.queue_id FOR NO KEY UPDATE OF r`

var countExecuted = statement{
	postgres: `SELECT count(*) FROM (SELECT DISTINCT u.queue_id, u.id FROM claims c
		CROSS JOIN LATERAL unnest(c.queue_ids, c.task_ids) AS u(queue_id, id)) n
		JOIN tasks t ON t.queue_id = n.queue_id AND t.id = n.id
	WHERE t.status = 'executed' AND t.client_id = $1 AND ($2 = 0 OR t.extension_id = $2)`,
	sqlite: `SELECT count(*) FROM tasks WHERE status = 'executed' AND client_id = $1 AND ($2 = 0 OR extension_id = $2)`,
}

// TableName of limits for gorm.
type callLimit scheduler.CallLimit

func (callLimit) TableName() string { return "call_limits" }

// CallLimits returns the limits of calls of a client and of its extensions,
// its own first.
func (s *Store) CallLimits(ctx context.Context, client scheduler.ClientID) ([]scheduler.CallLimit, error) {
	var rows []scheduler.CallLimit
	err := s.reads.WithContext(ctx).Model(&callLimit{}).Where("client_id = ?", client).Order("extension_id").Find(&rows).Error
	return rows, err
}

// QueueLimits returns the limits of a client's queues that have one, by id.
func (s *Store) QueueLimits(ctx context.Context, client scheduler.ClientID) ([]scheduler.QueueLimit, error) {
	var rows []scheduler.QueueLimit
	err := queues(s.reads.WithContext(ctx), client).Where("concurrent_limit > 0").Order("id").
		Joins("JOIN queue_runtime ON queue_id = id").Select("id AS queue_id, concurrent_limit AS most, running").Scan(&rows).Error
	return rows, err
}

// holdLimits locks the limits of some keys, where there are any, unless this
// transaction holds them already.
func (t *tx) holdLimits(keys map[scheduler.LimitKey]bool) error {
	var wanted []scheduler.LimitKey
	for key := range keys {
		if !t.asked[key] {
			wanted = append(wanted, key)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	rows, err := gather(t, lockLimits, keyBatch(wanted), func(r row, l *scheduler.CallLimit) error {
		return r.Scan(&l.ClientID, &l.ExtensionID, &l.Most, &l.Running)
	})
	if t.asked == nil {
		t.asked, t.limits = map[scheduler.LimitKey]bool{}, map[scheduler.LimitKey]scheduler.CallLimit{}
	}
	for _, key := range wanted {
		t.asked[key] = true
	}
	for _, l := range rows {
		t.limits[l.LimitKey] = l
	}
	return err
}

func keyBatch(keys []scheduler.LimitKey, more ...column) batch {
	return batch{n: len(keys), columns: append([]column{
		col(keys, func(k *scheduler.LimitKey) string { return string(k.ClientID) }),
		col(keys, func(k *scheduler.LimitKey) int64 { return int64(k.ExtensionID) }),
	}, more...)}
}

// limitsOfHeads locks what limits the first tasks of queues, and hands it to
// admission.
func (t *tx) limitsOfHeads(locked []lockedQueue, ready []scheduler.Ready) error {
	keys := map[scheduler.LimitKey]bool{}
	for i, l := range locked {
		if !l.limited || len(ready[i].Head) == 0 {
			continue
		}
		keys[scheduler.LimitKey{ClientID: l.queue.ClientID}] = true
		for _, h := range ready[i].Head {
			keys[scheduler.LimitKey{ClientID: l.queue.ClientID, ExtensionID: h.Extension}] = true
		}
	}
	if err := t.holdLimits(keys); err != nil {
		return err
	}
	at := map[scheduler.ClientID]int{} // the first of a client's queues tells admission of all
	for i, l := range locked {
		if _, known := at[l.queue.ClientID]; !known {
			at[l.queue.ClientID] = i
		}
	}
	for key, limit := range t.limits {
		r := &ready[at[key.ClientID]]
		r.Limits = append(r.Limits, limit)
	}
	return nil
}

// holdSlots locks the limits that transitions count for, of locked queues or
// without a task.
func (t *tx) holdSlots(locked []lockedQueue, trs []scheduler.Transition) error {
	limited := map[scheduler.QueueID]bool{}
	for _, l := range locked {
		if l.limited {
			limited[l.queue.ID] = true
		}
	}
	keys := map[scheduler.LimitKey]bool{}
	for i := range trs {
		if task := &trs[i].Task; trs[i].Slot != 0 && (trs[i].Callback || len(limited) > 0 && limited[task.QueueID]) {
			keys[scheduler.LimitKey{ClientID: task.ClientID}] = true
			keys[scheduler.LimitKey{ClientID: task.ClientID, ExtensionID: task.ExtensionID}] = true
		}
	}
	return t.holdLimits(keys)
}

// moveSlots counts what was written for the limits that are held.
func (t *tx) moveSlots(written []scheduler.Transition) error {
	if len(t.limits) == 0 {
		return nil
	}
	moved := map[scheduler.LimitKey]int{}
	for i := range written {
		task := &written[i].Task
		for _, ext := range []scheduler.ExtensionID{0, task.ExtensionID} {
			moved[scheduler.LimitKey{ClientID: task.ClientID, ExtensionID: ext}] += written[i].Slot
		}
	}
	var keys []scheduler.LimitKey
	for key, by := range moved {
		if l, limited := t.limits[key]; limited && by != 0 {
			l.Running += by
			t.limits[key] = l
			keys = append(keys, key)
		}
	}
	return t.exec(updateLimits, keyBatch(keys, col(keys, func(k *scheduler.LimitKey) int { return t.limits[*k].Running })))
}

// setLimit changes a limit of calls; 0 is none. The client's row is locked: see
// lockClient.
func (t *tx) setLimit(key scheduler.LimitKey, from, to int) error {
	var err error
	switch {
	case from == to:
	case to == 0:
		_, err = t.pool.ExecContext(t.ctx, `DELETE FROM call_limits WHERE client_id = $1 AND extension_id = $2`, key.ClientID, key.ExtensionID)
	case from != 0:
		_, err = t.pool.ExecContext(t.ctx, `UPDATE call_limits SET most = $3 WHERE client_id = $1 AND extension_id = $2`, key.ClientID, key.ExtensionID, to)
	default:
		err = t.beginLimit(scheduler.CallLimit{LimitKey: key, Most: to})
	}
	return err
}

// beginLimit counts what is under way and stores the limit. Claims and ends
// that did not know of it are over, and those to come wait for the commit.
func (t *tx) beginLimit(l scheduler.CallLimit) error {
	executed := countExecuted.sqlite
	if t.postgres != nil {
		executed = countExecuted.postgres
		if _, err := t.pool.ExecContext(t.ctx, lockQueuesOf, l.ClientID); err != nil {
			return err
		}
	}
	for _, count := range []string{executed, countCallbacks} {
		counts, err := collect(t, count, []any{l.ClientID, l.ExtensionID}, func(r *sql.Rows, n *int) error { return r.Scan(n) })
		if err != nil {
			return err
		}
		l.Running += counts[0]
	}
	return t.db.Create((*callLimit)(&l)).Error
}

// lockClient locks the row of a client, which whoever sets a limit holds; with
// share, which whoever makes a queue holds, so that no limit begins behind a
// queue that it does not see.
func (t *tx) lockClient(id scheduler.ClientID, strength string) error {
	_, err := one[scheduler.Client](t.db.Clauses(clause.Locking{Strength: strength}).Where("id = ?", id), "there is no client %s", id)
	return err
}
