package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/webhooks"
)

// destinations answers …/webhooks/destinations.
type destinations struct {
	reader   DestinationReader
	writer   DestinationWriter
	keys     Keys
	onces    OnceKeys
	send     func(ctx context.Context, w webhooks.Work) webhooks.Try
	checkURL func(url string) error
	now      func() time.Time
}

// destinationRequest is what a client asks of a destination; what it does not
// name stays.
type destinationRequest struct {
	paused   *bool
	enabled  *bool
	limited  bool // max_in_flight is given
	inFlight int
	rate     *float64 // 0: none
}

// destinationShape is a destination in requests.
var destinationShape = newShape(
	member[destinationRequest]{"paused", "Paused", func(d *decoder, r *destinationRequest) { r.paused = new(bool); d.boolean(r.paused) }},
	member[destinationRequest]{"enabled", "Enabled", func(d *decoder, r *destinationRequest) { r.enabled = new(bool); d.boolean(r.enabled) }},
	member[destinationRequest]{"max_in_flight", "MaxInFlight", func(d *decoder, r *destinationRequest) { r.readInFlight(d) }},
	member[destinationRequest]{"max_rate", "MaxRate", func(d *decoder, r *destinationRequest) { r.readRate(d) }},
	member[destinationRequest]{name: "id"},
	member[destinationRequest]{name: "origin"},
	member[destinationRequest]{name: "state"},
	member[destinationRequest]{name: "open_until_utc"},
	member[destinationRequest]{name: "failures"},
	member[destinationRequest]{name: "failing_since_utc"},
	member[destinationRequest]{name: "last_success_utc"},
	member[destinationRequest]{name: "create_date_utc"},
)

func (r *destinationRequest) readInFlight(d *decoder) {
	r.limited, r.inFlight = true, 0
	if n, ok := d.integer(); ok {
		if n < 1 || n > webhooks.MaxInFlight {
			d.fault(fmt.Sprintf("must be between 1 and %d, or null", webhooks.MaxInFlight))
		}
		r.inFlight = int(n)
	}
}

// readRate reads requests a second; null is no limit.
func (r *destinationRequest) readRate(d *decoder) {
	r.rate = new(float64)
	text := ""
	switch d.kind() {
	case kindNull:
		d.skip()
		return
	case kindNumber:
		text = d.number()
	case kindString:
		text = d.string()
	default:
		d.skip()
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate >= webhooks.MinRate && rate <= webhooks.MaxRate) {
		d.fault(fmt.Sprintf("must be a number between %g and %d, or null", webhooks.MinRate, webhooks.MaxRate))
		return
	}
	*r.rate = rate
}

// destinationAnswer is a destination as it is told.
type destinationAnswer struct {
	ID           webhooks.DestinationID    `json:"id"`
	Origin       string                    `json:"origin"`
	State        webhooks.DestinationState `json:"state"`
	Paused       bool                      `json:"paused"`
	Enabled      bool                      `json:"enabled"`
	MaxInFlight  *int                      `json:"max_in_flight"`
	MaxRate      *float64                  `json:"max_rate"`
	OpenUntil    string                    `json:"open_until_utc"`
	Failures     int                       `json:"failures"` // since the last success
	FailingSince string                    `json:"failing_since_utc"`
	LastSuccess  string                    `json:"last_success_utc"`
	CreateDate   string                    `json:"create_date_utc"`
}

func (a destinationAnswer) rowID() int64 { return int64(a.ID) }

func (s destinations) tell(d webhooks.Destination) destinationAnswer {
	a := destinationAnswer{
		ID: d.ID, Origin: d.Origin, State: d.State(s.now()), Paused: !d.PausedAt.IsZero(), Enabled: d.DisabledAt.IsZero(),
		MaxInFlight: positive(d.MaxInFlight), Failures: d.Failures, OpenUntil: date(d.OpenUntil),
		FailingSince: date(d.FailingSince), LastSuccess: date(d.SucceededAt), CreateDate: date(d.CreatedAt),
	}
	if d.MaxRate > 0 {
		a.MaxRate = &d.MaxRate
	}
	return a
}

