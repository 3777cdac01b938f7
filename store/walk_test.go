package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// A random walk of every writer of a queue: after each step when it wakes, and
// how much of it runs, are what a look at all of its tasks says.
func TestWakeAgreesWithALookAtEveryTask(t *testing.T) {
	each(t, 2, func(w *world) {
		owner := w.join("n1")
		rapid.Check(w.T, func(rt *rapid.T) {
			w.queue = storetest.Queue(w.T, w.s, w.cl, rapid.IntRange(0, 3).Draw(rt, "limit"))
			walk := &walk{world: w, owner: owner}
			must(w.T, w.s.Follow(context.Background(), w.cl.ID, w.queue.ID))
			rt.Repeat(map[string]func(*rapid.T){
				"add":     walk.add,
				"claim":   walk.claim,
				"end":     walk.end,
				"cancel":  walk.cancel,
				"move":    walk.move,
				"setting": walk.setting,
				"tidy":    walk.tidy,
				"":        walk.check,
			})
		})
	})
}

// walk is one random walk on a queue of its own.
type walk struct {
	*world
	owner   scheduler.Owner
	calls   []scheduler.Task // executed
	waiting []scheduler.TaskID
	follower
}

func (k *walk) add(rt *rapid.T) {
	task := k.draft(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "due")) * time.Second)
	if rapid.Bool().Draw(rt, "with a deadline") {
		task.Deadline = task.StartAt.Add(time.Minute)
	}
	for _, added := range k.world.add(task) {
		k.waiting = append(k.waiting, added.ID)
	}
}

func (k *walk) claim(rt *rapid.T) {
	k.now = k.now.Add(time.Duration(rapid.IntRange(0, 30).Draw(rt, "seconds")) * time.Second)
	for _, s := range k.world.claim(k.owner, rapid.IntRange(1, 4).Draw(rt, "room")).Started {
		if s.Call.Queue == k.queue.ID {
			k.calls = append(k.calls, s.Transition.Task)
		}
	}
}

func (k *walk) end(rt *rapid.T) {
	if len(k.calls) == 0 {
		return
	}
	task := k.calls[0]
	k.calls = k.calls[1:]
	ends := map[string]scheduler.Transition{
		"connected": task.End(k.connected(), k.now), "busy": task.End(k.busy(), k.now),
		"release": task.Release(k.now), "lose": task.Lose(k.now),
	}
	how := rapid.SampledFrom([]string{"connected", "busy", "release", "lose"}).Draw(rt, "how")
	if k.apply(k.owner, ends[how]) != 1 {
		rt.Fatalf("%s of task %d was overtaken", how, task.ID)
	}
}

func (k *walk) cancel(rt *rapid.T) {
	if len(k.waiting) == 0 {
		return
	}
	id := rapid.SampledFrom(k.waiting).Draw(rt, "task")
	err := k.s.CancelTask(context.Background(), k.cl.ID, k.queue.ID, id, rapid.Bool().Draw(rt, "hang up"), k.now)
	if err != nil && scheduler.KindOf(err) != scheduler.Conflict {
		rt.Fatal(err)
	}
}

func (k *walk) move(rt *rapid.T) {
	if len(k.waiting) == 0 {
		return
	}
	start := k.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(rt, "start")) * time.Second)
	id := rapid.SampledFrom(k.waiting).Draw(rt, "task")
	_, err := k.s.UpdateTask(context.Background(), k.cl.ID, k.queue.ID, id, func(task *scheduler.Task) error {
		task.StartAt = start
		return nil
	})
	if err != nil && scheduler.KindOf(err) != scheduler.Conflict {
		rt.Fatal(err)
	}
}

func (k *walk) setting(rt *rapid.T) {
	on, limit := rapid.Bool().Draw(rt, "on"), rapid.IntRange(0, 3).Draw(rt, "limit")
	_, err := k.s.UpdateQueue(context.Background(), k.cl.ID, k.queue.ID, func(q *scheduler.Queue) error {
		q.On, q.Limit = on, limit
		return nil
	})
	if err != nil {
		rt.Fatal(err)
	}
}

func (k *walk) tidy(rt *rapid.T) {
	if _, err := k.s.Tidy(context.Background(), k.now); err != nil {
		rt.Fatal(err)
	}
}

