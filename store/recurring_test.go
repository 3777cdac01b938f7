package store_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// recurring stores a task that runs every hour from now on.
func (w *world) recurring(change func(*scheduler.AccountTask)) scheduler.AccountTask {
	w.Helper()
	task := scheduler.AccountTask{
		ID: scheduler.AccountTaskID(scheduler.NewGUID(w.now)), AccountID: storetest.MasterID, ClientID: w.cl.ID, Job: scheduler.JobPostTasks,
		Enabled: true, Frequency: scheduler.Hourly, StartAt: w.now, Parameters: "{}", ContentType: "application/json",
		CreatedAt: w.now, ModifiedAt: w.now, ModifiedBy: "admin",
	}
	if change != nil {
		change(&task)
	}
	task, missed := task.Schedule(w.now, time.UTC)
	if err := w.s.AddAccountTask(w.Context(), task, missed); err != nil {
		w.Fatal(err)
	}
	return task
}

// claimRun claims a run, after a while.
func (w *world) claimRun(owner scheduler.Owner, after time.Duration) (scheduler.RunWork, bool) {
	w.Helper()
	work, ok, err := w.s.ClaimRun(w.Context(), owner, w.now.Add(after))
	if err != nil {
		w.Fatal(err)
	}
	return work, ok
}

func (w *world) finishRun(work scheduler.RunWork, o scheduler.RunOutcome) bool {
	w.Helper()
	ok, err := w.s.FinishRun(w.Context(), work, o, w.now.Add(time.Second))
	if err != nil {
		w.Fatal(err)
	}
	return ok
}

// runStates are the states of the runs of a task, in order.
func (w *world) runStates(id scheduler.AccountTaskID) []scheduler.RunState {
	w.Helper()
	found, err := w.s.AccountTaskRuns(w.Context(), id, firstPage)
	if err != nil {
		w.Fatal(err)
	}
	var states []scheduler.RunState
	for _, r := range found.Rows {
		states = append(states, r.State)
	}
	return states
}

func (w *world) accountTask(id scheduler.AccountTaskID) scheduler.AccountTask {
	w.Helper()
	task, err := w.s.AccountTask(w.Context(), storetest.MasterID, id)
	if err != nil {
		w.Fatal(err)
	}
	return task
}

func TestARunIsDoneOnce(t *testing.T) {
	each(t, 0, func(w *world) {
		n1, n2 := w.join("n1"), w.join("n2")
		task := w.recurring(nil)
		first, ok := w.claimRun(n1, 0)
		if !ok || first.Task.ID != task.ID || !first.Run.ScheduledFor.Equal(w.now) || first.Client.ID != w.cl.ID {
			w.Fatalf("claimed %v: %+v", ok, first)
		}
		if _, ok := w.claimRun(n2, time.Second); ok {
			w.Fatal("two nodes have the same run")
		}
		if is := w.accountTask(task.ID); is.Status() != scheduler.AccountTaskRunning || !is.NextAt.Equal(w.now.Add(time.Hour)) || is.LastRunBy != "scheduler" {
			w.Errorf("while it runs it is %s, next %s, run by %q", is.Status(), is.NextAt, is.LastRunBy)
		}
		// Kept, it stays with its node; silent, it is taken over.
		if ok, err := w.s.KeepRun(w.Context(), first.Run, w.now.Add(2*scheduler.RunLease)); !ok || err != nil {
			w.Fatalf("kept %v, %v", ok, err)
		}
		if _, ok := w.claimRun(n2, scheduler.RunLease); ok {
			w.Fatal("a run that is kept was taken over")
		}
		second, ok := w.claimRun(n2, 2*scheduler.RunLease)
		if !ok || second.Run.ID != first.Run.ID || second.Run.Tries != 2 {
			w.Fatalf("taken over %v: %+v", ok, second.Run)
		}
		if ok, err := w.s.KeepRun(w.Context(), first.Run, w.now); ok || err != nil {
			w.Errorf("who lost the run keeps it: %v, %v", ok, err)
		}
		outcome := scheduler.RunOutcome{State: scheduler.RunSucceeded, Queue: w.queue.ID, Tasks: []scheduler.Task{w.draft(0)}}
		if w.finishRun(first, outcome) {
			w.Error("who lost the run finished it")
		}
		if !w.finishRun(second, outcome) {
			w.Error("who has the run cannot finish it")
		}
		if w.finishRun(second, outcome) {
			w.Error("a run was finished twice")
		}
		tasks, err := w.s.Tasks(w.Context(), w.cl.ID, w.queue.ID, scheduler.TaskFilter{}, firstPage)
		if err != nil || len(tasks.Rows) != 1 {
			w.Errorf("%d tasks were posted, %v", len(tasks.Rows), err)
		}
		if is := w.accountTask(task.ID); is.Status() != scheduler.AccountTaskActive || !slices.Equal(w.runStates(task.ID), []scheduler.RunState{scheduler.RunSucceeded}) {
			w.Errorf("it ended %s with %v", is.Status(), w.runStates(task.ID))
		}
	})
}

