package webhooks_test

import (
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	soon := now.Add(20 * time.Second)
	const (
		delivered = scheduler.DeliveryDelivered
		dead      = scheduler.DeliveryDead
		expired   = scheduler.DeliveryExpired
		ready     = scheduler.DeliveryReady
	)
	type want struct {
		state scheduler.DeliveryState
		delay time.Duration
	}
	for name, c := range map[string]struct {
		tries   int
		expires time.Time
		try     webhooks.Try
		want    want
	}{
		"a success ends it":                        {0, time.Time{}, webhooks.Try{Status: 204}, want{delivered, 0}},
		"a first failure waits 5 s":                {0, time.Time{}, webhooks.Try{Status: 500, Error: "http_5xx"}, want{ready, 5 * time.Second}},
		"a second 30 s":                            {1, time.Time{}, webhooks.Try{Error: "refused"}, want{ready, 30 * time.Second}},
		"a third 2 min":                            {2, time.Time{}, webhooks.Try{Error: "dns"}, want{ready, 2 * time.Minute}},
		"a fourth 10 min":                          {3, time.Time{}, webhooks.Try{Error: "reset"}, want{ready, 10 * time.Minute}},
		"a fifth 30 min":                           {4, time.Time{}, webhooks.Try{Error: "tls"}, want{ready, 30 * time.Minute}},
		"a sixth 2 h":                              {5, time.Time{}, webhooks.Try{Error: "tls"}, want{ready, 2 * time.Hour}},
		"a seventh 5 h":                            {6, time.Time{}, webhooks.Try{Error: "tls"}, want{ready, 5 * time.Hour}},
		"an eighth 10 h":                           {7, time.Time{}, webhooks.Try{Error: "tls"}, want{ready, 10 * time.Hour}},
		"a ninth 10 h":                             {8, time.Time{}, webhooks.Try{Error: "tls"}, want{ready, 10 * time.Hour}},
		"a tenth failure is the last":              {9, time.Time{}, webhooks.Try{Error: "tls"}, want{dead, 0}},
		"410 is dead at once":                      {0, time.Time{}, webhooks.Try{Status: 410, Error: "gone"}, want{dead, 0}},
		"404 is tried again":                       {0, time.Time{}, webhooks.Try{Status: 404, Error: "http_4xx"}, want{ready, 5 * time.Second}},
		"and once more":                            {1, time.Time{}, webhooks.Try{Status: 404, Error: "http_4xx"}, want{ready, 30 * time.Second}},
		"but not after three tries":                {2, time.Time{}, webhooks.Try{Status: 404, Error: "http_4xx"}, want{dead, 0}},
		"408 keeps the whole schedule":             {2, time.Time{}, webhooks.Try{Status: 408, Error: "http_4xx"}, want{ready, 2 * time.Minute}},
		"425 keeps the whole schedule":             {2, time.Time{}, webhooks.Try{Status: 425, Error: "http_4xx"}, want{ready, 2 * time.Minute}},
		"429 keeps the whole schedule":             {2, time.Time{}, webhooks.Try{Status: 429, Error: "http_4xx"}, want{ready, 2 * time.Minute}},
		"a redirect keeps the whole schedule":      {2, time.Time{}, webhooks.Try{Status: 302, Error: "redirect"}, want{ready, 2 * time.Minute}},
		"Retry-After is obeyed":                    {0, time.Time{}, webhooks.Try{Status: 503, Error: "http_5xx", RetryAfter: 17 * time.Minute}, want{ready, 17 * time.Minute}},
		"up to an hour":                            {0, time.Time{}, webhooks.Try{Status: 429, Error: "http_4xx", RetryAfter: 48 * time.Hour}, want{ready, time.Hour}},
		"and never shortens the schedule":          {4, time.Time{}, webhooks.Try{Status: 503, Error: "http_5xx", RetryAfter: time.Second}, want{ready, 30 * time.Minute}},
		"what would be stale by then expires":      {1, soon, webhooks.Try{Status: 500, Error: "http_5xx"}, want{expired, 0}},
		"what would not is tried again":            {0, soon, webhooks.Try{Status: 500, Error: "http_5xx"}, want{ready, 5 * time.Second}},
		"what is stale and delivered is delivered": {0, now, webhooks.Try{Status: 200}, want{delivered, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := webhooks.Judge(scheduler.Delivery{Tries: c.tries, ExpiresAt: c.expires}, c.try, now, 0.5)
			wanted := webhooks.Verdict{State: c.want.state}
			if c.want.state == ready {
				wanted.NextAt = now.Add(c.want.delay)
			}
			if got != wanted {
				t.Errorf("got %+v, want %+v", got, wanted)
			}
		})
	}
}

func TestDelaysSpreadByAFifthEitherWay(t *testing.T) {
	now := time.Now()
	try := webhooks.Try{Error: "refused"}
	for luck, want := range map[float64]time.Duration{0: 8 * time.Hour, 0.5: 10 * time.Hour, 1: 12 * time.Hour} {
		if got := webhooks.Judge(scheduler.Delivery{Tries: 8}, try, now, luck).NextAt.Sub(now); got != want {
			t.Errorf("with luck %v it waits %v, want %v", luck, got, want)
		}
	}
}
