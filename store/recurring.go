package store

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
	"ringback/webhooks"
)

// withRunning reads recurring tasks with whether a run of them is under way.
func withRunning(db *gorm.DB) *gorm.DB {
	return db.Model(&scheduler.AccountTask{}).Select(`account_tasks.*,
		EXISTS (SELECT 1 FROM account_task_runs r WHERE r.account_task_id = account_tasks.id AND r.state = 'running') AS running`)
}

func readAccountTask(db *gorm.DB, account scheduler.AccountID, id scheduler.AccountTaskID) (scheduler.AccountTask, error) {
	return one[scheduler.AccountTask](withRunning(db).Where("account_tasks.id = ?", id).Where(within, account), "there is no task %s", id)
}

// AccountTasks returns the recurring tasks of an account, ordered by id. They
// have no row numbers, so the page's cursor is ignored.
func (s *Store) AccountTasks(ctx context.Context, account scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.AccountTask], error) {
	p.After = 0
	return list[scheduler.AccountTask](withRunning(s.reads.WithContext(ctx)).Where("account_id = ?", account), p)
}

// AccountTask returns a recurring task of an account or of one below it.
func (s *Store) AccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID) (scheduler.AccountTask, error) {
	return readAccountTask(s.reads.WithContext(ctx), account, id)
}

// AccountTaskRuns returns the runs of a recurring task, by id.
func (s *Store) AccountTaskRuns(ctx context.Context, id scheduler.AccountTaskID, p scheduler.Page) (scheduler.List[scheduler.AccountTaskRun], error) {
	return list[scheduler.AccountTaskRun](s.reads.WithContext(ctx).Model(&scheduler.AccountTaskRun{}).Where("account_task_id = ?", id), p)
}

// AddAccountTask stores a recurring task, with the run that it missed already.
func (s *Store) AddAccountTask(ctx context.Context, task scheduler.AccountTask, missed *scheduler.AccountTaskRun) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.introduceURL(task.ClientID, task.NotificationURL); err != nil {
			return err
		}
		if err := t.db.Create(&task).Error; err != nil {
			return err
		}
		t.saw(nil, audited(task))
		if missed == nil {
			return nil
		}
		return t.db.Create(missed).Error
	})
}

// UpdateAccountTask changes a recurring task of an account, or of one below it,
// under its lock. An error of change is returned, and nothing is altered.
func (s *Store) UpdateAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID, change func(*scheduler.AccountTask) (*scheduler.AccountTaskRun, error)) (scheduler.AccountTask, error) {
	var changed scheduler.AccountTask
	err := s.write(ctx, func(t *tx) error {
		stored, err := t.lockAccountTask(account, id)
		if err != nil {
			return err
		}
		changed = stored
		missed, err := change(&changed)
		if err != nil {
			return err
		}
		if err := t.introduceURL(changed.ClientID, changed.NotificationURL); err != nil {
			return err
		}
		t.saw(audited(stored), audited(changed))
		if err := t.saveAccountTask(changed); err != nil || missed == nil {
			return err
		}
		return t.db.Create(missed).Error
	})
	return changed, err
}

// saveAccountTask writes all of a locked task that may change.
func (t *tx) saveAccountTask(task scheduler.AccountTask) error {
	return t.db.Model(&task).Select("*").Omit("ID", "AccountID", "CreatedAt").Updates(&task).Error
}

// lockAccountTask locks the row of a recurring task: the first of all rows that
// its runs and changes lock.
func (t *tx) lockAccountTask(account scheduler.AccountID, id scheduler.AccountTaskID) (scheduler.AccountTask, error) {
	_, err := one[scheduler.AccountTask](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id = ?", id).Where(within, account),
		"there is no task %s", id)
	if err != nil {
		return scheduler.AccountTask{}, err
	}
	return readAccountTask(t.db, account, id)
}

// DeleteAccountTask forgets a recurring task with its runs; one that is under way
// does nothing any more.
func (s *Store) DeleteAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID) error {
	return s.write(ctx, func(t *tx) error {
		stored, err := t.lockAccountTask(account, id)
		if err != nil {
			return err
		}
		t.saw(audited(stored), nil)
		return t.db.Delete(&stored).Error
	})
}

// RunAccountTask has a recurring task run now, by whoever claims that first.
func (s *Store) RunAccountTask(ctx context.Context, account scheduler.AccountID, id scheduler.AccountTaskID, by string, now time.Time) (scheduler.AccountTaskRun, error) {
	var run scheduler.AccountTaskRun
	err := s.write(ctx, func(t *tx) error {
		task, err := t.lockAccountTask(account, id)
		if err != nil {
			return err
		}
		if task, run, err = task.RunNow(by, now); err != nil {
			return err
		}
		if err := t.saveAccountTask(task); err != nil {
			return err
		}
		t.saw(nil, map[string]any{"AccountTaskID": id, "RunBy": by})
		return t.db.Create(&run).Error
	})
	return run, err
}

// moveToZone lets the recurring tasks of an account run by the clock of its zone.
func (s *Store) moveToZone(ctx context.Context, account scheduler.Account) error {
	zone, err := time.LoadLocation(account.TimeZone)
	if err != nil {
		return err
	}
	var ids []scheduler.AccountTaskID
	err = s.reads.WithContext(ctx).Model(&scheduler.AccountTask{}).Where("account_id = ? AND next_at IS NOT NULL", account.ID).Order("id").Pluck("id", &ids).Error
	if err != nil {
		return err
	}
	for _, id := range ids {
		err := s.write(ctx, func(t *tx) error {
			task, err := t.lockAccountTask(account.ID, id)
			if err != nil {
				return err
			}
			return t.saveAccountTask(task.InZone(s.now(), zone))
		})
		if err != nil && scheduler.KindOf(err) != scheduler.NotFound { // it was deleted meanwhile
			return err
		}
	}
	return nil
}