// lapses wants a run to be given up after a while, and ends it so.
func (w *world) lapses(owner scheduler.Owner, after time.Duration, as scheduler.RunState) {
	w.Helper()
	work, ok := w.claimRun(owner, after)
	if !ok || work.Lapsed != as || work.Detail == "" {
		w.Fatalf("claimed %v: %+v, want one that is %s", ok, work, as)
	}
	w.finishRun(work, scheduler.RunOutcome{State: work.Lapsed, Detail: work.Detail})
}

func TestRunsThatAreNotDone(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		task := w.recurring(nil)
		if _, ok := w.claimRun(n1, 0); !ok {
			w.Fatal("nothing was due")
		}
		work, _ := w.s.AccountTaskRuns(w.Context(), task.ID, firstPage)
		if _, err := w.s.KeepRun(w.Context(), work.Rows[0], w.now.Add(90*time.Minute)); err != nil {
			w.Fatal(err)
		}
		skipped, ok := w.claimRun(n1, time.Hour)
		if want := []scheduler.RunEnd{{Job: task.Job, State: scheduler.RunSkipped, Times: 1}}; ok || !slices.Equal(skipped.Passed, want) {
			w.Fatalf("beside the one before one began, %v, and passed %v", ok, skipped.Passed)
		}
		// Nobody is there for long: the one that was begun is too old, and so are others.
		w.lapses(n1, 6*time.Hour+time.Minute, scheduler.RunMissed)
		again, ok := w.claimRun(n1, 6*time.Hour+time.Minute)
		if want := []scheduler.RunEnd{{Job: task.Job, State: scheduler.RunMissed, Times: 4}}; !slices.Equal(again.Passed, want) {
			w.Errorf("passed %v, want %v", again.Passed, want)
		}
		if !ok || !again.Run.ScheduledFor.Equal(w.now.Add(6*time.Hour)) {
			w.Fatalf("after six hours %v: %+v", ok, again.Run)
		}
		want := []scheduler.RunState{scheduler.RunMissed, scheduler.RunSkipped, scheduler.RunMissed, scheduler.RunRunning}
		if got := w.runStates(task.ID); !slices.Equal(got, want) {
			w.Errorf("the runs are %v, want %v", got, want)
		}
	})
}

func TestARunThatKillsItsNodesIsGivenUp(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		task := w.recurring(nil)
		for i := range scheduler.RunTries {
			if _, ok := w.claimRun(n1, time.Duration(i)*scheduler.RunLease); !ok {
				w.Fatalf("try %d is not made", i)
			}
		}
		w.lapses(n1, scheduler.RunTries*scheduler.RunLease, scheduler.RunFailed)
		if _, ok := w.claimRun(n1, scheduler.RunTries*scheduler.RunLease); ok {
			w.Error("it is tried for ever")
		}
		if is := w.accountTask(task.ID); is.Status() != scheduler.AccountTaskFailed {
			w.Errorf("it is %s", is.Status())
		}
	})
}

func TestWhatANodeLeftIsDoneAtOnce(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		w.recurring(nil)
		former, _ := w.claimRun(n1, 0)
		if err := w.s.FreeRuns(w.Context(), n1); err != nil {
			w.Fatal(err)
		}
		if _, ok := w.claimRun(n1, time.Second); ok {
			w.Fatal("a node took its own run from itself")
		}
		next := scheduler.Owner{Node: "n1", Epoch: n1.Epoch + 1}
		if err := w.s.FreeRuns(w.Context(), next); err != nil {
			w.Fatal(err)
		}
		if work, ok := w.claimRun(next, time.Second); !ok || work.Run.ID != former.Run.ID {
			w.Errorf("the next life of the node has %v: %+v", ok, work.Run)
		}
	})
}

