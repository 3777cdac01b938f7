package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringback/scheduler"
)

// On PostgreSQL ids come first, in order, so that the answer keeps the order
// of the request; SQLite's one writer makes them as it goes.
var takeTaskIDs = statement{postgres: `SELECT nextval('tasks_id_seq') FROM generate_series(1, ($1::bigint[])[1])`}

const lastTaskID = `SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'tasks'), 0)`

// Values of taskBatch, in its order. On PostgreSQL rows are copied: 26 arrays
// would be unnested into as many sets first.
var insertTasks = statement{
	postgres: `(id, extension_id, external_id, name, a_number, a_number_e164, b_number, b_number_e164,
		try_count, try_pause, try_count_caller, try_pause_caller, url_before, url_before_again, url_success, url_after,
		start_at, deadline, params, variables, status, ready_at, created_at, client_id, queue_id, requeued_from, updated_at)`,
	sqlite: `INSERT INTO tasks (id, extension_id, external_id, name, a_number, a_number_e164, b_number, b_number_e164,
		try_count, try_pause, try_count_caller, try_pause_caller, url_before, url_before_again, url_success, url_after,
		start_at, deadline, params, variables, status, ready_at, created_at, client_id, queue_id, requeued_from, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
		$23, $24, $25, $26, $27)`,
}

// A live task, or one finished in the last 30 days, keeps its external id.
var insertExternalIDs = statement{
	postgres: `INSERT INTO external_ids (task_id, queue_id, external_id, created_at)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::timestamptz[])
	ON CONFLICT DO NOTHING RETURNING task_id`,
	sqlite: `INSERT INTO external_ids (task_id, queue_id, external_id, created_at) VALUES ($1, $2, $3, $4)
	ON CONFLICT DO NOTHING`,
}

// AddTasks stores tasks of one queue, all or none, and returns them with their
// ids, in order. An external id that another task has is a Conflict that names
// that task.
func (s *Store) AddTasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task) ([]scheduler.Task, error) {
	return s.addTasks(ctx, client, queue, tasks, false)
}

// AddNewTasks stores those of some tasks whose external id no task of the queue
// has, and returns for each of the others, in its place, the one that has it. If
// that is forgotten, and its external id is not, it is a Conflict.
func (s *Store) AddNewTasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task) ([]scheduler.Task, error) {
	return s.addTasks(ctx, client, queue, tasks, true)
}

func (s *Store) addTasks(ctx context.Context, client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task, skip bool) ([]scheduler.Task, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	var added []scheduler.Task
	err := s.write(ctx, func(t *tx) (err error) {
		added, _, err = t.addTasks(client, queue, tasks, skip)
		if n := slices.IndexFunc(added, func(t scheduler.Task) bool { return t.Status == "" }); err == nil && n >= 0 {
			err = t.duplicate(added[n], fmt.Sprintf("Tasks[%d].ExternalID", n))
		}
		return err
	})
	if errors.Is(err, scheduler.ErrData) {
		// The schema refuses a queue of another client before we look at it.
		if _, gone := s.Queue(ctx, client, queue); gone != nil {
			err = gone
		}
	}
	if err != nil {
		return nil, err
	}
	return added, nil
}

// addTasks inserts tasks of one queue and returns them as they are stored, in
// order, and how many of them are new: with skip, those whose external id no task
// of the queue has.
func (t *tx) addTasks(client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task, skip bool) (added []scheduler.Task, n int, err error) {
	asked := slices.Clone(tasks)
	for i := range asked {
		asked[i].ClientID, asked[i].QueueID = client, queue
	}
	if err := t.introduce(asked); err != nil {
		return nil, 0, err
	}
	var known map[string]scheduler.Task
	fresh := asked
	if skip && slices.ContainsFunc(asked, func(t scheduler.Task) bool { return t.ExternalID != "" }) {
		// Which of them are known must not change any more.
		if _, err := t.lockQueue(client, queue); err != nil {
			return nil, 0, err
		}
		if known, err = t.known(client, queue, asked); err != nil {
			return nil, 0, err
		}
		fresh = unknown(asked, known)
	}
	n = len(fresh)
	if err := t.insertNew(client, queue, fresh); err != nil {
		return nil, 0, err
	}
	added = inPlace(asked, fresh, known)
	t.made = nil
	for i := range added {
		t.made = append(t.made, int64(added[i].ID))
	}
	slices.Sort(t.made)
	return added, n, nil
}

// insertNew inserts tasks and gives them their ids.
func (t *tx) insertNew(client scheduler.ClientID, queue scheduler.QueueID, added []scheduler.Task) error {
	if len(added) == 0 {
		return nil
	}
	if err := t.number(added); err != nil {
		return err
	}
	if err := t.insertTasks(added); err != nil {
		return err
	}
	// New rows are nobody's yet, so the queue's row may come after them: it
	// is held for the shortest time. External ids are others', too.
	locked, err := t.lockQueues([]scheduler.QueueID{queue})
	if err != nil {
		return err
	}
	if len(locked) == 0 || locked[0].queue.ClientID != client || !locked[0].queue.DeletedAt.IsZero() {
		return noQueue(queue)
	}
	if err := t.claimExternalIDs(added, true); err != nil {
		return err
	}
	t.changed(added...)
	t.saw(nil, firstAndLast(added))
	return t.saveRuntimes(locked)
}

// insertSlice is how many rows one statement inserts: as many as it does well
// within its time-out, however long they are.
const insertSlice = 5000

