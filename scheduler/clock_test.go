package scheduler

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	const ms = time.Millisecond
	down := errors.New("the database is away")
	type answer struct {
		ahead time.Duration // the database's clock
		trip  time.Duration // its answer takes
	}
	for claim, tc := range map[string]struct {
		best    time.Duration // of earlier measurements; 0: there were none
		answers []answer      // all that are asked for; the error comes after them
		err     error
		want    time.Duration // the offset; a minute as it was measured before
	}{
		"the database's time is taken":                    {ms, []answer{{time.Hour, 0}}, nil, time.Hour},
		"also when it is behind":                          {ms, []answer{{-time.Second, 0}}, nil, -time.Second},
		"half of the round trip is on the way":            {ms, []answer{{time.Hour, 20 * ms}}, nil, time.Hour},
		"a slow answer says nothing":                      {ms, []answer{{time.Hour, 21 * ms}}, nil, time.Minute},
		"an answer that did not come is no news":          {ms, nil, down, time.Minute},
		"on a slow line answers are taken as it has them": {30 * ms, []answer{{time.Hour, 60 * ms}}, nil, time.Hour},
		"and slower ones are not":                         {30 * ms, []answer{{time.Hour, 61 * ms}}, nil, time.Minute},
		"the first good answer is enough":                 {0, []answer{{time.Hour, 20 * ms}}, nil, time.Hour},
		"at first a slow answer is followed by a better":  {0, []answer{{2 * time.Hour, 21 * ms}, {time.Hour, ms}}, nil, time.Hour},
		"the best of five slow ones is taken at first": {0, []answer{{2 * time.Hour, 60 * ms}, {3 * time.Hour, 50 * ms}, {time.Hour, 40 * ms},
			{4 * time.Hour, 45 * ms}, {5 * time.Hour, 70 * ms}}, nil, time.Hour},
		"one slow answer is better than none": {0, []answer{{time.Hour, time.Second}}, down, time.Hour},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := Clock{best: tc.best}
				c.offset.Store(int64(time.Minute))
				asked := 0
				err := c.Measure(t.Context(), func(context.Context) (time.Time, error) {
					if asked == len(tc.answers) {
						return time.Time{}, down
					}
					a := tc.answers[asked]
					asked++
					time.Sleep(a.trip / 2)
					theirs := time.Now().Add(a.ahead)
					time.Sleep(a.trip - a.trip/2)
					return theirs, nil
				})
				if got := time.Until(c.Now()); got != tc.want || !errors.Is(err, tc.err) || asked != len(tc.answers) {
					t.Errorf("offset %v, error %v after %d answers; want %v", got, err, asked, tc.want)
				}
			})
		})
	}
	var zero Clock
	if d := time.Since(zero.Now()); d < 0 || d > time.Minute {
		t.Errorf("the zero clock is %v off", d)
	}
}
