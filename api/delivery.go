package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/webhooks"
)

// deliveries answers …/webhooks/deliveries and …/webhooks/resend.
type deliveries struct {
	reader DeliveryReader
	writer DeliveryWriter
	now    func() time.Time
}

// deliveryAnswer is an event owed to a URL, as it is told.
type deliveryAnswer struct {
	ID         scheduler.DeliveryID    `json:"id"`
	EventID    string                  `json:"event_id"`
	Type       string                  `json:"type"`
	TaskID     scheduler.TaskID        `json:"task_id"`
	Attempt    int                     `json:"attempt"`
	Sequence   int                     `json:"sequence"`
	URL        string                  `json:"url"`
	State      scheduler.DeliveryState `json:"state"`
	Tries      int                     `json:"tries"`
	LastError  string                  `json:"last_error"`
	NextTry    string                  `json:"next_try_utc"` // "": none will be made
	Expires    string                  `json:"expire_date_utc"`
	CreateDate string                  `json:"create_date_utc"`
	EndDate    string                  `json:"end_date_utc"`
}

func (a deliveryAnswer) rowID() int64 { return int64(a.ID) }

// deliveryDetail is one of them with what was sent, and its tries.
type deliveryDetail struct {
	deliveryAnswer

	Body string      `json:"body"`
	Log  []tryAnswer `json:"log"`
}

// tryAnswer is one request that was made.
type tryAnswer struct {
	Time       string `json:"time_utc"` // with fractions
	DurationMS int64  `json:"duration_ms"`
	Remote     string `json:"remote_address"`
	Status     *int   `json:"status"` // null without an answer
	Error      string `json:"error"`
	Response   string `json:"response"`
}

// eventType spells a kind of event as its body does.
func eventType(k scheduler.EventKind) string { return webhooks.EventType(k) }

// kinds are the types of events, by their names.
var kinds = []scheduler.EventKind{
	scheduler.EventBefore, scheduler.EventBeforeAgain, scheduler.EventSuccess, scheduler.EventAfter, scheduler.EventAccountTask,
}

func tellDelivery(d scheduler.Delivery) deliveryAnswer {
	a := deliveryAnswer{
		ID: d.ID, EventID: d.EventID, Type: eventType(d.Kind), TaskID: max(d.TaskID, 0), Attempt: d.Attempt, Sequence: d.Sequence,
		URL: d.URL, State: d.State, Tries: d.Tries, LastError: d.LastError, Expires: date(d.ExpiresAt),
		CreateDate: date(d.CreatedAt), EndDate: date(d.EndedAt),
	}
	if !d.State.Ended() {
		a.NextTry = date(d.NextAt)
	}
	return a
}

func tellTry(t webhooks.Try) tryAnswer {
	return tryAnswer{
		Time: *fraction(t.At), DurationMS: t.Took.Milliseconds(), Remote: t.Remote, Status: positive(t.Status),
		Error: t.Error, Response: printable(t.Response),
	}
}

// printable is the beginning of an answer as text; what is no UTF-8 is replaced.
func printable(b []byte) string { return string([]rune(string(b))) }

func (s deliveries) list(c echo.Context, me caller) error {
	q := newQuery(c)
	var f webhooks.Filter
	for _, given := range q.all("state") {
		f.States = append(f.States, oneOf(q, "state", given, webhooks.States))
	}
	if given := q.text("type"); given != "" {
		f.Kind = kindOf(func(message string) { q.fault("type", message) }, given)
	}
	f.TaskID = scheduler.TaskID(q.id("task_id"))
	f.Destination = webhooks.DestinationID(q.id("destination_id"))
	f.Error = q.text("error")
	f.From, f.To = q.date("created_from"), q.date("created_to")
	page := q.cursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.reader.Deliveries(c.Request().Context(), me.client, f, page)
	if err != nil {
		return err
	}
	return answerList(c, found, tellDelivery)
}

// oneOf returns a value that must be one of some.
func oneOf(q *query, name, given string, allowed []scheduler.DeliveryState) scheduler.DeliveryState {
	state := scheduler.DeliveryState(given)
	if !slices.Contains(allowed, state) {
		q.fault(name, "must be one of ready, held, delivered, dead, expired")
	}
	return state
}

// kindOf returns the kind of event that has a name.
func kindOf(fault func(message string), given string) scheduler.EventKind {
	for _, k := range kinds {
		if eventType(k) == given {
			return k
		}
	}
	fault("must be one of task.before, task.before_again, task.success, task.after, account_task.finished")
	return ""
}