func (t *tx) insertTasks(tasks []scheduler.Task) error {
	for slice := range slices.Chunk(tasks, insertSlice) {
		b, err := taskBatch(slice)
		if err != nil {
			return err
		}
		if t.postgres != nil {
			err = t.load("tasks", insertTasks.postgres, b)
		} else {
			err = t.exec(insertTasks, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func noQueue(id scheduler.QueueID) error {
	return scheduler.Errorf(scheduler.NotFound, "there is no task scheduler %d", id)
}

// number gives the tasks their ids, ascending in their order.
func (t *tx) number(tasks []scheduler.Task) error {
	if t.postgres == nil {
		ids, err := collect(t, lastTaskID, nil, func(r *sql.Rows, id *scheduler.TaskID) error { return r.Scan(id) })
		if err != nil {
			return err
		}
		for i := range tasks {
			tasks[i].ID = ids[0] + scheduler.TaskID(i) + 1
		}
		return nil
	}
	many := []int64{int64(len(tasks))}
	ids, err := gather(t, takeTaskIDs, batch{n: len(tasks), columns: []column{col(many, same)}},
		func(r row, id *scheduler.TaskID) error { return r.Scan(id) })
	if err != nil {
		return err
	}
	for i := range tasks {
		tasks[i].ID = ids[i]
	}
	return nil
}

func taskBatch(tasks []scheduler.Task) (batch, error) {
	type T = scheduler.Task
	params, err := jsonCol(tasks, "{}", func(t *T) any { return &t.Params })
	if err != nil {
		return batch{}, err
	}
	variables, err := jsonCol(tasks, "{}", func(t *T) any { return &t.Variables })
	if err != nil {
		return batch{}, err
	}
	return batch{n: len(tasks), columns: []column{
		col(tasks, func(t *T) int64 { return int64(t.ID) }),
		col(tasks, func(t *T) int64 { return int64(t.ExtensionID) }),
		col(tasks, func(t *T) string { return t.ExternalID }),
		col(tasks, func(t *T) string { return t.Name }),
		col(tasks, func(t *T) string { return t.ANumber }),
		col(tasks, func(t *T) string { return t.ANumberE164 }),
		col(tasks, func(t *T) string { return t.BNumber }),
		col(tasks, func(t *T) string { return t.BNumberE164 }),
		col(tasks, func(t *T) int { return t.TryCount }),
		col(tasks, func(t *T) int { return t.TryPause }),
		col(tasks, func(t *T) int { return t.TryCountCaller }),
		col(tasks, func(t *T) int { return t.TryPauseCaller }),
		col(tasks, func(t *T) string { return t.URLBefore }),
		col(tasks, func(t *T) string { return t.URLBeforeAgain }),
		col(tasks, func(t *T) string { return t.URLSuccess }),
		col(tasks, func(t *T) string { return t.URLAfter }),
		timeCol(tasks, func(t *T) time.Time { return t.StartAt }),
		timeCol(tasks, func(t *T) time.Time { return t.Deadline }),
		params,
		variables,
		col(tasks, func(t *T) string { return string(t.Status) }),
		timeCol(tasks, func(t *T) time.Time { return t.ReadyAt }),
		timeCol(tasks, func(t *T) time.Time { return t.CreatedAt }),
		col(tasks, func(t *T) string { return string(t.ClientID) }),
		col(tasks, func(t *T) int64 { return int64(t.QueueID) }),
		col(tasks, func(t *T) int64 { return int64(t.RequeuedFrom) }),
		timeCol(tasks, func(t *T) time.Time { return t.CreatedAt }),
	}}, nil
}

// claimExternalIDs takes the external ids of the tasks that have one. many says
// that they are a batch, so that a fault names its place in it.
func (t *tx) claimExternalIDs(tasks []scheduler.Task, many bool) error {
	type named struct {
		*scheduler.Task
		place int
	}
	field := func(n named) string {
		if many {
			return fmt.Sprintf("Tasks[%d].ExternalID", n.place)
		}
		return "ExternalID"
	}
	all := make([]named, 0, len(tasks))
	for i := range tasks {
		if tasks[i].ExternalID != "" {
			all = append(all, named{&tasks[i], i})
		}
	}
	// In their own order, as everybody takes them.
	slices.SortStableFunc(all, func(a, b named) int { return cmp.Compare(a.ExternalID, b.ExternalID) })
	var faults scheduler.Faults
	for i := 1; i < len(all); i++ {
		if all[i].ExternalID == all[i-1].ExternalID {
			faults.Add(field(all[i]), "%q is given twice", all[i].ExternalID)
		}
	}
	if len(faults) > 0 {
		return faults.Err()
	}
	for slice := range slices.Chunk(all, insertSlice) {
		taken, err := t.matched(insertExternalIDs, batch{n: len(slice), columns: []column{
			col(slice, func(n *named) int64 { return int64(n.ID) }),
			col(slice, func(n *named) int64 { return int64(n.QueueID) }),
			col(slice, func(n *named) string { return n.ExternalID }),
			timeCol(slice, func(n *named) time.Time { return n.CreatedAt }),
		}})
		if err != nil {
			return err
		}
		for i, ok := range taken {
			if !ok {
				return t.duplicate(*slice[i].Task, field(slice[i]))
			}
		}
	}
	return nil
}

// duplicate tells which task has the external id already.
func (t *tx) duplicate(task scheduler.Task, field string) error {
	const holder = `SELECT task_id FROM external_ids WHERE queue_id = $1 AND external_id = $2`
	ids, err := collect(t, holder, []any{int64(task.QueueID), task.ExternalID},
		func(r *sql.Rows, id *scheduler.TaskID) error { return r.Scan(id) })
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		return fmt.Errorf("external id %q vanished", task.ExternalID)
	}
	var faults scheduler.Faults
	faults.Add(field, "%q belongs to task %d already", task.ExternalID, ids[0])
	return &scheduler.Error{Kind: scheduler.Conflict, Faults: faults}
}
