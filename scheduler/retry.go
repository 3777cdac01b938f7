package scheduler

import "time"

// Back-off of attempts that failed before anything was signalled.
const (
	freePauseMin = time.Second
	freePauseMax = 60 * time.Second
	freeLimit    = 24 * time.Hour // without a deadline
)

// spend takes an attempt from the budgets of the task and returns the pause
// before the next one, and whether there is one.
//
// Without a caller budget every attempt spends one of TryCount. With one, an
// attempt that did not reach A spends one of TryCountCaller only; once A was
// reached, each attempt spends one of both, and the caller budget goes on from
// the value it had.
func (t *Task) spend(reached bool) (pause time.Duration, again bool) {
	pause = time.Duration(t.TryPause) * time.Second
	t.Reached = t.Reached || reached
	if t.TryCountCaller == 0 {
		t.TriesSpent++
		return pause, t.TriesSpent < t.TryCount
	}
	if !reached {
		pause = time.Duration(t.TryPauseCaller) * time.Second
	}
	t.CallerSpent++
	if t.Reached {
		t.TriesSpent++
	}
	return pause, t.TriesSpent < t.TryCount && t.CallerSpent < t.TryCountCaller
}

// freePause returns the pause after the n-th free attempt in a row: one
// second, doubling to a minute.
func freePause(n int) time.Duration {
	if n > 6 {
		return freePauseMax
	}
	return min(freePauseMin<<max(n-1, 0), freePauseMax)
}
