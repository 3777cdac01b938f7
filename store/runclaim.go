package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// Whether anything is to be claimed, without a lock: most looks end here.
const (
	undoneRuns = `state = 'running' AND (lease_until IS NULL OR lease_until <= ?)`

	anyRun = `SELECT EXISTS (SELECT 1 FROM account_tasks WHERE next_at <= $1 AND ` + ofEnabled + `)
		OR EXISTS (SELECT 1 FROM account_task_runs WHERE state = 'running' AND (lease_until IS NULL OR lease_until <= $1))`

	// As freeDeliveries does.
	freeRuns = `UPDATE account_task_runs SET lease_token = '', lease_until = NULL
		WHERE state = 'running' AND substr(lease_token, 1, length($1)) = $1 AND substr(lease_token, 1, length($2)) <> $2`
)

// undoneLook is how many runs that nobody does one claim looks at.
const undoneLook = 16

// FreeRuns lets go the runs that former lives of the owner's node were doing when
// they ended.
func (s *Store) FreeRuns(ctx context.Context, owner scheduler.Owner) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.pool.ExecContext(ctx, freeRuns, nodesLeases(owner.Node), leaseOf(owner))
		return err
	})
}

// KeepRun keeps a run for who claimed it; ok is false if another has it.
func (s *Store) KeepRun(ctx context.Context, r scheduler.AccountTaskRun, until time.Time) (ok bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		res := t.db.Model(&scheduler.AccountTaskRun{}).Where("id = ? AND state = ? AND lease_token = ?", r.ID, scheduler.RunRunning, r.LeaseToken).
			Select("LeaseUntil").Updates(scheduler.AccountTaskRun{LeaseUntil: until})
		ok = res.RowsAffected > 0
		return res.Error
	})
	return ok, err
}

// ClaimRun leases a run that is to be done: one that was begun and is nobody's,
// else that of a task whose time has come. Of two nodes that ask at the same time
// one gets it.
func (s *Store) ClaimRun(ctx context.Context, owner scheduler.Owner, now time.Time) (work scheduler.RunWork, ok bool, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	var passed []scheduler.RunEnd // as far as it is committed
	defer func() { work.Passed = passed }()
	for ctx.Err() == nil {
		var any bool
		if err := s.reads.WithContext(ctx).Raw(anyRun, now).Scan(&any).Error; err != nil || !any {
			return work, false, err
		}
		looked := false
		var ended []scheduler.RunEnd
		err := s.write(ctx, func(t *tx) error {
			work, looked, ok, ended = scheduler.RunWork{}, false, false, nil
			run, found, err := t.undone(now)
			if err != nil {
				return err
			}
			if !found {
				if run, found, ended, err = t.turn(now); err != nil {
					return err
				}
			}
			if looked = found; !found || run.State != scheduler.RunRunning {
				return nil
			}
			lapsed, why := run.Lapsed(now)
			run.Tries++
			run.LeaseToken, run.LeaseUntil = leaseOf(owner)+rand.Text(), now.Add(scheduler.RunLease)
			if err := t.saveRun(run); err != nil {
				return err
			}
			work, err = t.runWork(run)
			work.Lapsed, work.Detail = lapsed, why
			ok = err == nil
			return err
		})
		if err == nil {
			passed = append(passed, ended...)
		}
		if err != nil || ok || !looked {
			return work, ok, err
		}
	}
	return work, false, ctx.Err()
}

// undone locks a run that was begun and is nobody's.
func (t *tx) undone(now time.Time) (run scheduler.AccountTaskRun, found bool, err error) {
	var left []scheduler.AccountTaskRun
	if err := t.db.Where(undoneRuns, now).Order("id").Limit(undoneLook).Find(&left).Error; err != nil {
		return run, false, err
	}
	for _, run := range left {
		if run, found, err = t.takeUndone(run, now); found || err != nil {
			return run, found, err
		}
	}
	return run, false, nil
}

// takeUndone locks a run, after its task, if nobody else holds them or was first.
func (t *tx) takeUndone(run scheduler.AccountTaskRun, now time.Time) (_ scheduler.AccountTaskRun, found bool, err error) {
	free := clause.Locking{Strength: "NO KEY UPDATE", Options: clause.LockingOptionsSkipLocked}
	if _, err = one[scheduler.AccountTask](t.db.Clauses(free).Where("id = ?", run.AccountTaskID), ""); err == nil {
		run, err = one[scheduler.AccountTaskRun](t.db.Clauses(free).Where("id = ?", run.ID).Where(undoneRuns, now), "")
	}
	if scheduler.KindOf(err) == scheduler.NotFound {
		return run, false, nil
	}
	return run, err == nil, err
}

// turn lets the time of a task come that is due, and returns the last of the runs
// that this makes, and which of them have ended. The tasks of a disabled account
// wait: what they miss is told when it is enabled again.
func (t *tx) turn(now time.Time) (run scheduler.AccountTaskRun, found bool, ended []scheduler.RunEnd, err error) {
	due, err := one[scheduler.AccountTask](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE", Options: clause.LockingOptionsSkipLocked}).
		Where("next_at <= ?", now).Where(ofEnabled).Order("next_at, id"), "")
	if scheduler.KindOf(err) == scheduler.NotFound {
		return run, false, nil, nil
	}
	if err != nil {
		return run, false, nil, err
	}
	task, err := readAccountTask(t.db, due.AccountID, due.ID) // a look of its own, after the lock
	if err != nil {
		return run, false, nil, err
	}
	account, err := one[scheduler.Account](t.db.Where("id = ?", task.AccountID), "there is no account %s", task.AccountID)
	if err != nil {
		return run, false, nil, err
	}
	zone, err := t.zone(account.TimeZone)
	if err != nil {
		return run, false, nil, err
	}
	task, runs := task.Turn(now, zone)
	if err := t.saveAccountTask(task); err != nil {
		return run, false, nil, err
	}
	for i := range runs {
		if err := t.db.Create(&runs[i]).Error; err != nil {
			return run, false, nil, err
		}
		if r := runs[i]; r.State != scheduler.RunRunning {
			ended = append(ended, scheduler.RunEnd{Job: task.Job, State: r.State, Times: r.Times})
		}
	}
	return runs[len(runs)-1], true, ended, nil
}

// runWork reads what it takes to do a run.
func (t *tx) runWork(run scheduler.AccountTaskRun) (scheduler.RunWork, error) {
	work := scheduler.RunWork{Run: run}
	var err error
	if work.Task, err = one[scheduler.AccountTask](t.db.Where("id = ?", run.AccountTaskID), "there is no task %s", run.AccountTaskID); err != nil {
		return work, err
	}
	if work.Account, err = one[scheduler.Account](t.db.Where("id = ?", work.Task.AccountID), "there is no account %s", work.Task.AccountID); err != nil {
		return work, err
	}
	work.Client, err = one[scheduler.Client](t.db.Where("id = ?", work.Task.ClientID), "there is no client %s", work.Task.ClientID)
	return work, err
}

// postedDetail says what a run posted.
func postedDetail(queue scheduler.QueueID, n, there int) string {
	s := fmt.Sprintf("posted %d tasks to task scheduler %d", n, queue)
	if there > 0 {
		s += fmt.Sprintf("; %d were there already", there)
	}
	return s
}
