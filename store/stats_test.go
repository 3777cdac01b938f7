package store_test

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// Random calls end over a quarter of an hour, while roll-ups begin, run into
// each other and are interrupted: for any minutes the statistics are what a look
// at every attempt and task says.
func TestStatsAgreeWithALookAtEveryCall(t *testing.T) {
	each(t, 0, func(w *world) {
		ctx, rnd := context.Background(), rand.New(rand.NewPCG(5, uint64(w.now.UnixNano())))
		w.now = w.now.Truncate(time.Minute)
		began := w.now
		owner := w.join("n1")
		var disturbing sync.WaitGroup
		for w.now.Before(began.Add(15 * time.Minute)) {
			w.addDue(2)
			for _, s := range w.claim(owner, 9).Started {
				w.now = w.now.Add(time.Duration(rnd.IntN(9)) * time.Second)
				task := s.Transition.Task
				switch o := w.someOutcome(rnd); {
				case rnd.IntN(9) == 0:
					w.apply(owner, task.Lose(w.now))
				case !o.BridgedAt.IsZero() && rnd.IntN(2) == 0:
					talks := task.Connect(o.BridgedAt)
					w.apply(owner, talks)
					w.apply(owner, talks.Task.End(o, w.now))
				default:
					w.apply(owner, task.End(o, w.now))
				}
			}
			now, patience := w.now, time.Duration(rnd.IntN(5))*time.Millisecond
			disturbing.Go(func() {
				short, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				_ = w.s.RollUp(short, now, began) // cut short, or not
			})
		}
		disturbing.Wait()
		check := func(what string, from, to scheduler.Minute) {
			got, err := w.s.Stats(ctx, w.cl.ID, w.queue.ID, from, to)
			must(w.T, err)
			if want := w.bruteFigures(from, to); !reflect.DeepEqual(got, want) {
				w.Errorf("%s, minutes %d to %d:\n%+v\nwant\n%+v", what, from, to, got, want)
			}
		}
		first := scheduler.MinuteOf(began)
		all := func(what string) {
			check(what, 0, first+99)
			for range 10 {
				from := first + scheduler.Minute(rnd.IntN(16))
				check(what, from, from+scheduler.Minute(rnd.IntN(16)))
			}
		}
		all("partly rolled up")
		must(w.T, w.s.RollUp(ctx, w.now, began))
		must(w.T, w.s.RollUp(ctx, w.now, began))
		all("rolled up, but for two minutes")
		rolled, err := store.MinutesOf(w.s, w.queue.ID)
		if n := len(rolled); err != nil || n == 0 || rolled[n-1] >= scheduler.MinuteOf(w.now)-2 {
			w.Errorf("in minute %d the roll-up has %v, %v", scheduler.MinuteOf(w.now), rolled, err)
		}
		must(w.T, w.s.RollUp(ctx, w.now.Add(time.Hour), began))
		all("rolled up")
		w.addDue(1)
		late := w.claim(owner, 9).Started[0].Transition.Task
		w.now = began.Add(time.Minute)
		w.apply(owner, late.End(w.busy(), w.now))
		must(w.T, w.s.RollUp(ctx, began.Add(time.Hour), began))
		all("with one that came late")
		must(w.T, w.s.RollUp(ctx, began.Add(time.Hour), began.Add(time.Hour)))
		if got, err := w.s.Stats(ctx, w.cl.ID, w.queue.ID, 0, first+99); err != nil || !reflect.DeepEqual(got, scheduler.Figures{}) {
			w.Errorf("what is older than is kept: %+v, %v", got, err)
		}
		_, err = w.s.Stats(ctx, storetest.Client(w.T, w.s).ID, w.queue.ID, 0, first)
		wantKind(w.T, "another client's", err, scheduler.NotFound)
	})
}

