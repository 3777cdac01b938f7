package store_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestAClientSeesNothingOfAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment()
		mine, foreign := newTenant(t, s, 0), newTenant(t, s, 0)
		task := mine.add(t, s, now)[0]
		_, started := startDue(t, s, now)
		waiting := mine.add(t, s, now)[0]
		queue, client := mine.queue.ID, foreign.ID
		before := everything(t, s, mine)
		for method, call := range map[string]func(ctx context.Context) error{
			"Queue":      func(ctx context.Context) error { _, err := s.Queue(ctx, client, queue); return err },
			"QueueState": func(ctx context.Context) error { _, _, err := s.QueueState(ctx, client, queue); return err },
			"QueueNow":   func(ctx context.Context) error { _, _, err := s.QueueNow(ctx, client, queue); return err },
			"UpdateQueue": func(ctx context.Context) error {
				_, err := s.UpdateQueue(ctx, client, queue, func(q *scheduler.Queue) error { q.Name = "stolen"; return nil })
				return err
			},
			"DeleteQueue": func(ctx context.Context) error { return s.DeleteQueue(ctx, client, queue, true, now) },
			"Extension":   func(ctx context.Context) error { _, err := s.Extension(ctx, client, mine.ext.ID); return err },
			"UpdateExtension": func(ctx context.Context) error {
				_, err := s.UpdateExtension(ctx, client, mine.ext.ID, func(e *scheduler.Extension) error { e.Name = "stolen"; return nil })
				return err
			},
			"DeleteExtension": func(ctx context.Context) error { return s.DeleteExtension(ctx, client, mine.ext.ID, now) },
			"AddTasks": func(ctx context.Context) error {
				_, err := s.AddTasks(ctx, client, queue, []scheduler.Task{storetest.Task(foreign.ext, now)})
				return err
			},
			"Task":                    func(ctx context.Context) error { _, err := s.Task(ctx, client, queue, task.ID); return err },
			"Task in their own queue": func(ctx context.Context) error { _, err := s.Task(ctx, client, foreign.queue.ID, task.ID); return err },
			"Tasks": func(ctx context.Context) error {
				_, err := s.Tasks(ctx, client, queue, scheduler.TaskFilter{}, firstPage)
				return err
			},
			"UpdateTask": func(ctx context.Context) error {
				_, err := s.UpdateTask(ctx, client, queue, waiting.ID, func(t *scheduler.Task) error { t.Name = "stolen"; return nil })
				return err
			},
			"UpdateTask in their own queue": func(ctx context.Context) error {
				_, err := s.UpdateTask(ctx, client, foreign.queue.ID, waiting.ID, func(t *scheduler.Task) error { t.Name = "stolen"; return nil })
				return err
			},
			"CancelTask": func(ctx context.Context) error { return s.CancelTask(ctx, client, queue, waiting.ID, true, now) },
			"CancelTask in their own queue": func(ctx context.Context) error {
				return s.CancelTask(ctx, client, foreign.queue.ID, waiting.ID, true, now)
			},
			"CallByID": func(ctx context.Context) error { _, err := s.CallByID(ctx, client, started[0].Call.ID); return err },
		} {
			err := call(t.Context())
			wantKind(t, method, err, scheduler.NotFound)
			if after := everything(t, s, mine); !reflect.DeepEqual(after, before) {
				t.Fatalf("%s changed\n%+v to\n%+v", method, before, after)
			}
		}
		queues, err := s.Queues(t.Context(), client, firstPage)
		must(t, err)
		extensions, err := s.Extensions(t.Context(), client, firstPage)
		must(t, err)
		calls, err := s.Calls(t.Context(), client, scheduler.CallFilter{TaskID: task.ID}, firstPage)
		must(t, err)
		secrets, err := s.Secrets(t.Context(), client)
		must(t, err)
		if queues.Total != 1 || queues.Rows[0] != foreign.queue || extensions.Total != 1 || extensions.Rows[0] != foreign.ext || calls.Total != 0 || len(calls.Rows) != 0 {
			t.Errorf("their lists hold %+v, %+v, %+v", queues, extensions, calls)
		}
		if ours := before.secrets; len(secrets) != 1 || reflect.DeepEqual(secrets[0].Key, ours[0].Key) {
			t.Errorf("their secrets are %+v", secrets)
		}
	})
}

// possessions are everything of a tenant.
type possessions struct {
	queues     scheduler.List[scheduler.Queue]
	runtime    scheduler.Runtime
	extensions scheduler.List[scheduler.Extension]
	tasks      scheduler.List[scheduler.Task]
	calls      scheduler.List[scheduler.Attempt]
	secrets    []webhooks.Secret
}

func everything(t *testing.T, s *store.Store, n tenant) possessions {
	t.Helper()
	var p possessions
	var errs [5]error
	p.queues, errs[0] = s.Queues(t.Context(), n.ID, firstPage)
	p.extensions, errs[1] = s.Extensions(t.Context(), n.ID, firstPage)
	p.tasks, errs[2] = s.Tasks(t.Context(), n.ID, n.queue.ID, scheduler.TaskFilter{}, firstPage)
	p.calls, errs[3] = s.Calls(t.Context(), n.ID, scheduler.CallFilter{}, firstPage)
	p.secrets, errs[4] = s.Secrets(t.Context(), n.ID)
	must(t, errors.Join(errs[:]...))
	p.runtime = n.runtime(t, s)
	return p
}
