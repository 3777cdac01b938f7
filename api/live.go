package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// live answers …/call: calls that are under way.
type live struct {
	calls Live
	now   func() time.Time
}

func (s live) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.callCursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.calls.LiveCalls(c.Request().Context(), me.client, page)
	if err != nil {
		return err
	}
	return answerList(c, found, tellCall)
}

func (s live) get(c echo.Context, me caller) error {
	id, err := callID(c.Param("call_uuid"))
	if err != nil {
		return err
	}
	call, err := s.calls.LiveCall(c.Request().Context(), me.client, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellCall(call))
}

// hangUp ends a call; it does not wait for its end.
func (s live) hangUp(c echo.Context, me caller) error {
	id, err := callID(c.Param("call_uuid"))
	if err != nil {
		return err
	}
	if err := s.calls.HangUp(c.Request().Context(), me.client, id, s.now()); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
