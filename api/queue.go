package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// queues answers …/task_scheduler.
type queues struct {
	reader    QueueReader
	states    QueueStates
	writer    QueueWriter
	intervals IntervalReader
	now       func() time.Time
}

// queueRequest is what a client asks of a queue; what it does not name stays.
type queueRequest struct {
	name, comment *string
	on            *bool
	limited       bool // concurrent_task_limit is given
	limit         int  // 0: none
	windowed      bool // interval_id is given
	interval      *scheduler.IntervalID
	rate          *float64 // 0: none
	priority      *int
	beforeWait    *int // milliseconds
	brake         brakeRequest
}

// queueShape is a queue in requests.
var queueShape = newShape(
	member[queueRequest]{"name", "Name", func(d *decoder, r *queueRequest) { r.name = d.given() }},
	member[queueRequest]{"comment", "Comment", func(d *decoder, r *queueRequest) { r.comment = d.given() }},
	member[queueRequest]{"status", "On", func(d *decoder, r *queueRequest) { r.on = d.either("on", "off") }},
	member[queueRequest]{"concurrent_task_limit", "Limit", func(d *decoder, r *queueRequest) { r.readLimit(d) }},
	member[queueRequest]{"interval_id", "IntervalID", func(d *decoder, r *queueRequest) { r.readInterval(d) }},
	member[queueRequest]{"start_rate", "StartRate", func(d *decoder, r *queueRequest) { r.readRate(d) }},
	member[queueRequest]{"asr_min_percent", "ASRMinPercent", func(d *decoder, r *queueRequest) { r.brake.readPercent(d) }},
	member[queueRequest]{"asr_basis", "ASRBasis", func(d *decoder, r *queueRequest) { r.brake.readBasis(d) }},
	member[queueRequest]{"asr_window_s", "ASRWindow", func(d *decoder, r *queueRequest) {
		d.between(&r.brake.window, scheduler.MinBrakeWindow, scheduler.MaxBrakeWindow)
	}},
	member[queueRequest]{"asr_min_attempts", "ASRMinAttempts", func(d *decoder, r *queueRequest) {
		d.between(&r.brake.attempts, 1, scheduler.MaxBrakeAttempts)
	}},
	member[queueRequest]{"asr_pause_s", "ASRPause", func(d *decoder, r *queueRequest) {
		d.between(&r.brake.pause, 1, scheduler.MaxBrakePause)
	}},
	member[queueRequest]{"priority", "Priority", func(d *decoder, r *queueRequest) { d.between(&r.priority, 0, scheduler.MaxPriority) }},
	member[queueRequest]{"before_wait_ms", "BeforeWait", func(d *decoder, r *queueRequest) {
		d.between(&r.beforeWait, 0, int(scheduler.MaxBeforeWait.Milliseconds()))
	}},
	member[queueRequest]{name: "id"},
	member[queueRequest]{name: "create_date_utc"},
	member[queueRequest]{name: "hold"},
	member[queueRequest]{name: "counts"},
)

func (r *queueRequest) readLimit(d *decoder) {
	r.limited, r.limit = true, d.limit(`to start nothing, set "status" to "off"`)
}

// readInterval reads the id of a calling window; null and 0 are none.
func (r *queueRequest) readInterval(d *decoder) {
	r.windowed, r.interval = true, nil
	if n, ok := d.integer(); ok && n != 0 {
		id := scheduler.IntervalID(n)
		r.interval = &id
	}
}

// readRate reads starts a second; null is no limit.
func (r *queueRequest) readRate(d *decoder) {
	r.rate = new(d.float(scheduler.MinStartRate, scheduler.MaxStartRate))
}

// float reads a number between low and high; null is 0.
func (d *decoder) float(low, high float64) float64 {
	text := ""
	switch d.kind() {
	case kindNull:
		d.skip()
		return 0
	case kindNumber:
		text = d.number()
	case kindString:
		text = d.string()
	default:
		d.skip()
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= low && n <= high) {
		d.fault(fmt.Sprintf("must be a number between %g and %g, or null", low, high))
		return 0
	}
	return n
}

