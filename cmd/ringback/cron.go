package main

import (
	"time"

	"github.com/robfig/cron/v3"
)

// every is a cron schedule without a calendar: so long after the last time.
// (cron's own @every rounds to whole seconds, and its calendar schedules leave
// out the hour that daylight saving skips.)
type every time.Duration

// Next returns the time after t.
func (e every) Next(t time.Time) time.Time { return t.Add(time.Duration(e)) }

// newCron returns a runner in UTC whose jobs never overlap themselves.
func newCron() *cron.Cron {
	return cron.New(cron.WithLocation(time.UTC), cron.WithChain(cron.SkipIfStillRunning(cron.DiscardLogger)))
}
