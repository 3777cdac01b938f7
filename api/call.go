package api

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// calls answers …/call_history.
type calls struct{ history History }

// callAnswer is a call as the history tells it. What has not happened, or has
// not happened yet, is null.
type callAnswer struct {
	CallUUID          scheduler.CallID      `json:"call_uuid"`
	Flow              string                `json:"flow"`
	InitTime          *string               `json:"init_time_gmt"`    // dialling began
	StartTime         *string               `json:"start_time_gmt"`   // A answered
	BridgedTime       *string               `json:"bridged_time_gmt"` // A and B were connected
	HangupTime        *string               `json:"hangup_time_gmt"`
	Duration          *int64                `json:"duration"`         // seconds, from init to hangup
	BridgedDuration   *int64                `json:"bridged_duration"` // seconds, from bridged to hangup
	FromUsername      string                `json:"from_username"`
	ToUsername        string                `json:"to_username"`
	ExtensionID       scheduler.ExtensionID `json:"extension_id"`
	ClientOwnerID     scheduler.ClientID    `json:"client_owner_id"`
	TaskID            scheduler.TaskID      `json:"task_id"`
	SchedulerID       scheduler.QueueID     `json:"scheduler_id"`
	Attempt           int                   `json:"attempt"`
	Variables         map[string]string     `json:"variables"`
	Simulated         bool                  `json:"simulated"`
	Result            scheduler.CallResult  `json:"result"`
	HangupCause       string                `json:"hangup_cause"`
	HangupDisposition scheduler.HangupBy    `json:"hangup_disposition"`
	Legs              []legAnswer           `json:"cdr"`
}

// cursor is the place of a call in lists.
func (a callAnswer) cursor() string { return string(a.CallUUID) }

// legAnswer is one leg of a call.
type legAnswer struct {
	Leg         scheduler.Role       `json:"leg"`
	Number      string               `json:"number"`
	InitTime    *string              `json:"init_time_gmt"`
	RingTime    *string              `json:"ring_time_gmt"`
	StartTime   *string              `json:"start_time_gmt"` // answered
	HangupTime  *string              `json:"hangup_time_gmt"`
	Result      scheduler.CallResult `json:"result"`
	SIPCode     *int                 `json:"sip_code"`
	Q850        *int                 `json:"q850"`
	HangupCause string               `json:"hangup_cause"`
	PDD         *int64               `json:"pdd_ms"`
	Trunk       string               `json:"trunk"`
}

// flowOut is the direction of every call: ringback makes them.
const flowOut = "out"

func tellCall(a scheduler.Attempt) callAnswer {
	told := callAnswer{
		CallUUID: a.CallID, Flow: flowOut,
		InitTime: fraction(a.StartedAt), StartTime: fraction(a.AnsweredAt), BridgedTime: fraction(a.BridgedAt), HangupTime: fraction(a.EndedAt),
		Duration: between(a.StartedAt, a.EndedAt), BridgedDuration: between(a.BridgedAt, a.EndedAt),
		FromUsername: a.From, ToUsername: a.To, ExtensionID: a.ExtensionID, ClientOwnerID: a.ClientID,
		TaskID: a.TaskID, SchedulerID: a.QueueID, Attempt: a.Number, Variables: told(a.Variables), Simulated: a.Simulated,
		Result: a.Result, HangupCause: a.HangupCause, HangupDisposition: a.HangupBy, Legs: make([]legAnswer, len(a.Legs)),
	}
	for i, l := range a.Legs {
		told.Legs[i] = tellLeg(l)
	}
	return told
}

func tellLeg(l scheduler.Leg) legAnswer {
	told := legAnswer{
		Leg: l.Role, Number: l.Number, Trunk: l.Trunk,
		InitTime: fraction(l.StartedAt), RingTime: fraction(l.RangAt), StartTime: fraction(l.AnsweredAt), HangupTime: fraction(l.EndedAt),
		SIPCode: positive(l.SIP), Q850: positive(l.Q850), HangupCause: l.CauseName(),
	}
	if l.Disposition != "" {
		told.Result = scheduler.CallResultOf(l.Disposition)
	}
	if !l.RangAt.IsZero() {
		told.PDD = new(l.PDD().Milliseconds())
	}
	return told
}

// told returns variables as an object, also if there are none.
func told(variables map[string]string) map[string]string {
	if variables == nil {
		return map[string]string{}
	}
	return variables
}

func positive(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// between returns the whole seconds between two moments, rounded; nil if one
// of them has not happened.
func between(from, to time.Time) *int64 {
	if from.IsZero() || to.IsZero() {
		return nil
	}
	return new(int64(math.Round(to.Sub(from).Seconds())))
}

// historyAnswer is a page of the call history.
type historyAnswer struct {
	Page    int          `json:"page"`
	PerPage int          `json:"per_page"`
	Order   string       `json:"order"`
	Calls   []callAnswer `json:"call_history"`
}

func (s calls) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.callCursor(q.page(true))
	filter := scheduler.CallFilter{
		From: q.date("start_datetime"), To: q.date("end_datetime"),
		ExtensionID: scheduler.ExtensionID(q.id("extension_id")), ToNumber: q.text("to_username"),
		Result: scheduler.CallResult(q.choice("result", "bridged", "answered", "not answered", "busy", "rejected", "failed")),
		TaskID: scheduler.TaskID(q.id("task_id")), QueueID: scheduler.QueueID(q.id("scheduler_id")),
	}
	if err := q.err(); err != nil {
		return err
	}
	if strings.Contains(c.Request().Header.Get(echo.HeaderAccept), "text/csv") {
		return s.csv(c, me, filter, page.Descending)
	}
	found, err := s.history.Calls(c.Request().Context(), me.client, filter, page)
	if err != nil {
		return err
	}
	body := historyAnswer{Page: page.Number, PerPage: page.Size, Order: "asc", Calls: make([]callAnswer, len(found.Rows))}
	if page.Descending {
		body.Order = "desc"
	}
	for i, row := range found.Rows {
		body.Calls[i] = tellCall(row)
	}
	total(c, found.Total)
	last := ""
	if n := len(body.Calls); n > 0 {
		last = body.Calls[n-1].cursor()
	}
	links(c, len(body.Calls), found.Total, last)
	return answer(c, http.StatusOK, body)
}

func (s calls) get(c echo.Context, me caller) error {
	id, err := callID(c.Param("call_uuid"))
	if err != nil {
		return err
	}
	call, err := s.history.CallByID(c.Request().Context(), me.client, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellCall(call))
}

// callID reads the id of a call: in any case, and also as a GUID with hyphens.
func callID(given string) (scheduler.CallID, error) {
	id := strings.ReplaceAll(strings.ToLower(given), "-", "")
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return "", &problem{code: http.StatusNotFound}
	}
	return scheduler.CallID(id), nil
}