// between reads an integer between low and high; null leaves it out.
func (d *decoder) between(into **int, low, high int) {
	if d.count(into); *into != nil && (**into < low || **into > high) {
		d.fault(fmt.Sprintf("must be between %d and %d", low, high))
	}
}

// given reads a string that may be left out.
func (d *decoder) given() *string {
	s := new(string)
	d.text(s)
	return s
}

// either reads one of two words; null leaves it out.
func (d *decoder) either(yes, no string) *bool {
	if d.kind() == kindNull {
		d.skip()
		return nil
	}
	if d.kind() == kindString {
		switch d.string() {
		case yes:
			return new(true)
		case no:
			return new(false)
		}
	} else {
		d.skip()
	}
	d.fault(`must be "` + yes + `" or "` + no + `"`)
	return nil
}

// read reads a queue from the body; a new one must have a name.
func (s queues) read(c echo.Context, me caller, isNew bool) (queueRequest, error) {
	var r queueRequest
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return r, err
	}
	queueShape.read(d, &r)
	if r.name == nil && isNew && !d.faulty("Name") {
		d.faults.Add("Name", "is required")
	}
	if r.name != nil && !d.faulty("Name") {
		if n := utf8.RuneCountInString(*r.name); n < 1 || n > scheduler.MaxName {
			d.faults.Add("Name", "must be 1 to %d characters long", scheduler.MaxName)
		}
	}
	if r.comment != nil && utf8.RuneCountInString(*r.comment) > maxComment {
		d.faults.Add("Comment", "must be at most %d characters long", maxComment)
	}
	if r.interval != nil {
		switch _, err := s.intervals.Interval(c.Request().Context(), me.client, *r.interval); {
		case scheduler.KindOf(err) == scheduler.NotFound:
			d.faults.Add("IntervalID", "is not an interval of this client")
		case err != nil:
			return r, err
		}
	}
	return r, d.err()
}

// maxComment is how long the comment of a queue is at most, in characters.
const maxComment = 2000

// apply changes a queue to what is asked.
func (r queueRequest) apply(q *scheduler.Queue) {
	if r.name != nil {
		q.Name = *r.name
	}
	if r.comment != nil {
		q.Comment = *r.comment
	}
	if r.on != nil {
		q.On = *r.on
	}
	if r.limited {
		q.Limit = r.limit
	}
	if r.windowed {
		q.IntervalID = r.interval
	}
	if r.rate != nil {
		q.StartRate = *r.rate
	}
	if r.priority != nil {
		q.Priority = *r.priority
	}
	if r.beforeWait != nil {
		q.BeforeWait = *r.beforeWait
	}
	r.brake.apply(&q.Brake)
}

// queueAnswer is a queue as it is told. Settings that this release does not
// obey are told with their defaults.
type queueAnswer struct {
	ID             scheduler.QueueID        `json:"id"`
	Name           string                   `json:"name"`
	Comment        string                   `json:"comment"`
	Status         string                   `json:"status"`
	Limit          *int                     `json:"concurrent_task_limit"`
	IntervalID     *scheduler.IntervalID    `json:"interval_id"`
	StartRate      *float64                 `json:"start_rate"`
	ASRMinPercent  *float64                 `json:"asr_min_percent"`
	ASRBasis       scheduler.Basis          `json:"asr_basis"`
	ASRWindow      int                      `json:"asr_window_s"`
	ASRMinAttempts int                      `json:"asr_min_attempts"`
	ASRPause       int                      `json:"asr_pause_s"`
	Priority       int                      `json:"priority"`
	BeforeWait     int                      `json:"before_wait_ms"`
	CreateDate     string                   `json:"create_date_utc"`
	Hold           *holdAnswer              `json:"hold"`
	Counts         map[scheduler.Status]int `json:"counts,omitempty"` // of one queue alone
}

func (a queueAnswer) rowID() int64 { return int64(a.ID) }