func (k *walk) check(rt *rapid.T) {
	ctx := context.Background()
	queue, err := k.s.Queue(ctx, k.cl.ID, k.queue.ID)
	if err != nil {
		rt.Fatal(err)
	}
	tasks, err := k.s.Tasks(ctx, k.cl.ID, k.queue.ID, scheduler.TaskFilter{}, scheduler.Page{Size: 1000})
	if err != nil {
		rt.Fatal(err)
	}
	running, first := 0, time.Time{}
	for _, task := range tasks.Rows {
		switch {
		case task.Status == scheduler.Executed:
			running++
		case task.Status.Waiting() && (first.IsZero() || task.ReadyAt.Before(first)):
			first = task.ReadyAt
		}
	}
	if !queue.On || queue.Limit > 0 && running >= queue.Limit {
		first = time.Time{}
	}
	if r := k.runtime(); r.Running != running || !r.WakeAt.Equal(first) {
		rt.Fatalf("running %d, wakes at %s; its tasks say %d and %s", r.Running, r.WakeAt, running, first)
	}
	k.follow(rt, queue, tasks.Rows)
}

// Every writer at once, on PostgreSQL: whatever the mix, no two wait for each
// other, and the counts come out right.
func TestWritersNeverDeadlock(t *testing.T) {
	url := storetest.PostgresURL(t)
	w := newWorld(t, storetest.Open(t, url), 5)
	queues := []scheduler.QueueID{w.queue.ID}
	for range 3 {
		queues = append(queues, storetest.Queue(t, w.s, w.cl, 5).ID)
	}
	owners := []scheduler.Owner{w.join("n1"), w.join("n2"), w.join("n3")}
	var mixing sync.WaitGroup
	for i, owner := range owners {
		mixing.Go(func() { w.mix(rand.New(rand.NewPCG(7, uint64(i))), queues, owner) })
	}
	mixing.Wait()

	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var deadlocks, wrong int
	err = conn.QueryRow(ctx, `SELECT deadlocks, (SELECT count(*) FROM queue_runtime r WHERE running <>
		(SELECT count(*) FROM tasks t WHERE t.queue_id = r.queue_id AND status = 'executed'))
		FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks, &wrong)
	if err != nil || deadlocks != 0 || wrong != 0 {
		t.Errorf("%d deadlocks, %d queues with a wrong count: %v", deadlocks, wrong, err)
	}
}

// mix writes at random for a while, as a node and as the API.
func (w *world) mix(rnd *rand.Rand, queues []scheduler.QueueID, me scheduler.Owner) {
	ctx := context.Background()
	var calls []scheduler.Task
	for range 150 {
		var err error
		switch queue := queues[rnd.IntN(len(queues))]; rnd.IntN(8) {
		case 0, 1:
			_, err = w.s.AddTasks(ctx, w.cl.ID, queue, []scheduler.Task{w.draft(0), w.draft(0), w.draft(time.Hour)})
		case 2, 3:
			var claimed scheduler.Claimed
			claimed, err = w.s.Claim(ctx, me, w.now, 1+rnd.IntN(9))
			for _, s := range claimed.Started {
				calls = append(calls, s.Transition.Task)
			}
		case 4, 5:
			var trs []scheduler.Transition
			for _, task := range calls {
				trs = append(trs, []scheduler.Transition{task.End(w.busy(), w.now), task.Release(w.now), task.Lose(w.now)}[rnd.IntN(3)])
			}
			rnd.Shuffle(len(trs), func(i, j int) { trs[i], trs[j] = trs[j], trs[i] })
			calls = nil
			_, err = w.s.Apply(ctx, me, trs)
		case 6:
			var tasks scheduler.List[scheduler.Task]
			tasks, err = w.s.Tasks(ctx, w.cl.ID, queue, scheduler.TaskFilter{}, scheduler.Page{Size: 20, Descending: true})
			for _, task := range tasks.Rows {
				if e := w.s.CancelTask(ctx, w.cl.ID, queue, task.ID, true, w.now); e != nil && err == nil {
					err = e
				}
			}
		case 7:
			_, err = w.s.UpdateQueue(ctx, w.cl.ID, queue, func(q *scheduler.Queue) error { q.On, q.Limit = rnd.IntN(3) > 0, 1+rnd.IntN(9); return nil })
			if err == nil {
				_, err = w.s.UpdateExtension(ctx, w.cl.ID, w.ext.ID, func(e *scheduler.Extension) error { e.Limit = rnd.IntN(4); return nil })
			}
			if err == nil {
				err = w.s.Renew(ctx, me, w.now.Add(lease))
			}
		}
		if err != nil && !errors.Is(err, scheduler.ErrFenced) && scheduler.KindOf(err) != scheduler.Conflict {
			w.Errorf("as %s: %v", me.Node, err)
			return
		}
	}
}
