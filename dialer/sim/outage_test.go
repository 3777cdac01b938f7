package sim

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ringback/scheduler"
)

// TestOutage: for its time every number is congested, whatever it does else.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, Options{AnswerPercent: 100, Ring: time.Second, Talk: time.Second, Outage: Outage{After: 30 * time.Second, For: time.Minute}})
		began := time.Now()
		for _, at := range []struct {
			after  time.Duration
			number string
			want   scheduler.Disposition
		}{
			{0, "+390655510486", scheduler.UserBusy},
			{25 * time.Second, "+390655510001", scheduler.Answered},
			{30 * time.Second, "+390655510001", scheduler.Congestion},
			{31 * time.Second, "+390655510486", scheduler.Congestion},
			{89 * time.Second, "+390655510001", scheduler.Congestion},
			{90 * time.Second, "+390655510001", scheduler.Answered},
		} {
			time.Sleep(time.Until(began.Add(at.after)))
			o := e.Dial(context.Background(), spec(at.number, "+390655510002"), func(time.Time) {})
			if got := o.Took(scheduler.LegA); got != at.want {
				t.Errorf("after %s %s is %s, want %s", at.after, at.number, got, at.want)
			}
		}
	})
	for _, o := range []Outage{{After: -1}, {For: -1}} {
		if d, err := New(Options{Outage: o}); err == nil {
			t.Errorf("an outage of %+v is taken: %v", o, d.Close(context.Background()))
		}
	}
}
