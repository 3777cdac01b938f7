package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// forecastAnswer is when a task of a dry run would start.
type forecastAnswer struct {
	Index  int    `json:"index"`     // of the request
	Start  string `json:"start_utc"` // "" if never, as the queue stands
	Misses bool   `json:"misses_deadline"`
}

// rehearse answers a dry run: when each task would start, if it were stored.
func (s tasks) rehearse(c echo.Context, me caller, queue scheduler.QueueID, made []scheduler.Task, now time.Time) error {
	outlook, err := s.outlooks.Outlook(c.Request().Context(), me.client, queue, made)
	if err != nil {
		return err
	}
	told := make([]forecastAnswer, len(made))
	for i, f := range outlook.Forecast(made, now) {
		told[i] = forecastAnswer{Index: i, Start: date(f.Start), Misses: f.Misses}
	}
	return answer(c, http.StatusOK, told)
}