func TestRunNow(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		task := w.recurring(func(t *scheduler.AccountTask) { t.Enabled = false })
		if _, ok := w.claimRun(n1, time.Minute); ok {
			w.Fatal("a disabled task runs")
		}
		if _, err := w.s.RunAccountTask(w.Context(), storetest.MasterID, task.ID, "anna", w.now); err != nil {
			w.Fatal(err)
		}
		if _, err := w.s.RunAccountTask(w.Context(), storetest.MasterID, task.ID, "anna", w.now); scheduler.KindOf(err) != scheduler.Conflict {
			w.Errorf("run twice: %v", err)
		}
		work, ok := w.claimRun(n1, 2*time.Hour) // it was asked for: it is never too late
		if !ok || work.Run.RunBy != "anna" {
			w.Fatalf("%v: %+v", ok, work.Run)
		}
		w.finishRun(work, scheduler.RunOutcome{State: scheduler.RunSucceeded})
		if is := w.accountTask(task.ID); is.Status() != scheduler.AccountTaskDisabled || is.LastRunBy != "anna" || !is.NextAt.IsZero() {
			w.Errorf("then it is %s, run by %q, next %s", is.Status(), is.LastRunBy, is.NextAt)
		}
		if err := w.s.DeleteAccountTask(w.Context(), storetest.MasterID, task.ID); err != nil {
			w.Fatal(err)
		}
		if _, err := w.s.AccountTask(w.Context(), storetest.MasterID, task.ID); scheduler.KindOf(err) != scheduler.NotFound {
			w.Errorf("deleted: %v", err)
		}
	})
}

func TestARunIsAllOrNothing(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		task := w.recurring(func(t *scheduler.AccountTask) {
			t.Notification, t.NotificationURL = scheduler.NotifyWebhook, "https://hooks.example/r"
		})
		work, _ := w.claimRun(n1, 0)
		off := false
		foreign := storetest.Queue(w.T, w.s, storetest.Client(w.T, w.s), 0)
		bad := scheduler.RunOutcome{State: scheduler.RunSucceeded, Queue: foreign.ID, Switch: &off}
		if _, err := w.s.FinishRun(w.Context(), work, bad, w.now); scheduler.KindOf(err) != scheduler.NotFound {
			w.Fatalf("a foreign queue: %v", err)
		}
		bad.Switch, bad.Tasks = nil, []scheduler.Task{w.draft(0)}
		if _, err := w.s.FinishRun(w.Context(), work, bad, w.now); scheduler.KindOf(err) != scheduler.NotFound {
			w.Fatalf("tasks for a foreign queue: %v", err)
		}
		if is := w.accountTask(task.ID); is.Status() != scheduler.AccountTaskRunning {
			w.Fatalf("a run that did nothing is %s", is.Status())
		}
		if deliveries, err := w.s.Deliveries(w.Context(), w.cl.ID, webhooks.Filter{}, firstPage); err != nil || len(deliveries.Rows) != 0 {
			w.Fatalf("it told %d, %v", len(deliveries.Rows), err)
		}
		mail := func(scheduler.AccountTaskRun) scheduler.Mail { return scheduler.Mail{MessageID: "m"} }
		work.Account.Email = "somebody@example.com" // who did not ask for an e-mail
		w.finishRun(work, scheduler.RunOutcome{State: scheduler.RunSucceeded, Detail: "switched off", Queue: w.queue.ID, Switch: &off, Report: json.RawMessage(`{"n":1}`), Mail: mail})
		if n := store.Count(w.s, "mails"); n != 0 {
			w.Errorf("%d e-mails are owed", n)
		}
		if q, err := w.s.Queue(w.Context(), w.cl.ID, w.queue.ID); err != nil || q.On {
			w.Errorf("the queue is on: %v, %v", q.On, err)
		}
		deliveries, err := w.s.Deliveries(w.Context(), w.cl.ID, webhooks.Filter{}, firstPage)
		if err != nil || len(deliveries.Rows) != 1 {
			w.Fatalf("it told %d, %v", len(deliveries.Rows), err)
		}
		var told struct {
			ID, Type string
			Data     struct {
				Name, Result, Detail string
				AccountTaskID        scheduler.AccountTaskID `json:"account_task_id"`
				Report               struct{ N int }
			}
		}
		d := deliveries.Rows[0]
		if err := json.Unmarshal(d.Body, &told); err != nil || told.ID != d.EventID || told.Type != webhooks.TypeAccountTask || told.Data.AccountTaskID != task.ID ||
			told.Data.Name != "POST_TASKS" || told.Data.Result != "succeeded" || told.Data.Detail != "switched off" || told.Data.Report.N != 1 {
			w.Errorf("%v: %s", err, d.Body)
		}
		if work := w.lease(w.now.Add(time.Minute), 10, 16); len(work) != 1 || len(work[0].Secrets) == 0 {
			w.Errorf("it is owed as %d deliveries", len(work))
		}
	})
}