// auditedParameters is how much of the parameters of a task the audit keeps, in
// characters.
const auditedParameters = 1000

// audited is a recurring task as the audit tells it.
func audited(task scheduler.AccountTask) scheduler.AccountTask {
	if utf8.RuneCountInString(task.Parameters) > auditedParameters {
		task.Parameters = string([]rune(task.Parameters)[:auditedParameters]) + "…"
	}
	return task
}

// introduceURL makes the destination known that a task's notifications go to.
func (t *tx) introduceURL(client scheduler.ClientID, url string) error {
	if url == "" {
		return nil
	}
	return t.introduce([]scheduler.Task{{ClientID: client, URLAfter: url}})
}

// FinishRun does what a run comes to and ends it, in one transaction.
func (s *Store) FinishRun(ctx context.Context, work scheduler.RunWork, o scheduler.RunOutcome, now time.Time) (ok bool, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	err = s.write(ctx, func(t *tx) error {
		task, err := t.lockAccountTask(work.Task.AccountID, work.Task.ID)
		if scheduler.KindOf(err) == scheduler.NotFound {
			return errOvertaken // it was deleted
		}
		if err != nil {
			return err
		}
		run, err := one[scheduler.AccountTaskRun](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
			Where("id = ? AND state = ? AND lease_token = ?", work.Run.ID, scheduler.RunRunning, work.Run.LeaseToken), "")
		if scheduler.KindOf(err) == scheduler.NotFound {
			return errOvertaken
		}
		if err != nil {
			return err
		}
		if err := t.effect(work, &o); err != nil {
			return err
		}
		run.State, run.Detail, run.EndedAt, run.LeaseToken, run.LeaseUntil = o.State, o.Detail, now, "", time.Time{}
		task.LastState, task.Running = o.State, false
		if err := t.saveRun(run); err != nil {
			return err
		}
		if err := t.saveAccountTask(task); err != nil {
			return err
		}
		return t.tellRun(work, task, run, o)
	})
	if errors.Is(err, errOvertaken) {
		return false, nil
	}
	return err == nil, err
}

// errOvertaken rolls back what is another's to do.
var errOvertaken = errors.New("another has the run")

func (t *tx) saveRun(r scheduler.AccountTaskRun) error {
	return t.db.Model(&r).Select("*").Omit("ID", "AccountTaskID").Updates(&r).Error
}

// effect does what a run is for, and adds to its detail what only now is known.
func (t *tx) effect(work scheduler.RunWork, o *scheduler.RunOutcome) error {
	if o.Switch != nil {
		_, err := t.updateQueue(work.Client.ID, o.Queue, func(q *scheduler.Queue) error {
			q.On = *o.Switch
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(o.Tasks) == 0 {
		return nil
	}
	// Destinations come before queues, as wherever tasks are added.
	named := slices.Clone(o.Tasks)
	for i := range named {
		named[i].ClientID = work.Client.ID
	}
	if err := t.introduce(named); err != nil {
		return err
	}
	if _, err := t.lockQueue(work.Client.ID, o.Queue); err != nil {
		return err // before the schema refuses it
	}
	_, n, err := t.addTasks(work.Client.ID, o.Queue, o.Tasks, true)
	if err != nil {
		return err
	}
	o.Detail = postedDetail(o.Queue, n, len(o.Tasks)-n)
	return nil
}

// tellRun owes what tells of the end of a run.
func (t *tx) tellRun(work scheduler.RunWork, task scheduler.AccountTask, run scheduler.AccountTaskRun, o scheduler.RunOutcome) error {
	if o.Mail != nil && task.Notification&scheduler.NotifyEmail != 0 && work.Account.Email != "" {
		mail := o.Mail(run)
		mail.AccountID, mail.Recipient = task.AccountID, work.Account.Email
		mail.State, mail.NextAt, mail.CreatedAt = scheduler.MailReady, run.EndedAt, run.EndedAt
		if err := t.db.Create(&mail).Error; err != nil {
			return err
		}
	}
	if task.Notification&scheduler.NotifyWebhook == 0 {
		return nil
	}
	job, _ := scheduler.JobByID(task.Job)
	forms, err := t.wantForms([]scheduler.Event{{Task: scheduler.Task{ClientID: task.ClientID}}})
	if err != nil {
		return err
	}
	id, body := webhooks.NewEventID(), webhooks.RunBody
	if forms[task.ClientID] {
		body = webhooks.RunFormBody
	}
	t.eventful = true
	return t.db.Create(&scheduler.Delivery{
		// What is no task's has the number of its run, where no task has one.
		ClientID: task.ClientID, TaskID: -scheduler.TaskID(run.ID), EventID: id, Kind: scheduler.EventAccountTask, Attempt: 1, Sequence: 1,
		Origin: webhooks.Origin(task.NotificationURL), URL: task.NotificationURL, State: scheduler.DeliveryReady, NextAt: run.EndedAt, CreatedAt: run.EndedAt,
		Body: body(scheduler.RunEvent{Task: task, Run: run, Name: job.Name, Report: o.Report}, id),
	}).Error
}