// someOutcome is an attempt that ends now in any way.
func (w *world) someOutcome(rnd *rand.Rand) scheduler.Outcome {
	o := scheduler.Outcome{EndedAt: w.now}
	leg := func(role scheduler.Role, d scheduler.Disposition, lost bool) {
		l := scheduler.Leg{Role: role, Try: 1, Number: "101", StartedAt: w.now.Add(-time.Minute), EndedAt: w.now, Disposition: d, Lost: lost, By: scheduler.ByUs}
		if rnd.IntN(2) == 0 {
			l.RangAt = l.StartedAt.Add(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		}
		if d == scheduler.Answered {
			l.AnsweredAt = w.now.Add(-time.Duration(rnd.IntN(50_000)) * time.Millisecond)
		}
		o.Legs = append(o.Legs, l)
	}
	dispositions := []scheduler.Disposition{
		scheduler.Answered, scheduler.UserBusy, scheduler.NoAnswer, scheduler.Rejected, scheduler.Absent, scheduler.InvalidNumber,
		scheduler.Congestion, scheduler.Failed, scheduler.Cancelled,
	}
	a, b := dispositions[rnd.IntN(len(dispositions))], dispositions[rnd.IntN(len(dispositions))]
	if rnd.IntN(2) == 0 {
		a = scheduler.Answered
	}
	if leg(scheduler.LegA, a, false); a == scheduler.Answered {
		if rnd.IntN(2) == 0 {
			leg(scheduler.LegA, scheduler.Cancelled, true)
		}
		if leg(scheduler.LegB, b, false); b == scheduler.Answered {
			o.BridgedAt = w.now.Add(-time.Second)
		}
	}
	return o
}

// bruteFigures looks at everything that ended in some minutes.
func (w *world) bruteFigures(from, to scheduler.Minute) scheduler.Figures {
	w.Helper()
	in := func(at time.Time) bool { m := scheduler.MinuteOf(at); return from <= m && m < to }
	var f scheduler.Figures
	tasks, err := store.TasksOf(w.s, w.queue.ID)
	must(w.T, err)
	for _, task := range tasks {
		if task.Status == scheduler.Finished && in(task.UpdatedAt) {
			f.Finished++
			if task.Result == scheduler.Success {
				f.Succeeded++
			}
		}
	}
	for page := 1; ; page++ {
		calls, err := w.s.Calls(context.Background(), w.cl.ID, scheduler.CallFilter{QueueID: w.queue.ID}, scheduler.Page{Number: page, Size: 1000})
		must(w.T, err)
		for _, call := range calls.Rows {
			if !call.EndedAt.IsZero() && in(call.EndedAt) {
				bruteAttempt(&f, call)
			}
		}
		if len(calls.Rows) < 1000 {
			return f
		}
	}
}

// bruteAttempt counts an attempt, in other words.
func bruteAttempt(f *scheduler.Figures, call scheduler.Attempt) {
	f.Attempts++
	f.Busy += max(call.EndedAt.Sub(call.CallID.Began()), 0).Truncate(time.Millisecond)
	answered := false
	for _, l := range call.Legs {
		side := &f.A
		if l.Role == scheduler.LegB {
			side = &f.B
		}
		if l.Lost {
			side.Losing++
			continue
		}
		side.Bids++
		side.Seizures++
		switch l.Disposition {
		case scheduler.Answered:
			side.Answers++
			side.Talk += l.EndedAt.Sub(l.AnsweredAt).Truncate(time.Millisecond)
			answered = answered || l.Role == scheduler.LegA
			fallthrough
		case scheduler.UserBusy, scheduler.NoAnswer, scheduler.Rejected, scheduler.Absent:
			side.Effective++
			fallthrough
		case scheduler.Congestion, scheduler.Failed:
			side.Judged++
		}
		if !l.RangAt.IsZero() {
			side.PDD.Count(l.PDD())
		}
	}
	switch {
	case !call.BridgedAt.IsZero():
		f.Connected++
	case answered:
		f.Abandoned++
	}
}

// A row that cannot be read is no reason to lose a result.
func TestStatsThatCannotBeRead(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newWorld(t, s, 0)
		w.addDue(2)
		owner := w.join("n1")
		started := w.claim(owner, 9).Started
		must(t, store.Exec(s, "UPDATE queue_runtime SET tally = ?", []byte{0xff}))
		w.apply(owner, started[0].Transition.Task.End(w.busy(), w.now))
		w.apply(owner, started[1].Transition.Task.End(w.busy(), w.now))
		minute := scheduler.MinuteOf(w.now)
		got, err := s.Stats(t.Context(), w.cl.ID, w.queue.ID, minute, minute+1)
		if err != nil || got.Attempts != 2 {
			t.Errorf("%d attempts, %v", got.Attempts, err)
		}
	})
}
