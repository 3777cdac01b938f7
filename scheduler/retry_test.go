package scheduler

import (
	"strings"
	"testing"
	"time"
)

// The attempts of a task, one letter each: a, A fails; b, A answers and B
// fails; c, connected; l, lost; f, free.
func live(t Task, attempts string) (Task, []time.Duration) {
	now := began
	var pauses []time.Duration
	for _, kind := range strings.Split(attempts, "") {
		if t.Status == Finished {
			break
		}
		t = t.Start(now, CallID("call"), "n1", 1).Task
		switch kind {
		case "a":
			t = t.End(aBusy, now).Task
		case "b":
			t = t.End(bBusy, now).Task
		case "c":
			t = t.End(connected, now).Task
		case "l":
			t = t.Lose(now).Task
		case "f":
			t = t.End(nothing, now).Task
		}
		if t.Status != Finished {
			pauses = append(pauses, t.ReadyAt.Sub(now))
			now = t.ReadyAt
		}
	}
	return t, pauses
}

func TestRetries(t *testing.T) {
	for claim, tc := range map[string]struct {
		tries, caller int
		attempts      string // what would happen, also beyond the end
		made          int
		result        Result
		comment       string
	}{
		// The six rows of the contract.
		"1,0: A fails":                     {1, 0, "aaa", 1, Failure, "a_number busy"},
		"3,0: A fails three times":         {3, 0, "aaaaa", 3, Failure, "a_number busy"},
		"1,3: A fails twice, connected":    {1, 3, "aac", 3, Success, ""},
		"1,3: A answers, B fails":          {1, 3, "bcc", 1, Failure, "b_number busy"},
		"3,2: B fails, A fails":            {3, 2, "bac", 2, Failure, "a_number busy"},
		"5,2: B fails twice":               {5, 2, "bbc", 2, Failure, "b_number busy"},
		"1,3: A fails three times":         {1, 3, "aaac", 3, Failure, "a_number busy"},
		"1,1: A fails":                     {1, 1, "aac", 1, Failure, "a_number busy"},
		"2,0: both sides spend the same":   {2, 0, "abc", 2, Failure, "b_number busy"},
		"2,5: A fails twice, B fails":      {2, 5, "aabac", 4, Failure, "a_number busy"},
		"2,5: B fails, connected":          {2, 5, "bc", 2, Success, ""},
		"3,5: reached once, A spends both": {3, 5, "baac", 3, Failure, "a_number busy"},
		"5,3: the caller budget goes on":   {5, 3, "aabc", 3, Failure, "b_number busy"},
		"2,0: a lost one counts":           {2, 0, "lac", 2, Failure, "a_number busy"},
		"2,0: the last one is lost":        {2, 0, "alc", 2, Failure, "attempt lost"},
		"1,2: a lost one spends of A's":    {1, 2, "llc", 2, Failure, "attempt lost"},
		"1,2: connected after a lost one":  {1, 2, "lc", 2, Success, ""},
		"2,0: free ones cost nothing":      {2, 0, "fffaffa", 2, Failure, "a_number busy"},
		"1,2: free ones cost A nothing":    {1, 2, "ffaffc", 2, Success, ""},
		"50,0: all of them":                {50, 0, strings.Repeat("a", 60), 50, Failure, "a_number busy"},
		"50,50: A fails for ever":          {50, 50, strings.Repeat("a", 60), 50, Failure, "a_number busy"},
	} {
		t.Run(claim, func(t *testing.T) {
			task := fresh()
			task.TryCount, task.TryCountCaller = tc.tries, tc.caller
			got, _ := live(task, tc.attempts)
			if got.Attempts != tc.made || got.Result != tc.result || got.Comment != tc.comment {
				t.Errorf("%d attempts made, %s %q; want %d, %s %q", got.Attempts, got.Result, got.Comment, tc.made, tc.result, tc.comment)
			}
		})
	}
}

func TestPauses(t *testing.T) {
	const tries, caller = 60 * time.Second, 20 * time.Second
	for claim, tc := range map[string]struct {
		callerTries int
		attempts    string
		want        []time.Duration
	}{
		"without a caller budget there is one pause":  {0, "abl", []time.Duration{tries, tries, tries}},
		"the caller's pause follows an unreached A":   {9, "a", []time.Duration{caller}},
		"the other one follows a reached A":           {9, "b", []time.Duration{tries}},
		"what counts is the last attempt, not before": {9, "bab", []time.Duration{tries, caller, tries}},
		"a lost attempt did not reach A":              {9, "l", []time.Duration{caller}},
	} {
		t.Run(claim, func(t *testing.T) {
			task := fresh()
			task.TryCount, task.TryCountCaller = 9, tc.callerTries
			_, got := live(task, tc.attempts)
			if len(got) != len(tc.want) {
				t.Fatalf("pauses %v, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("pauses %v, want %v", got, tc.want)
				}
			}
		})
	}
	t.Run("a pause of zero is none", func(t *testing.T) {
		task := fresh()
		task.TryPause = 0
		if _, got := live(task, "a"); got[0] != 0 {
			t.Errorf("pause %v", got[0])
		}
	})
	t.Run("a pause begins when the attempt ends", func(t *testing.T) {
		ended := began.Add(37 * time.Second)
		if got := dialling().End(aBusy, ended).Task.ReadyAt; !got.Equal(ended.Add(tries)) {
			t.Errorf("due at %v", got)
		}
	})
}

func TestFreePause(t *testing.T) {
	for n, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second,
		7: time.Minute, 8: time.Minute, 63: time.Minute, 64: time.Minute, 1 << 40: time.Minute,
	} {
		if got := freePause(n); got != want {
			t.Errorf("after %d free attempts the pause is %v, want %v", n, got, want)
		}
	}
}