func TestExternalIDsGuardWhatRunsPost(t *testing.T) {
	each(t, 0, func(w *world) {
		n1 := w.join("n1")
		task := w.recurring(nil)
		post := func(ids ...string) string {
			w.Helper()
			if _, err := w.s.RunAccountTask(w.Context(), storetest.MasterID, task.ID, "anna", w.now); err != nil {
				w.Fatal(err)
			}
			work, _ := w.claimRun(n1, 0)
			var tasks []scheduler.Task
			for _, id := range ids {
				d := w.draft(0)
				d.ExternalID = id
				tasks = append(tasks, d)
			}
			w.finishRun(work, scheduler.RunOutcome{State: scheduler.RunSucceeded, Queue: w.queue.ID, Tasks: tasks})
			found, err := w.s.AccountTaskRuns(w.Context(), task.ID, firstPage)
			if err != nil {
				w.Fatal(err)
			}
			for _, r := range found.Rows {
				if r.ID == work.Run.ID {
					return r.Detail
				}
			}
			return ""
		}
		post("a", "b")
		if got := post("a", "b", "c"); got != postedAgain(w.queue.ID) {
			w.Errorf("the second run %q", got)
		}
		// Nor what was forgotten: it may have been called.
		must(w.T, store.Exec(w.s, "DELETE FROM tasks"))
		if got := post("b", "c", "d"); got != postedAgain(w.queue.ID) {
			w.Errorf("the run after they were forgotten %q", got)
		}
		gone := w.draft(0)
		gone.ExternalID = "a"
		_, err := w.s.AddNewTasks(w.Context(), w.cl.ID, w.queue.ID, []scheduler.Task{w.draft(0), gone})
		if wantKind(w.T, "one that is forgotten", err, scheduler.Conflict); !strings.HasPrefix(err.Error(), `Tasks[1].ExternalID "a" belongs to task `) {
			w.Errorf("it is told %v", err)
		}
	})
}

func postedAgain(id scheduler.QueueID) string {
	return "posted 1 tasks to task scheduler " + strconv.FormatInt(int64(id), 10) + "; 2 were there already"
}

// Nodes that look at the same time share what is due: each run is one's alone.
func TestNodesRaceForRuns(t *testing.T) {
	each(t, 0, func(w *world) {
		const tasks, nodes = 24, 4
		for range tasks {
			w.recurring(nil)
		}
		var mu sync.Mutex
		claimed := map[scheduler.RunID]int{}
		var racing sync.WaitGroup
		for i := range nodes {
			owner := w.join("n" + strconv.Itoa(i))
			racing.Go(func() {
				for {
					work, ok, err := w.s.ClaimRun(context.Background(), owner, w.now)
					if err != nil {
						w.Error(err)
						return
					}
					if !ok {
						return
					}
					mu.Lock()
					claimed[work.Run.ID]++
					mu.Unlock()
					if ok, err := w.s.FinishRun(context.Background(), work, scheduler.RunOutcome{State: scheduler.RunSucceeded}, w.now); !ok || err != nil {
						w.Errorf("finished %v, %v", ok, err)
					}
				}
			})
		}
		racing.Wait()
		// Who found every row locked went home early; nothing may be left.
		last := w.join("last")
		for {
			work, ok := w.claimRun(last, 0)
			if !ok {
				break
			}
			claimed[work.Run.ID]++
			w.finishRun(work, scheduler.RunOutcome{State: scheduler.RunSucceeded})
		}
		for id, n := range claimed {
			if n != 1 {
				w.Errorf("run %d was claimed %d times", id, n)
			}
		}
		if len(claimed) != tasks {
			w.Errorf("%d runs, want %d", len(claimed), tasks)
		}
	})
}