func (s destinations) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.cursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.reader.Destinations(c.Request().Context(), me.client, page)
	if err != nil {
		return err
	}
	return answerList(c, found, s.tell)
}

func (s destinations) get(c echo.Context, me caller) error {
	id, err := rowID[webhooks.DestinationID](c, "destination_id")
	if err != nil {
		return err
	}
	d, err := s.reader.Destination(c.Request().Context(), me.client, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, s.tell(d))
}

func (s destinations) change(c echo.Context, me caller) error {
	id, err := rowID[webhooks.DestinationID](c, "destination_id")
	if err != nil {
		return err
	}
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return err
	}
	var r destinationRequest
	destinationShape.read(d, &r)
	if err := d.err(); err != nil {
		return err
	}
	changed, err := s.writer.UpdateDestination(c.Request().Context(), me.client, id, func(d *webhooks.Destination) error {
		return r.apply(d, s.now())
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, s.tell(changed))
}

// apply makes a destination what is asked for. Nobody but us disables one: what
// is to be sent later is paused.
func (r destinationRequest) apply(d *webhooks.Destination, now time.Time) error {
	if r.enabled != nil && !*r.enabled && d.DisabledAt.IsZero() {
		return scheduler.Faults{{Field: "Enabled", Message: `must be true: to send nothing for a while, set "paused"`}}.Err()
	}
	if r.limited {
		d.MaxInFlight = r.inFlight
	}
	if r.rate != nil {
		d.MaxRate = *r.rate
	}
	if r.paused != nil {
		*d = d.Pause(*r.paused, now)
	}
	if r.enabled != nil && *r.enabled {
		*d = d.Enable(now)
	}
	return nil
}

// testRequest is what …/test takes: a URL of the destination, its origin's root
// without one.
type testRequest struct{ url string }

// testShape is the request of a test event.
var testShape = newShape(
	member[testRequest]{"url", "URL", func(d *decoder, r *testRequest) { d.text(&r.url) }},
)

// test sends a test event at once, whatever the state of the destination, and
// answers how it went.
func (s destinations) test(c echo.Context, me caller) error {
	id, err := rowID[webhooks.DestinationID](c, "destination_id")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	destination, err := s.reader.Destination(ctx, me.client, id)
	if err != nil {
		return err
	}
	r := testRequest{url: destination.Origin + "/"}
	if c.Request().ContentLength != 0 {
		d, err := newDecoder(c, callback.lenient)
		if err != nil {
			return err
		}
		testShape.read(d, &r)
		if len(d.faults) == 0 && d.wrong == "" {
			d.field = "URL"
			if webhooks.Origin(r.url) != destination.Origin {
				d.fault("must be a URL of " + destination.Origin)
			} else if err := s.checkURL(r.url); err != nil {
				d.fault(err.Error())
			}
		}
		if err := d.err(); err != nil {
			return err
		}
	}
	keys, err := s.keys.Secrets(ctx, me.client)
	if err != nil {
		return err
	}
	event := webhooks.NewEventID()
	try := s.send(ctx, webhooks.Work{
		Delivery: scheduler.Delivery{
			ClientID: me.client, EventID: event, Origin: destination.Origin, URL: r.url, Body: webhooks.TestBody(event, me.client, s.now()),
		},
		Secrets: keys,
	})
	told := tellTry(try)
	if once := scheduler.OnceOf(ctx); once != nil {
		text, err := encode(told)
		if err != nil {
			return err
		}
		// The audit tells of what is changed here.
		once.Answer = string(text)
		if err := s.onces.FinishOnce(scheduler.WithActor(context.WithoutCancel(ctx), nil), once); err != nil {
			return err
		}
	}
	return answer(c, http.StatusOK, told)
}

// testAgain answers what came of a test that was sent before.
func (s destinations) testAgain(c echo.Context, _ caller, kept scheduler.Once) error {
	return answer(c, http.StatusOK, json.RawMessage(kept.Answer))
}