// holdAnswer is what holds a queue or a task.
type holdAnswer struct {
	Gate   scheduler.Gate `json:"gate"`
	Until  string         `json:"until_utc"` // "" if no time ends it
	Detail string         `json:"detail"`
}

func tellHold(h scheduler.Hold) *holdAnswer {
	if h.Gate == "" {
		return nil
	}
	return &holdAnswer{Gate: h.Gate, Until: date(h.Until), Detail: h.Detail}
}

func tellQueue(q scheduler.Queue, r scheduler.Runtime, now time.Time) queueAnswer {
	a := queueAnswer{
		ID: q.ID, Name: q.Name, Comment: q.Comment, Status: "off",
		ASRBasis: q.Brake.Basis, ASRWindow: q.Brake.Window, ASRMinAttempts: q.Brake.MinAttempts, ASRPause: q.Brake.Pause, Priority: q.Priority, BeforeWait: q.BeforeWait,
		CreateDate: date(q.CreatedAt), Hold: tellHold(r.Holds(q, now)),
	}
	if q.On {
		a.Status = "on"
	}
	if q.Limit > 0 {
		a.Limit = &q.Limit
	}
	if q.StartRate > 0 {
		a.StartRate = &q.StartRate
	}
	if q.Brake.MinPercent > 0 {
		a.ASRMinPercent = &q.Brake.MinPercent
	}
	a.IntervalID = q.IntervalID
	return a
}

func (s queues) add(c echo.Context, me caller) error {
	r, err := s.read(c, me, true)
	if err != nil {
		return err
	}
	now := s.now()
	q := scheduler.Queue{ClientID: me.client, Priority: scheduler.DefaultPriority, Brake: scheduler.DefaultBrake, CreatedAt: now}
	r.apply(&q)
	if q, err = s.writer.AddQueue(c.Request().Context(), q); err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellQueue(q, scheduler.Runtime{}, now))
}

// again answers what a POST made before.
func (s queues) again(c echo.Context, me caller, kept scheduler.Once) error {
	ctx, id := c.Request().Context(), scheduler.QueueID(only(kept))
	q, runtime, err := s.states.QueueNow(ctx, me.client, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellQueue(q, runtime, s.now()))
}

func (s queues) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.cursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	ctx, now := c.Request().Context(), s.now()
	found, err := s.reader.Queues(ctx, me.client, page)
	if err != nil {
		return err
	}
	ids := make([]scheduler.QueueID, len(found.Rows))
	for i, row := range found.Rows {
		ids[i] = row.ID
	}
	runtimes, err := s.states.Runtimes(ctx, me.client, ids)
	if err != nil {
		return err
	}
	return answerList(c, found, func(row scheduler.Queue) queueAnswer { return tellQueue(row, runtimes[row.ID], now) })
}

func (s queues) get(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	return s.tell(c, me, id)
}

// tell answers with one queue as it is now.
func (s queues) tell(c echo.Context, me caller, id scheduler.QueueID) error {
	ctx := c.Request().Context()
	q, err := s.reader.Queue(ctx, me.client, id)
	if err != nil {
		return err
	}
	runtime, counts, err := s.states.QueueState(ctx, me.client, id)
	if err != nil {
		return err
	}
	a := tellQueue(q, runtime, s.now())
	a.Counts = map[scheduler.Status]int{}
	for _, status := range statuses {
		a.Counts[status] = counts[status]
	}
	return answer(c, http.StatusOK, a)
}

func (s queues) change(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.reader.Queue(ctx, me.client, id); err != nil {
		return err // before the body is looked at
	}
	r, err := s.read(c, me, false)
	if err != nil {
		return err
	}
	_, err = s.writer.UpdateQueue(ctx, me.client, id, func(q *scheduler.Queue) error {
		r.apply(q)
		return nil
	})
	if err != nil {
		return err
	}
	return s.tell(c, me, id)
}

func (s queues) remove(c echo.Context, me caller) error {
	id, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	q := newQuery(c)
	force := q.flag("force")
	if err := q.err(); err != nil {
		return err
	}
	if err := s.writer.DeleteQueue(c.Request().Context(), me.client, id, force, s.now()); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
