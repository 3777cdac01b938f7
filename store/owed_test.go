package store_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// owedAsStored returns what does not fit between the tasks of the queue and the
// events that are stored of them.
func (w *world) owedAsStored() (faults []string) {
	w.Helper()
	events := map[scheduler.TaskID][]string{}
	for _, d := range w.outbox() {
		events[d.TaskID] = append(events[d.TaskID], fmt.Sprintf("%s %d", d.Kind, d.Attempt))
	}
	tasks, err := store.TasksOf(w.s, w.queue.ID)
	must(w.T, err)
	for _, task := range tasks {
		var want []string
		for attempt := 1; attempt <= task.Attempts; attempt++ {
			kind := scheduler.EventBeforeAgain
			if attempt == 1 {
				kind = scheduler.EventBefore
			}
			want = append(want, fmt.Sprintf("%s %d", kind, attempt))
		}
		if !task.BridgedAt.IsZero() {
			want = append(want, fmt.Sprintf("%s %d", scheduler.EventSuccess, task.Attempts))
		}
		if task.Status == scheduler.Finished {
			want = append(want, fmt.Sprintf("%s %d", scheduler.EventAfter, task.Attempts))
		}
		if got := events[task.ID]; !slices.Equal(got, want) {
			faults = append(faults, fmt.Sprintf("task %d is %s after %d attempts, bridged %v, and owes %q", task.ID, task.Status, task.Attempts, !task.BridgedAt.IsZero(), got))
		}
	}
	return faults
}

// live takes the tasks through everything that owes an event: started, failed,
// started again, connected, ended; one is cancelled. Each step is done again
// until it succeeds, as a node does; after each failure check is called.
func (w *world) live(owner scheduler.Owner, failed func(error)) {
	w.Helper()
	var claimed scheduler.Claimed
	again := func(step func() error) {
		w.Helper()
		for range 50 {
			err := step()
			if err == nil {
				return
			}
			failed(err)
		}
		w.Fatal("a step fails for ever")
	}
	started := map[scheduler.TaskID]scheduler.Task{}
	claim := func(n int) []scheduler.Task {
		clear(started)
		for len(started) < n {
			again(func() (err error) {
				claimed, err = w.s.Claim(w.Context(), owner, w.now, n)
				return err
			})
			for _, c := range claimed.Started {
				started[c.Transition.Task.ID] = c.Transition.Task
			}
			if len(claimed.Started) == 0 { // the answer to the commit was lost
				tasks, err := store.TasksOf(w.s, w.queue.ID)
				must(w.T, err)
				for _, task := range tasks {
					if task.Status == scheduler.Executed {
						started[task.ID] = task
					}
				}
			}
		}
		var list []scheduler.Task
		for _, task := range started {
			list = append(list, task)
		}
		slices.SortFunc(list, func(a, b scheduler.Task) int { return int(a.ID - b.ID) })
		return list
	}
	apply := func(trs []scheduler.Transition) {
		again(func() error {
			_, err := w.s.Apply(w.Context(), owner, trs)
			return err
		})
	}
	busy := scheduler.Outcome{EndedAt: w.now, Legs: []scheduler.Leg{{
		Role: scheduler.LegA, Try: 1, StartedAt: w.now, EndedAt: w.now, Disposition: scheduler.UserBusy, Q850: 17,
	}}}
	var trs []scheduler.Transition
	for _, task := range claim(3) {
		trs = append(trs, task.End(busy, w.now))
	}
	apply(trs)
	w.now = w.now.Add(2 * time.Minute)
	trs = nil
	for _, task := range claim(3) {
		trs = append(trs, task.Connect(w.now))
	}
	apply(trs)
	var ends []scheduler.Transition
	for _, tr := range trs {
		ends = append(ends, tr.Task.End(w.connected(), w.now))
	}
	apply(ends)
}

func (w *world) hooked(n int) {
	w.Helper()
	var tasks []scheduler.Task
	for range n {
		task := w.draft(0)
		task.URLBefore, task.URLBeforeAgain, task.URLSuccess, task.URLAfter = hookA, hookA, hookB, hookA
		tasks = append(tasks, task)
	}
	w.add(tasks...)
}

// Whatever statement of whatever transaction does not come through, or whose
// answer is lost, an event is stored exactly when what it tells is.
func TestAnEventIsStoredExactlyWhenItIsTrue(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		proxy := storetest.NewProxy(t, url)
		behind := storetest.Open(t, proxy.URL())
		steps, faults, stride := 0, 0, 6
		if os.Getenv("RINGBACK_SOAK") != "" { // make soak
			stride = 1
		}
		for step := 1; ; step += stride {
			w := newWorld(t, behind, 0)
			w.hooked(3)
			owner := w.join(fmt.Sprintf("node %d", step))
			var n, cut atomic.Int64
			proxy.Look(func(s storetest.Statement) storetest.Fate {
				if len(s.Before) == 0 && !strings.EqualFold(s.SQL, "begin") || n.Add(1) != int64(step) {
					return storetest.Pass
				}
				cut.Add(1)
				return storetest.Swallow
			})
			w.live(owner, func(error) {
				proxy.Look(nil)
				faults++
				for _, fault := range w.owedAsStored() {
					t.Errorf("statement %d was lost: %s", step, fault)
				}
			})
			proxy.Look(nil)
			for _, fault := range w.owedAsStored() {
				t.Errorf("after statement %d was lost and all was done again: %s", step, fault)
			}
			if cut.Load() == 0 {
				break
			}
			steps++
		}
		t.Logf("%d statements, %d of them failed", steps, faults)
		if steps*stride < 40 || faults < steps/2 {
			t.Errorf("%d statements were lost, %d failed", steps, faults)
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		s := storetest.Open(t, storetest.SQLiteURL(t))
		for _, at := range []string{
			"UPDATE ON tasks", "INSERT ON attempts", "INSERT ON deliveries", "UPDATE ON queue_runtime",
		} {
			w := newWorld(t, s, 0)
			w.hooked(3)
			owner := w.join("node at " + at)
			must(t, store.Exec(s, fmt.Sprintf("CREATE TRIGGER fault AFTER %s BEGIN SELECT RAISE(ROLLBACK, 'a fault'); END", at)))
			fails := 0
			w.live(owner, func(error) {
				fails++
				for _, fault := range w.owedAsStored() {
					t.Errorf("%s failed: %s", at, fault)
				}
				must(t, store.Exec(s, "DROP TRIGGER IF EXISTS fault"))
			})
			if fails == 0 {
				t.Errorf("%s never failed", at)
			}
			for _, fault := range w.owedAsStored() {
				t.Errorf("after %s failed and all was done again: %s", at, fault)
			}
		}
	})
}
