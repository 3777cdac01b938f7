package store

import (
	"slices"

	"ringback/scheduler"
)

var knownExternalIDs = statement{
	postgres: `SELECT e.task_id, e.external_id FROM external_ids e JOIN unnest($1::bigint[], $2::text[]) AS v(queue_id, external_id)
		ON e.queue_id = v.queue_id AND e.external_id = v.external_id`,
	sqlite: `SELECT task_id, external_id FROM external_ids WHERE queue_id = $1 AND external_id = $2`,
}

// known returns the tasks of a locked queue, by their external ids, that have
// those of some other tasks. One that is forgotten has its ids, and no status.
func (t *tx) known(client scheduler.ClientID, queue scheduler.QueueID, tasks []scheduler.Task) (map[string]scheduler.Task, error) {
	type T = scheduler.Task
	holders, err := gather(t, knownExternalIDs, batch{n: len(tasks), columns: []column{
		col(tasks, func(*T) int64 { return int64(queue) }), col(tasks, func(t *T) string { return t.ExternalID }),
	}}, func(r row, has *T) error { return r.Scan(&has.ID, &has.ExternalID) })
	if err != nil {
		return nil, err
	}
	known := map[string]scheduler.Task{}
	ids := make([]scheduler.TaskID, len(holders))
	for i, has := range holders {
		ids[i], known[has.ExternalID] = has.ID, T{ID: has.ID, ClientID: client, QueueID: queue, ExternalID: has.ExternalID}
	}
	for some := range slices.Chunk(ids, insertSlice) {
		var rows []scheduler.Task
		if err := t.db.Where("client_id = ? AND queue_id = ? AND id IN ?", client, queue, some).Find(&rows).Error; err != nil {
			return nil, err
		}
		for _, task := range rows {
			known[task.ExternalID] = task
		}
	}
	return known, nil
}

// unknown returns the tasks whose external id neither a known one has nor one
// before them.
func unknown(tasks []scheduler.Task, known map[string]scheduler.Task) []scheduler.Task {
	var fresh []scheduler.Task
	before := map[string]bool{}
	for _, task := range tasks {
		if _, is := known[task.ExternalID]; task.ExternalID != "" && (is || before[task.ExternalID]) {
			continue
		}
		before[task.ExternalID] = true
		fresh = append(fresh, task)
	}
	return fresh
}

// inPlace returns for each task that was asked for the one that is stored: the
// next of the fresh ones, or the one that has its external id.
func inPlace(asked, fresh []scheduler.Task, known map[string]scheduler.Task) []scheduler.Task {
	if len(asked) == len(fresh) {
		return fresh
	}
	stored := make([]scheduler.Task, len(asked))
	for i, task := range asked {
		if has, is := known[task.ExternalID]; task.ExternalID != "" && is {
			stored[i] = has
			continue
		}
		stored[i], fresh = fresh[0], fresh[1:]
		if task.ExternalID != "" {
			known[task.ExternalID] = stored[i]
		}
	}
	return stored
}