func (s deliveries) get(c echo.Context, me caller) error {
	id, err := rowID[scheduler.DeliveryID](c, "delivery_id")
	if err != nil {
		return err
	}
	d, tries, err := s.reader.Delivery(c.Request().Context(), me.client, id)
	if err != nil {
		return err
	}
	told := deliveryDetail{deliveryAnswer: tellDelivery(d), Body: string(d.Body), Log: make([]tryAnswer, len(tries))}
	for i, t := range tries {
		told.Log[i] = tellTry(t)
	}
	return answer(c, http.StatusOK, told)
}

// resend sends one once more. It takes no body.
func (s deliveries) resend(c echo.Context, me caller) error {
	id, err := rowID[scheduler.DeliveryID](c, "delivery_id")
	if err != nil {
		return err
	}
	d, err := s.writer.Resend(c.Request().Context(), me.client, id, s.now())
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellDelivery(d))
}

// again answers what a resend sent before.
func (s deliveries) again(c echo.Context, me caller, kept scheduler.Once) error {
	d, _, err := s.reader.Delivery(c.Request().Context(), me.client, scheduler.DeliveryID(only(kept)))
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellDelivery(d))
}

// allAgain answers how many a resend sent before.
func (s deliveries) allAgain(c echo.Context, _ caller, kept scheduler.Once) error {
	return answer(c, http.StatusCreated, resendAnswer{len(kept.IDs), false})
}

// resendRequest selects what is sent once more.
type resendRequest struct {
	filter webhooks.Filter
	states []string
	dry    bool
}

// resendShape is what …/webhooks/resend takes.
var resendShape = newShape(
	member[resendRequest]{"filter", "Filter", func(d *decoder, r *resendRequest) {
		if d.expect(kindObject, "an object") {
			d.inside(func() { resendFilterShape.read(d, r) })
		}
	}},
	member[resendRequest]{"dry_run", "DryRun", func(d *decoder, r *resendRequest) { d.boolean(&r.dry) }},
)

// resendFilterShape is the filter of …/webhooks/resend.
var resendFilterShape = newShape(
	member[resendRequest]{"state", "States", func(d *decoder, r *resendRequest) { r.readStates(d) }},
	member[resendRequest]{"type", "Kind", func(d *decoder, r *resendRequest) {
		if s := *d.given(); s != "" {
			r.filter.Kind = kindOf(d.fault, s)
		}
	}},
	member[resendRequest]{"task_id", "TaskID", func(d *decoder, r *resendRequest) { n, _ := d.integer(); r.filter.TaskID = scheduler.TaskID(n) }},
	member[resendRequest]{"destination_id", "Destination", func(d *decoder, r *resendRequest) {
		n, _ := d.integer()
		r.filter.Destination = webhooks.DestinationID(n)
	}},
	member[resendRequest]{"error", "LastError", func(d *decoder, r *resendRequest) { d.text(&r.filter.Error) }},
	member[resendRequest]{"created_from", "From", func(d *decoder, r *resendRequest) { d.date(&r.filter.From) }},
	member[resendRequest]{"created_to", "To", func(d *decoder, r *resendRequest) { d.date(&r.filter.To) }},
)

// readStates reads one state that ended, or a list of them.
func (r *resendRequest) readStates(d *decoder) {
	if d.kind() == kindString {
		r.states = []string{d.string()}
	} else {
		d.texts(&r.states)
	}
	r.filter.States = nil
	for _, given := range r.states {
		state := scheduler.DeliveryState(given)
		if !slices.Contains(webhooks.States, state) || !state.Ended() {
			d.fault("must be one of delivered, dead, expired")
		}
		r.filter.States = append(r.filter.States, state)
	}
}

// boolean reads true or false; null is false.
func (d *decoder) boolean(into *bool) {
	*into = false
	if d.kind() == kindNull {
		d.skip()
		return
	}
	if err := json.Unmarshal([]byte(d.raw()), into); err != nil {
		d.fault("must be true or false")
	}
}

// resendAnswer says how many events are sent once more.
type resendAnswer struct {
	Count  int  `json:"count"`
	DryRun bool `json:"dry_run"`
}

func (s deliveries) resendAll(c echo.Context, me caller) error {
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return err
	}
	r := resendRequest{filter: webhooks.Filter{States: webhooks.Unsent}}
	resendShape.read(d, &r)
	if err := d.err(); err != nil {
		return err
	}
	n, err := s.writer.ResendAll(c.Request().Context(), me.client, r.filter, s.now(), r.dry)
	if err != nil {
		return err
	}
	if r.dry {
		return answer(c, http.StatusOK, resendAnswer{n, true})
	}
	return answer(c, http.StatusCreated, resendAnswer{n, false})
}