// A disabled account's tasks wait; what they missed is told when it is enabled.
func TestTasksOfADisabledAccountWait(t *testing.T) {
	each(t, 0, func(w *world) {
		n1, parent := w.join("n1"), storetest.MasterID
		sub := scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(w.now)), ParentID: &parent, Email: "sub@example.com", TimeZone: "UTC", CreatedAt: w.now}
		user := scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(w.now)), AccountID: sub.ID, Username: string(sub.ID), CreatedAt: w.now}
		client := scheduler.Client{ID: scheduler.ClientID(scheduler.NewGUID(w.now)), AccountID: sub.ID, UserID: user.ID, Name: "sub", CreatedAt: w.now}
		must(w.T, w.s.AddAccount(w.Context(), parent, scheduler.Holder{Account: sub, User: user}))
		must(w.T, w.s.AddClient(w.Context(), client, webhooks.NewSecret(w.now)))
		task := w.recurring(func(task *scheduler.AccountTask) { task.AccountID, task.ClientID = sub.ID, client.ID })
		able := func(at time.Time) {
			w.Helper()
			_, err := w.s.UpdateAccount(w.Context(), parent, sub.ID, func(h *scheduler.Holder) error { h.Account.DisabledAt = at; return nil })
			must(w.T, err)
		}
		able(w.now)
		beside := w.recurring(nil) // is due at the same time
		if work, ok := w.claimRun(n1, 0); !ok || work.Task.ID != beside.ID {
			w.Errorf("beside one of a disabled account: %v, %+v", ok, work.Run)
		}
		must(w.T, w.s.DeleteAccountTask(w.Context(), parent, beside.ID))
		for _, after := range []time.Duration{0, 3 * time.Hour} {
			if work, ok := w.claimRun(n1, after); ok {
				w.Errorf("of a disabled account, after %s: %+v", after, work.Run)
			}
		}
		able(time.Time{})
		work, ok := w.claimRun(n1, 3*time.Hour)
		if want := []scheduler.RunState{scheduler.RunMissed, scheduler.RunRunning}; !ok || !work.Account.DisabledAt.IsZero() || !slices.Equal(w.runStates(task.ID), want) {
			w.Errorf("enabled again: %v, the runs are %v", ok, w.runStates(task.ID))
		}
	})
}

// Whichever half of the year it is, one of the two runs an hour apart from UTC.
func TestTasksMoveWithTheZoneOfTheirAccount(t *testing.T) {
	each(t, 0, func(w *world) {
		rome, err := time.LoadLocation("Europe/Rome")
		must(w.T, err)
		_, err = w.s.UpdateAccount(w.Context(), storetest.MasterID, storetest.MasterID, func(h *scheduler.Holder) error { h.Account.TimeZone = "UTC"; return nil })
		must(w.T, err)
		var tasks []scheduler.AccountTask
		for _, month := range []time.Month{time.January, time.July} {
			tasks = append(tasks, w.recurring(func(task *scheduler.AccountTask) {
				task.Frequency, task.StartAt = scheduler.Daily, time.Date(2025, month, 15, w.now.Add(12*time.Hour).UTC().Hour(), 30, 0, 0, time.UTC)
			}))
		}
		_, err = w.s.UpdateAccount(w.Context(), storetest.MasterID, storetest.MasterID, func(h *scheduler.Holder) error { h.Account.TimeZone = "Europe/Rome"; return nil })
		must(w.T, err)
		moved := 0
		for _, task := range tasks {
			is := w.accountTask(task.ID).NextAt
			if want := task.Grid(rome).Next(w.now); !is.Equal(want) {
				w.Errorf("the next run is at %s, want %s", is, want)
			}
			if !is.Equal(task.NextAt) {
				moved++
			}
		}
		if moved != 1 {
			w.Errorf("%d of 2 moved", moved)
		}
	})
}
