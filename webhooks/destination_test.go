package webhooks_test

import (
	"math"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// course is a destination that lives through tries.
type course struct {
	*testing.T
	d   webhooks.Destination
	now time.Time
	id  scheduler.DeliveryID
}

func newCourse(t *testing.T) *course {
	t.Helper()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &course{T: t, d: webhooks.NewDestination("client", "https://receiver.example.com:443", now), now: now}
}

// hear tells the destination of one try after another, each a moment later.
func (c *course) hear(tries ...webhooks.Try) {
	for _, try := range tries {
		c.id++
		c.now = c.now.Add(10 * time.Millisecond)
		c.d = c.d.Heard(c.id, &try, c.now)
	}
}

// probe claims what may be claimed, which must be one, and tells how it went.
func (c *course) probe(try webhooks.Try) {
	c.Helper()
	if n := c.d.Allow(c.now); n != 1 {
		c.Fatalf("%d may be sent to a destination that is %s", n, c.d.State(c.now))
	}
	c.id++
	c.d = c.d.Sent(c.now, []scheduler.Delivery{{ID: c.id, LeaseUntil: c.now.Add(webhooks.Lease)}})
	c.d = c.d.Heard(c.id, &try, c.now)
}

func (c *course) is(want webhooks.DestinationState) {
	c.Helper()
	if got := c.d.State(c.now); got != want {
		c.Errorf("it is %s, want %s", got, want)
	}
}

var (
	took    = webhooks.Try{Status: 200}
	broke   = webhooks.Try{Status: 503, Error: "http_5xx"}
	missing = webhooks.Try{Status: 404, Error: "http_4xx"}
	silent  = webhooks.Try{Error: webhooks.ErrTimeoutHeader}
	busy    = webhooks.Try{Status: 429, Error: "http_4xx"}
	moved   = webhooks.Try{Status: 302, Error: webhooks.ErrRedirect}
	unsaid  = webhooks.Try{Error: webhooks.ErrNoSecret}
)

func repeat(n int, tries ...webhooks.Try) []webhooks.Try {
	var all []webhooks.Try
	for range n {
		all = append(all, tries...)
	}
	return all
}

func TestWhatOpensTheBreaker(t *testing.T) {
	for claim, c := range map[string]struct {
		tries []webhooks.Try
		want  webhooks.DestinationState
	}{
		"four failures in a row do not":            {repeat(4, broke), webhooks.DestinationActive},
		"five do":                                  {repeat(5, broke), webhooks.DestinationOpen},
		"time-outs and 429 are failures":           {[]webhooks.Try{silent, busy, silent, busy, silent}, webhooks.DestinationOpen},
		"answers about the event say nothing":      {repeat(50, missing, moved), webhooks.DestinationActive},
		"nor do they end a row":                    {[]webhooks.Try{broke, broke, missing, broke, broke, broke}, webhooks.DestinationOpen},
		"what was not sent says nothing":           {repeat(50, unsaid), webhooks.DestinationActive},
		"a success ends a row":                     {append(repeat(4, broke), took, broke, broke), webhooks.DestinationActive},
		"half of twenty does":                      {append(repeat(10, broke, took), broke), webhooks.DestinationOpen},
		"half of nineteen does not":                {append(repeat(9, broke, took), broke), webhooks.DestinationActive},
		"a third does not":                         {repeat(30, broke, took, took), webhooks.DestinationActive},
		"successes before the window do not count": {append(append(repeat(100, took), repeat(10, broke, took)...), broke), webhooks.DestinationOpen},
	} {
		t.Run(claim, func(t *testing.T) {
			course := newCourse(t)
			course.hear(c.tries...)
			course.is(c.want)
		})
	}
}

func TestFailuresOfAnEarlierWindowAreForgotten(t *testing.T) {
	c := newCourse(t)
	c.hear(repeat(9, broke, took)...)
	c.now = c.now.Add(time.Minute)
	c.hear(repeat(9, broke, took)...)
	c.is(webhooks.DestinationActive)
}

func TestThePauseDoubles(t *testing.T) {
	c := newCourse(t)
	c.hear(repeat(5, broke)...)
	for _, want := range []float64{5, 10, 20, 40, 80, 160, 300, 300} {
		until := c.d.OpenUntil
		if got := until.Sub(c.now); got.Seconds() != want {
			t.Fatalf("it is open for %v, want %v s", got, want)
		}
		c.now = until.Add(-time.Microsecond)
		if c.d.Allow(c.now) != 0 || !c.d.LookAt.Equal(until) {
			t.Fatal("something may be sent while it is open")
		}
		c.now = until
		c.is(webhooks.DestinationHalfOpen)
		c.probe(silent)
	}
}

func TestTwoProbesCloseIt(t *testing.T) {
	c := newCourse(t)
	c.hear(repeat(5, broke)...)
	c.now = c.d.OpenUntil
	c.probe(took)
	c.is(webhooks.DestinationHalfOpen)
	c.probe(missing) // says nothing
	c.is(webhooks.DestinationHalfOpen)
	c.probe(took)
	c.is(webhooks.DestinationRamp)
	c.now = c.now.Add(30 * time.Second)
	c.is(webhooks.DestinationActive)
	c.hear(repeat(5, broke)...)
	if got := c.d.OpenUntil.Sub(c.now); got != 5*time.Second {
		t.Errorf("the next pause is %v", got)
	}
}

func TestAProbeIsAlone(t *testing.T) {
	c := newCourse(t)
	c.hear(repeat(5, broke)...)
	c.now = c.d.OpenUntil
	c.d = c.d.Sent(c.now, []scheduler.Delivery{{ID: 99, LeaseUntil: c.now.Add(webhooks.Lease)}})
	if c.d.Allow(c.now) != 0 || !c.d.LookAt.Equal(c.now.Add(webhooks.Lease)) {
		t.Error("there may be another probe")
	}
	c.hear(broke, took, took, took) // stragglers of before
	c.is(webhooks.DestinationHalfOpen)
	if c.d.Allow(c.now) != 0 {
		t.Error("a straggler ended the probe")
	}
	if d := c.d.Heard(99, nil, c.now); d.Allow(c.now) != 1 {
		t.Error("a probe that was cancelled is not followed by another")
	}
	if c.d.Allow(c.now.Add(webhooks.Lease)) != 1 {
		t.Error("a probe whose node died is not followed by another")
	}
}

// sendAll sends as much as may be sent, step by step, and returns how much that
// was in each second.
func (c *course) sendAll(seconds int, step time.Duration) []int {
	sent := make([]int, seconds)
	from := c.now
	for ; c.now.Sub(from) < time.Duration(seconds)*time.Second; c.now = c.now.Add(step) {
		n := min(c.d.Allow(c.now), 10000)
		sent[int(c.now.Sub(from)/time.Second)] += n
		c.d = c.d.Sent(c.now, make([]scheduler.Delivery, n))
	}
	return sent
}

func TestTheRateRampsUp(t *testing.T) {
	c := newCourse(t)
	c.hear(repeat(5, broke)...)
	c.now = c.d.OpenUntil
	c.probe(took)
	c.probe(took)
	sent := c.sendAll(30, 50*time.Millisecond)
	for i, n := range sent {
		if most := int(math.Ceil(math.Exp2(float64(i+1)/3))) + 1; n > most {
			t.Errorf("%d were sent in second %d, at most %d may be", n, i, most)
		}
	}
	if sent[0] > 2 || sent[29] < 400 {
		t.Errorf("sent %v", sent)
	}
	c.d = c.d.Settle(c.now)
	if c.d.Careful || c.d.Allow(c.now) < math.MaxInt16 {
		t.Error("the ramp does not end")
	}
}

func TestARateIsKept(t *testing.T) {
	for rate, step := range map[float64]time.Duration{10: time.Second, 2.5: 10 * time.Millisecond, 0.5: 70 * time.Millisecond} {
		c := newCourse(t)
		c.d.MaxRate = rate
		c.d = c.d.Settle(c.now)
		total := 0
		for i, n := range c.sendAll(60, step) {
			total += n
			if float64(total) > rate*float64(i+1)+rate+1 {
				t.Fatalf("%d in %d seconds at a rate of %v", total, i+1, rate)
			}
		}
		if float64(total) < 0.95*rate*60 {
			t.Errorf("%d in a minute at a rate of %v", total, rate)
		}
	}
}

func TestSlotsAreEarned(t *testing.T) {
	c := newCourse(t)
	if c.d.Slots != 2 {
		t.Errorf("a new destination has %d slots", c.d.Slots)
	}
	c.hear(took)
	if c.d.Slots != 0 {
		t.Errorf("one that took an event has %d", c.d.Slots)
	}
	c.hear(silent)
	if c.d.Slots != 2 {
		t.Errorf("one that did not take the last event has %d", c.d.Slots)
	}
	c.d.MaxInFlight = 1
	if c.d = c.d.Settle(c.now); c.d.Slots != 1 {
		t.Errorf("one with a limit of 1 has %d", c.d.Slots)
	}
}

func TestWhenADestinationIsGivenUp(t *testing.T) {
	const hour = time.Hour
	for claim, c := range map[string]struct {
		idle, every time.Duration // after a success, then between failures
		failures    int
		want        bool
	}{
		"after three days of failures":               {0, hour, 80, true},
		"not a moment before":                        {0, hour, 71, false},
		"not for nineteen":                           {60 * hour, 2 * hour, 19, false},
		"but for twenty over a day":                  {60 * hour, 2 * hour, 20, true},
		"not for an hour of them after an idle week": {168 * hour, time.Minute, 60, false},
	} {
		t.Run(claim, func(t *testing.T) {
			course := newCourse(t)
			course.hear(took)
			course.now = course.now.Add(c.idle)
			for range c.failures {
				course.now = course.now.Add(c.every)
				course.hear(silent)
			}
			if got := course.d.State(course.now) == webhooks.DestinationDisabled; got != c.want {
				t.Errorf("it is %s", course.d.State(course.now))
			}
			if c.want && (course.d.Allow(course.now) != 0 || !course.d.LookAt.IsZero()) {
				t.Error("something may be sent to it")
			}
		})
	}
}

func TestASporadicSuccessKeepsADestination(t *testing.T) {
	c := newCourse(t)
	for range 30 * 24 * 4 {
		c.now = c.now.Add(15 * time.Minute)
		c.hear(silent)
		if c.now.Hour() == 3 {
			c.hear(took)
		}
	}
	if c.d.State(c.now) == webhooks.DestinationDisabled {
		t.Error("it is disabled")
	}
}

func TestAHealthyDestinationIsWrittenOnceAMinute(t *testing.T) {
	c := newCourse(t)
	writes := 0
	for range 1000 {
		before := c.d
		c.hear(took)
		c.now = c.now.Add(50 * time.Millisecond)
		if c.d != before {
			writes++
		}
	}
	if writes != 1 {
		t.Errorf("%d writes in a minute", writes)
	}
}
