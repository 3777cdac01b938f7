package scheduler_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// receivers is a notifier on the rig's store, and what its receivers say.
type receivers struct {
	notifier *webhooks.Notifier
	takes    time.Duration // to answer
	says     func() (status int, body string)
	posts    atomic.Int32 // before-events that arrived
}

func (r *receivers) Ask(ctx context.Context, q scheduler.Question) scheduler.Answer {
	return r.notifier.Ask(ctx, q)
}

func (r *receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	status, said := http.StatusOK, ""
	if bytes.Contains(body, []byte("task.before")) {
		r.posts.Add(1)
		select {
		case <-time.After(r.takes):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		status, said = r.says()
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(said)), Request: req, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// asking runs a test in a rig whose queue waits a second for answers.
func asking(t *testing.T, hooks *receivers, dial func(context.Context, scheduler.Call, func(time.Time)) scheduler.Outcome, test func(r *rig)) {
	t.Helper()
	inRig(t, rigOptions{asked: hooks, limit: 1, dial: dial}, func(r *rig) {
		hooks.notifier = webhooks.New(webhooks.Options{
			Outbox: r.s, Questions: r.s, Transport: hooks, Now: r.clock.Now, Log: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(r.Context())
		var running sync.WaitGroup
		running.Go(func() { hooks.notifier.Run(ctx) })
		defer running.Wait()
		defer cancel()
		r.s.OnEvents(hooks.notifier.Wake)
		_, err := r.s.UpdateQueue(ctx, r.cl.ID, r.queue.ID, func(q *scheduler.Queue) error { q.BeforeWait = 1000; return nil })
		if err != nil {
			r.Fatal(err)
		}
		test(r)
	})
}

func TestTheReceiverOfABeforeEventDecides(t *testing.T) {
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble
	in := func(d time.Duration) string { return began.Add(d).Format(time.DateTime) }
	for claim, c := range map[string]struct {
		takes  time.Duration
		status int
		body   string
		dialed time.Duration // when, after the start; 0: not in the first minute
		want   string        // status and comment after ten seconds
	}{
		"dial":                         {100 * time.Millisecond, 200, `{"action":"dial"}`, 100 * time.Millisecond, `finished ""`},
		"an empty answer is to dial":   {100 * time.Millisecond, 204, ``, 100 * time.Millisecond, `finished ""`},
		"skip":                         {100 * time.Millisecond, 200, `{"action":"skip"}`, 0, `finished "skipped"`},
		"postpone":                     {100 * time.Millisecond, 200, `{"action":"postpone","until_utc":"` + in(time.Hour) + `"}`, 0, `scheduled ""`},
		"postpone without a time":      {100 * time.Millisecond, 200, `{"action":"postpone"}`, 100 * time.Millisecond, `finished ""`},
		"postpone to the past":         {100 * time.Millisecond, 200, `{"action":"postpone","until_utc":"` + in(0) + `"}`, 100 * time.Millisecond, `finished ""`},
		"postpone for too long":        {100 * time.Millisecond, 200, `{"action":"postpone","until_utc":"` + in(721*time.Hour) + `"}`, 100 * time.Millisecond, `finished ""`},
		"an error is no answer":        {100 * time.Millisecond, 500, `{"action":"skip"}`, 100 * time.Millisecond, `finished ""`},
		"who answers late is too late": {1500 * time.Millisecond, 200, `{"action":"skip"}`, time.Second, `finished ""`},
	} {
		t.Run(claim, func(t *testing.T) {
			var dialed time.Time
			hooks := &receivers{takes: c.takes, says: func() (int, string) { return c.status, c.body }}
			asking(t, hooks, func(ctx context.Context, call scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
				dialed = time.Now()
				return talk(time.Second)(ctx, call, bridged)
			}, func(r *rig) {
				start := time.Now()
				task := r.post(1, func(now time.Time, t *scheduler.Task) {
					t.StartAt, t.ReadyAt = now, now
					t.URLBefore = "https://receiver.example.com/"
				})[0]
				pass(10 * time.Second)
				if got := dialed.Sub(start); c.dialed == 0 && !dialed.IsZero() || c.dialed != 0 && (got < c.dialed || got > c.dialed+50*time.Millisecond) {
					r.Errorf("dialled after %v, want %v", got, c.dialed)
				}
				now := r.task(task.ID)
				if got := fmt.Sprintf("%s %q", now.Status, now.Comment); got != c.want {
					r.Errorf("it is %s, want %s", got, c.want)
				}
				if r.running() != 0 || hooks.posts.Load() != 1 && c.status == 200 {
					r.Errorf("%d running, told %d times", r.running(), hooks.posts.Load())
				}
			})
		})
	}
}

func TestAPostponedTaskIsCalledThen(t *testing.T) {
	var dialed []time.Time
	hooks := &receivers{}
	asking(t, hooks, func(ctx context.Context, call scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		dialed = append(dialed, time.Now())
		return talk(time.Second)(ctx, call, bridged)
	}, func(r *rig) {
		until := time.Now().Add(3 * time.Minute).Truncate(time.Second)
		hooks.says = func() (int, string) {
			return 200, fmt.Sprintf(`{"action":"postpone","until_utc":%q}`, until.UTC().Format(time.RFC3339))
		}
		task := r.post(1, func(now time.Time, t *scheduler.Task) {
			t.StartAt, t.ReadyAt = now, now
			t.URLBefore = "https://receiver.example.com/"
		})[0]
		pass(5 * time.Minute)
		if len(dialed) != 1 || dialed[0].Sub(until) > time.Second || dialed[0].Before(until) {
			r.Errorf("dialled at %v, want %v", dialed, until)
		}
		if now := r.task(task.ID); now.Attempts != 1 || hooks.posts.Load() != 1 {
			r.Errorf("%d attempts, told %d times", now.Attempts, hooks.posts.Load())
		}
	})
}

func TestASickReceiverIsNotWaitedFor(t *testing.T) {
	var first, last time.Time
	hooks := &receivers{takes: time.Hour, says: func() (int, string) { return 200, "" }}
	asking(t, hooks, func(ctx context.Context, call scheduler.Call, bridged func(time.Time)) scheduler.Outcome {
		if last = time.Now(); first.IsZero() {
			first = last
		}
		return talk(time.Millisecond)(ctx, call, bridged)
	}, func(r *rig) {
		tasks := func(n int) {
			r.post(n, func(now time.Time, t *scheduler.Task) {
				t.StartAt, t.ReadyAt = now, now
				t.URLBefore = "https://receiver.example.com/"
			})
		}
		tasks(10)
		pass(time.Minute) // its breaker is open
		tasks(100)
		began := time.Now()
		pass(10 * time.Second)
		if took := last.Sub(began); took > 2*time.Second {
			r.Errorf("100 calls one after the other took %v", took)
		}
	})
}
