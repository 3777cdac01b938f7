package store_test

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// follower is who listens to a queue: what it was told, by the changes alone.
type follower struct {
	seq   int64
	hold  scheduler.Gate
	tasks map[scheduler.TaskID]scheduler.Task
}

// follow reads the changes since the last step. Every row that is not as it
// was then is in them, and what holds the queue is what they said last.
func (k *walk) follow(rt *rapid.T, queue scheduler.Queue, rows []scheduler.Task) {
	changes, err := k.s.Changes(context.Background(), k.cl.ID, queue.ID, k.seq, 1000)
	if err != nil {
		rt.Fatal(err)
	}
	told := map[scheduler.TaskID]bool{}
	for _, c := range changes {
		if c.Seq != k.seq+1 {
			rt.Fatalf("change %d follows %d", c.Seq, k.seq)
		}
		k.seq = c.Seq
		if !slices.IsSorted(c.Tasks) {
			rt.Fatalf("the tasks of a change are %v", c.Tasks)
		}
		for _, id := range c.Tasks {
			told[id] = true
		}
		if c.Hold != nil {
			k.hold = c.Hold.Gate
		}
	}
	if k.tasks == nil {
		k.tasks = map[scheduler.TaskID]scheduler.Task{}
	}
	for _, row := range rows {
		if was, known := k.tasks[row.ID]; (!known || !reflect.DeepEqual(was, row)) && !told[row.ID] {
			rt.Fatalf("task %d changed untold, from %+v to %+v", row.ID, was, row)
		}
		delete(told, row.ID)
		k.tasks[row.ID] = row
	}
	if len(told) > 0 {
		rt.Fatalf("told of tasks that are not there: %v", told)
	}
	var holds scheduler.Gate
	if !queue.On {
		holds = scheduler.GateOff
	}
	if k.hold != holds {
		rt.Fatalf("told that %q holds, and it is %q", k.hold, holds)
	}
}

// Whoever follows the changes of a queue while everybody writes sees each
// number in its turn: none becomes visible after a later one.
func TestChangesAreNumberedAsTheyCommit(t *testing.T) {
	url := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, url), 5)
	queues := []scheduler.QueueID{w.queue.ID, storetest.Queue(t, w.s, w.cl, 5).ID}
	for _, queue := range queues {
		must(t, w.s.Follow(context.Background(), w.cl.ID, queue))
	}
	owners := []scheduler.Owner{w.join("n1"), w.join("n2"), w.join("n3")}
	var writing, reading sync.WaitGroup
	over := make(chan struct{})
	for _, queue := range queues {
		reading.Go(func() {
			var last int64
			for done := false; ; {
				changes, err := w.s.Changes(context.Background(), w.cl.ID, queue, last, 50)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range changes {
					if c.Seq != last+1 {
						t.Errorf("queue %d: change %d was seen after %d", queue, c.Seq, last)
						return
					}
					last = c.Seq
				}
				if len(changes) > 0 {
					continue
				}
				if done {
					break
				}
				select {
				case <-over:
					done = true
				default:
				}
			}
			if heads, err := w.s.Heads(context.Background(), queues); err != nil || heads[queue] != last || last < 100 {
				t.Errorf("queue %d: %d changes were seen of %d, %v", queue, last, heads[queue], err)
			}
		})
	}
	for i, owner := range owners {
		writing.Go(func() { w.mix(rand.New(rand.NewPCG(11, uint64(i))), queues, owner) })
	}
	writing.Wait()
	close(over)
	reading.Wait()
}

// TestChangesTenancy: nobody reads another's changes.
func TestChangesTenancy(t *testing.T) {
	each(t, 0, func(w *world) {
		other := storetest.Client(w.T, w.s)
		ctx := context.Background()
		must(w.T, w.s.Follow(ctx, other.ID, w.queue.ID))
		w.addDue(2)
		if n := store.Count(w.s, "queue_changes"); n != 0 || w.runtime().Changes != 1 {
			w.Errorf("nobody of its client listens, and %d changes are kept of %d", n, w.runtime().Changes)
		}
		must(w.T, w.s.Follow(ctx, w.cl.ID, w.queue.ID))
		w.addDue(3)
		if own, err := w.s.Changes(ctx, w.cl.ID, w.queue.ID, 0, 10); err != nil || len(own) != 1 || len(own[0].Tasks) != 3 || own[0].Seq != 2 {
			w.Errorf("its owner reads %v, %v", own, err)
		}
		if foreign, err := w.s.Changes(ctx, other.ID, w.queue.ID, 0, 10); err != nil || len(foreign) != 0 {
			w.Errorf("another client reads %v, %v", foreign, err)
		}
	})
}
