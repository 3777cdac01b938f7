package scheduler

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	down := errors.New("the database is away")
	for claim, tc := range map[string]struct {
		ahead time.Duration // the database's clock
		trip  time.Duration // its answer takes
		err   error
		want  time.Duration // the offset
	}{
		"the database's time is taken":           {time.Hour, 0, nil, time.Hour},
		"also when it is behind":                 {-time.Second, 0, nil, -time.Second},
		"half of the round trip is on the way":   {time.Hour, 20 * time.Millisecond, nil, time.Hour},
		"a slow answer says nothing":             {time.Hour, 21 * time.Millisecond, nil, time.Minute},
		"an answer that did not come is no news": {time.Hour, 0, down, time.Minute},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c Clock
				c.offset.Store(int64(time.Minute)) // as it was measured before
				err := c.Measure(t.Context(), func(context.Context) (time.Time, error) {
					time.Sleep(tc.trip / 2)
					theirs := time.Now().Add(tc.ahead)
					time.Sleep(tc.trip - tc.trip/2)
					return theirs, tc.err
				})
				if got := time.Until(c.Now()); got != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("offset %v, error %v; want %v", got, err, tc.want)
				}
			})
		})
	}
	var zero Clock
	if d := time.Since(zero.Now()); d < 0 || d > time.Minute {
		t.Errorf("the zero clock is %v off", d)
	}
}
