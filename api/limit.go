package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// limits answers …/limit.
type limits struct {
	reader LimitReader
	meter  *meter
}

// limitAnswer is a limit in force for a client, as it is told.
type limitAnswer struct {
	Name        string                `json:"name"`
	ExtensionID scheduler.ExtensionID `json:"extension_id"` // 0: not of one
	SchedulerID scheduler.QueueID     `json:"scheduler_id"` // 0: not of one
	Limit       int                   `json:"limit"`
	Used        int                   `json:"used"`
	Remaining   int                   `json:"remaining"`
	Reset       *int                  `json:"reset"` // seconds; null: each call that ends makes room
}

func (s limits) list(c echo.Context, me caller) error {
	q := newQuery(c)
	if err := q.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	calls, err := s.reader.CallLimits(ctx, me.client)
	if err != nil {
		return err
	}
	requests := s.meter.count("client "+string(me.client), me.settings.Requests(), 0)
	told := []limitAnswer{{
		Name: limitRequests, Limit: requests.limit, Used: requests.limit - requests.remaining, Reset: new(int(requests.reset.Seconds())),
	}}
	for _, l := range calls {
		a := limitAnswer{Name: string(scheduler.GateExtension), ExtensionID: l.ExtensionID, Limit: l.Most, Used: l.Running}
		if l.ExtensionID == 0 {
			a.Name = string(scheduler.GateClient)
		}
		told = append(told, a)
	}
	queues, err := s.reader.QueueLimits(ctx, me.client)
	if err != nil {
		return err
	}
	for _, l := range queues {
		told = append(told, limitAnswer{Name: string(scheduler.GateConcurrent), SchedulerID: l.QueueID, Limit: l.Most, Used: l.Running})
	}
	for i := range told {
		told[i].Remaining = max(0, told[i].Limit-told[i].Used)
	}
	return answer(c, http.StatusOK, told)
}
