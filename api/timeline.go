package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// momentAnswer is one thing that happened to a task.
type momentAnswer struct {
	At       *string              `json:"at_gmt"`
	Kind     scheduler.MomentKind `json:"kind"`
	Attempt  int                  `json:"attempt"` // 0: of none
	CallUUID scheduler.CallID     `json:"call_uuid"`
	Leg      scheduler.Role       `json:"leg"`
	Result   string               `json:"result"`
	Detail   string               `json:"detail"`
}

func tellMoment(m scheduler.Moment) momentAnswer {
	return momentAnswer{
		At: fraction(m.At), Kind: m.Kind, Attempt: m.Attempt, CallUUID: m.CallID, Leg: m.Leg, Result: m.Result, Detail: m.Detail,
	}
}

// timeline tells what happened to a task, in order.
func (s tasks) timeline(c echo.Context, me caller) error {
	queue, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	id, err := rowID[scheduler.TaskID](c, "task_id")
	if err != nil {
		return err
	}
	if err := newQuery(c).err(); err != nil {
		return err
	}
	trace, err := s.reader.Trace(c.Request().Context(), me.client, queue, id)
	if err != nil {
		return err
	}
	moments := trace.Timeline()
	told := make([]momentAnswer, len(moments))
	for i, m := range moments {
		told[i] = tellMoment(m)
	}
	return answer(c, http.StatusOK, told)
}
