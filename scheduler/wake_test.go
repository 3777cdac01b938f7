package scheduler

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWake(t *testing.T) {
	first := began.Add(time.Minute)
	held := func(d time.Duration) Hold { return Hold{Gate: GateDialer, Until: first.Add(d)} }
	none := time.Time{}
	for claim, tc := range map[string]struct {
		queue Queue
		run   Runtime
		first time.Time
		want  time.Time
	}{
		"a queue wakes when its first task is due":                    {Queue{On: true, Limit: 1}, Runtime{}, first, first},
		"a queue that is off sleeps":                                  {Queue{Limit: 1}, Runtime{}, first, none},
		"a deleted queue sleeps":                                      {Queue{On: true, DeletedAt: began}, Runtime{}, first, none},
		"an empty queue sleeps":                                       {Queue{On: true}, Runtime{}, none, none},
		"a full queue sleeps":                                         {Queue{On: true, Limit: 2}, Runtime{Running: 2}, first, none},
		"an overfull queue sleeps":                                    {Queue{On: true, Limit: 2}, Runtime{Running: 5}, first, none},
		"a queue with one place left wakes":                           {Queue{On: true, Limit: 2}, Runtime{Running: 1}, first, first},
		"a queue without a limit is never full":                       {Queue{On: true}, Runtime{Running: 1 << 20}, first, first},
		"a hold that ends after its task is due delays":               {Queue{On: true}, Runtime{Hold: held(time.Second)}, first, first.Add(time.Second)},
		"a next start after its task is due delays":                   {Queue{On: true, StartRate: 1}, Runtime{NextStart: first.Add(1)}, first, first.Add(1)},
		"a next start before does not":                                {Queue{On: true, StartRate: 1}, Runtime{NextStart: first.Add(-1)}, first, first},
		"a next start without a rate is nothing":                      {Queue{On: true}, Runtime{NextStart: first.Add(1)}, first, first},
		"a pause of the brake that ends after its task is due delays": {Queue{On: true}, Runtime{Brake: Brake{State: BrakeOpen, Until: first.Add(1)}}, first, first.Add(1)},
		"a pause of the brake that ends before does not":              {Queue{On: true}, Runtime{Brake: Brake{State: BrakeOpen, Until: first.Add(-1)}}, first, first},
		"a queue whose probes are up sleeps":                          {Queue{On: true}, Runtime{Running: 1, Brake: Brake{State: BrakeProbing, InFlight: 1}}, first, none},
		"a queue with a probe left wakes":                             {Queue{On: true, Limit: 20}, Runtime{Running: 1, Brake: Brake{State: BrakeProbing, InFlight: 1}}, first, first},
		"probes that nobody runs any more are none":                   {Queue{On: true}, Runtime{Brake: Brake{State: BrakeProbing, InFlight: 1}}, first, first},
		"a hold that ends before does not":                            {Queue{On: true}, Runtime{Hold: held(-time.Second)}, first, first},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := tc.run.Wake(tc.queue, tc.first); !got.Equal(tc.want) {
				t.Errorf("wakes at %v, want %v", got, tc.want)
			}
		})
	}
}

// Wake is the first moment at which Plan starts something of a queue to which
// nothing happens, found by trying every second of two minutes.
func TestWakeIsWhenPlanStarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := readyQueue(t, 1)
		for i := range r.Head {
			r.Head[i].Deadline, r.Head[i].Blocked = time.Time{}, false
		}
		var first, starts time.Time
		if len(r.Head) > 0 {
			first = r.Head[0].Due
		}
		for at := began; at.Before(began.Add(2 * time.Minute)); at = at.Add(time.Second) {
			if len(Plan([]Ready{r}, 1, at)[0].Start) > 0 {
				starts = at
				break
			}
		}
		want := r.Runtime.Wake(r.Queue, first)
		if !want.IsZero() {
			want = later(want, began) // overdue already
		}
		if !starts.Equal(want) {
			t.Fatalf("Plan starts at %v, Wake says %v: %+v", starts, want, r)
		}
	})
}
