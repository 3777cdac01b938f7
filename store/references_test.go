package store_test

import (
	"fmt"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// On PostgreSQL these are triggers, on SQLite foreign keys: whatever statement
// is run, a task has the queue and the extension of its client.
func TestTheSchemaRefusesTasksOfOthers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		mine, other := newTenant(t, s, 0), newTenant(t, s, 0)
		task := mine.add(t, s, time.Now().UTC())[0]
		insert := func(client scheduler.ClientID, queue scheduler.QueueID, ext scheduler.ExtensionID) string {
			return fmt.Sprintf(`INSERT INTO tasks (client_id, queue_id, extension_id, a_number, b_number, try_count, try_pause, try_count_caller,
				try_pause_caller, start_at, status, result, created_at, updated_at)
				SELECT '%s', %d, %d, a_number, b_number, try_count, try_pause, try_count_caller,
				try_pause_caller, start_at, 'finished', 'failed', created_at, updated_at FROM tasks WHERE id = %d`, client, queue, ext, task.ID)
		}
		if err := store.Exec(s, insert(mine.ID, mine.queue.ID, mine.ext.ID)); err != nil {
			t.Fatalf("one of its own: %v", err)
		}
		claims := map[string]string{
			"the queue of another client is refused":          insert(mine.ID, other.queue.ID, mine.ext.ID),
			"the extension of another client is refused":      insert(mine.ID, mine.queue.ID, other.ext.ID),
			"a client that has neither is refused":            insert(other.ID, mine.queue.ID, mine.ext.ID),
			"a queue that is not there is refused":            insert(mine.ID, 1<<40, mine.ext.ID),
			"an extension that is not there is refused":       insert(mine.ID, mine.queue.ID, 1<<40),
			"a task is not moved to another client's queue":   fmt.Sprintf(`UPDATE tasks SET queue_id = %d`, other.queue.ID),
			"a task does not change to another's extension":   fmt.Sprintf(`UPDATE tasks SET extension_id = %d`, other.ext.ID),
			"a task is not given to another client":           fmt.Sprintf(`UPDATE tasks SET client_id = '%s'`, other.ID),
			"an extension with tasks stays":                   fmt.Sprintf(`DELETE FROM extensions WHERE id = %d`, mine.ext.ID),
			"an extension with tasks keeps its id":            fmt.Sprintf(`UPDATE extensions SET id = id + 1000 WHERE id = %d`, mine.ext.ID),
			"an extension with tasks is not given to another": fmt.Sprintf(`UPDATE extensions SET client_id = '%s' WHERE id = %d`, other.ID, mine.ext.ID),
			"a queue with tasks is not given to another":      fmt.Sprintf(`UPDATE queues SET client_id = '%s' WHERE id = %d`, other.ID, mine.queue.ID),
		}
		for claim, statement := range claims {
			if err := store.Exec(s, statement); !store.Refuses(err) {
				t.Errorf("%s: got %v", claim, err)
			}
		}
		// What else has rows of a queue is not in the way of this one.
		if err := store.Exec(s, `DELETE FROM queue_runtime`); err != nil {
			t.Fatal(err)
		}
		if err := store.Exec(s, fmt.Sprintf(`DELETE FROM queues WHERE id = %d`, mine.queue.ID)); !store.Refuses(err) {
			t.Errorf("a queue with tasks stays: got %v", err)
		}
	})
}
