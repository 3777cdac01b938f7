package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// callbacks answers /extension/{extension_id}/callback.
type callbacks struct {
	tasks tasks // checks what is asked as it does of tasks
	calls Caller
}

// callbackRequest is a call that is to be made at once.
type callbackRequest struct {
	src    []string // the first is A, the others ring beside it
	dst    string
	params scheduler.DraftParams
}

// callbackShape is a call to be made at once, in requests: its numbers beside
// the callback parameters of a task.
var callbackShape = newShape(append(beside(paramsShape),
	member[callbackRequest]{"src_num", "SrcNum", func(d *decoder, r *callbackRequest) { d.texts(&r.src) }},
	member[callbackRequest]{"dst_num", "DstNum", func(d *decoder, r *callbackRequest) { d.text(&r.dst) }},
)...)

// beside are the members of the callback parameters where they stand beside
// the numbers.
func beside(params shape[scheduler.DraftParams]) []member[callbackRequest] {
	var members []member[callbackRequest]
	for _, m := range params.members {
		members = append(members, member[callbackRequest]{m.name, m.field, func(d *decoder, r *callbackRequest) { m.read(d, &r.params) }})
	}
	return members
}

// callbackAnswer is a call that is on its way.
type callbackAnswer struct {
	CallAPIID string           `json:"call_api_id"` // of the request
	CallID    scheduler.CallID `json:"call_id"`
}

// draft is the call as a task that is not to be stored.
func (r callbackRequest) draft(ext scheduler.ExtensionID) scheduler.Draft {
	d := scheduler.Draft{BNumber: r.dst, ExtensionID: ext, Params: r.params}
	if len(r.src) > 0 {
		d.ANumber = r.src[0]
		d.Params.ExtendedA = slices.Concat(r.src[1:], r.params.ExtendedA)
	}
	return d
}

// field is what a fault of the draft is a fault of.
func (r callbackRequest) field(field string) string {
	switch field {
	case "ANumber":
		return "SrcNum"
	case "BNumber":
		return "DstNum"
	case "Params.ExtendedA": // too many in all
		if len(r.src) <= 1 {
			return "ExtendedA"
		}
		return "SrcNum"
	}
	field = strings.TrimPrefix(field, "Params.")
	var i int
	if n, _ := fmt.Sscanf(field, "ExtendedA[%d]", &i); n == 1 {
		if rest := i - (len(r.src) - 1); rest >= 0 {
			return "ExtendedA[" + strconv.Itoa(rest) + "]"
		}
		return "SrcNum[" + strconv.Itoa(i+1) + "]"
	}
	return field
}

// add makes a call for the extension of the path at once.
func (s callbacks) add(c echo.Context, me caller) error {
	ctx, now := c.Request().Context(), s.tasks.now()
	id, err := rowID[scheduler.ExtensionID](c, "extension_id")
	if err != nil {
		return err
	}
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return err
	}
	var r callbackRequest
	callbackShape.read(d, &r)
	in := s.tasks.intake(ctx, me, 0, now)
	var faults scheduler.Faults
	task := in.NewTask(r.draft(id), "", &faults)
	if in.err != nil {
		return in.err
	}
	for _, f := range faults {
		if f.Field = r.field(f.Field); !d.faulty(f.Field) {
			d.faults = append(d.faults, f)
		}
	}
	if err := d.err(); err != nil {
		return err
	}
	request := c.Response().Header().Get(headerRequestID)
	if once := scheduler.OnceOf(ctx); once != nil {
		once.Answer = request
	}
	call, err := s.call(ctx, task, in.known[id])
	if err != nil {
		return err
	}
	tellIgnored(c, d)
	return answer(c, http.StatusCreated, callbackAnswer{CallAPIID: request, CallID: call})
}

// again answers the call that was made before.
func (s callbacks) again(c echo.Context, _ caller, kept scheduler.Once) error {
	return answer(c, http.StatusCreated, callbackAnswer{CallAPIID: kept.Answer, CallID: kept.Call})
}

// call makes the call, unless the node may not call now.
func (s callbacks) call(ctx context.Context, task scheduler.Task, ext scheduler.Extension) (scheduler.CallID, error) {
	if s.tasks.holding != nil {
		if holds := s.tasks.holding(); len(holds) > 0 {
			kind := scheduler.Busy
			if holds[0].Gate == scheduler.GateDialer {
				kind = scheduler.Conflict
			}
			return "", scheduler.Errorf(kind, "%s: %s", holds[0].Gate, holds[0].Detail)
		}
	}
	return s.calls.CallNow(ctx, task, ext)
}
