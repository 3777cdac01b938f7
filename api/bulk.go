package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// maxFilterIDs is how many tasks a filter may name.
const maxFilterIDs = 1000

// bulks answers …/tasks/bulk.
type bulks struct {
	bulks  Bulks
	queues QueueStates
	now    func() time.Time
}

// bulkRequest is a bulk action in a request.
type bulkRequest struct {
	scheduler.Bulk
	selects bool // there is a filter
	dry     bool
}

var bulkShape = newShape(
	member[bulkRequest]{"filter", "Filter", func(d *decoder, r *bulkRequest) { r.readFilter(d) }},
	member[bulkRequest]{"action", "Action", func(d *decoder, r *bulkRequest) {
		r.Action = word(d, scheduler.BulkCancel, scheduler.BulkRunNow, scheduler.BulkRequeue, scheduler.BulkMove)
	}},
	member[bulkRequest]{"dry_run", "DryRun", func(d *decoder, r *bulkRequest) { r.dry = d.flag() }},
	member[bulkRequest]{"hangup", "HangUp", func(d *decoder, r *bulkRequest) { r.HangUp = d.flag() }},
	member[bulkRequest]{"target_scheduler_id", "Target", func(d *decoder, r *bulkRequest) {
		n, ok := d.integer()
		if r.Target = scheduler.QueueID(n); ok && n < 1 {
			d.fault("must be a positive integer")
		}
	}},
)

// filterShape selects tasks, by the names that lists know.
var filterShape = newShape(
	member[scheduler.TaskFilter]{"ids", "IDs", func(d *decoder, f *scheduler.TaskFilter) { d.taskIDs(&f.IDs) }},
	member[scheduler.TaskFilter]{"status", "Status", func(d *decoder, f *scheduler.TaskFilter) { d.statuses(&f.Statuses) }},
	member[scheduler.TaskFilter]{"finish_result", "Result", func(d *decoder, f *scheduler.TaskFilter) {
		f.Result = word(d, scheduler.Success, scheduler.Failure)
	}},
	member[scheduler.TaskFilter]{"name", "Name", func(d *decoder, f *scheduler.TaskFilter) { d.wanted(&f.Name) }},
	member[scheduler.TaskFilter]{"a_number", "ANumber", func(d *decoder, f *scheduler.TaskFilter) { d.wanted(&f.A) }},
	member[scheduler.TaskFilter]{"b_number", "BNumber", func(d *decoder, f *scheduler.TaskFilter) { d.wanted(&f.B) }},
	member[scheduler.TaskFilter]{"external_id", "ExternalID", func(d *decoder, f *scheduler.TaskFilter) { d.wanted(&f.ExternalID) }},
	member[scheduler.TaskFilter]{"created_from", "CreatedFrom", func(d *decoder, f *scheduler.TaskFilter) { d.when(&f.CreatedFrom) }},
	member[scheduler.TaskFilter]{"created_to", "CreatedTo", func(d *decoder, f *scheduler.TaskFilter) { d.when(&f.CreatedTo) }},
	member[scheduler.TaskFilter]{"start_from", "StartFrom", func(d *decoder, f *scheduler.TaskFilter) { d.when(&f.StartFrom) }},
	member[scheduler.TaskFilter]{"start_to", "StartTo", func(d *decoder, f *scheduler.TaskFilter) { d.when(&f.StartTo) }},
	member[scheduler.TaskFilter]{"updated_since", "UpdatedSince", func(d *decoder, f *scheduler.TaskFilter) { d.when(&f.UpdatedSince) }},
)

func (r *bulkRequest) readFilter(d *decoder) {
	if d.expect(kindObject, "an object; {} selects every task") {
		r.selects = true
		d.inside(func() { filterShape.read(d, &r.Filter) })
	}
}

// wanted reads a text that must be something: a filter that is given and says
// nothing must not select everything.
func (d *decoder) wanted(into *string) {
	if d.text(into); *into == "" && !d.faulty(d.path+d.field) {
		d.fault("must not be empty")
	}
}

// when reads a date that must be one.
func (d *decoder) when(into *time.Time) {
	if d.date(into); into.IsZero() && !d.faulty(d.path+d.field) {
		d.fault(errDate.Error())
	}
}

// flag reads true or false.
func (d *decoder) flag() bool {
	switch raw := d.raw(); raw {
	case "true":
		return true
	case "false", "null", "":
	default:
		d.fault("must be true or false")
	}
	return false
}

// word reads a text that is one of those allowed.
func word[T ~string](d *decoder, allowed ...T) T {
	var given string
	if d.text(&given); slices.Contains(allowed, T(given)) {
		return T(given)
	}
	names := make([]string, len(allowed))
	for i, name := range allowed {
		names[i] = string(name)
	}
	if !d.faulty(d.path + d.field) {
		d.fault("must be one of " + strings.Join(names, ", "))
	}
	return ""
}

// taskIDs reads the numbers of tasks.
func (d *decoder) taskIDs(into *[]scheduler.TaskID) {
	if d.kind() != kindArray {
		d.fault("must be a list of tasks' ids")
		d.skip()
		return
	}
	field, ids := d.field, []scheduler.TaskID{}
	d.array(func(i int) {
		d.field = field + "[" + strconv.Itoa(i) + "]"
		n, ok := d.integer()
		if !ok || n < 1 {
			if !d.faulty(d.path + d.field) {
				d.fault("must be a positive integer")
			}
			return
		}
		if len(ids) <= maxFilterIDs {
			ids = append(ids, scheduler.TaskID(n))
		}
	})
	if d.field = field; len(ids) < 1 || len(ids) > maxFilterIDs {
		d.fault("must have 1 to " + strconv.Itoa(maxFilterIDs) + " ids")
		return
	}
	*into = ids
}

// statuses reads one status that tasks can show, or several.
func (d *decoder) statuses(into *[]scheduler.Status) {
	given := []string{""}
	if d.kind() == kindString {
		d.text(&given[0])
	} else {
		d.texts(&given)
	}
	for _, status := range given {
		if !slices.Contains(statuses, scheduler.Status(status)) {
			if !d.faulty(d.path + d.field) {
				d.fault("must be a status of tasks, or a list of them")
			}
			return
		}
		*into = append(*into, scheduler.Status(status))
	}
	if len(given) == 0 {
		d.fault("must be a status of tasks, or a list of them")
	}
}

// read reads a bulk action on a client's queue.
func (s bulks) read(c echo.Context, me caller, queue scheduler.QueueID) (bulkRequest, error) {
	r := bulkRequest{Bulk: scheduler.Bulk{ClientID: me.client, QueueID: queue}}
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return r, err
	}
	bulkShape.read(d, &r)
	if !r.selects && !d.faulty("Filter") {
		d.faults.Add("Filter", "is required; {} selects every task")
	}
	if r.Action == "" && !d.faulty("Action") {
		d.faults.Add("Action", "is required")
	}
	if r.HangUp && r.Action != scheduler.BulkCancel && !d.faulty("HangUp") {
		d.faults.Add("HangUp", "goes with cancel")
	}
	if d.faulty("Target") {
		return r, d.err()
	}
	if (r.Target != 0) != (r.Action == scheduler.BulkMove) {
		d.faults.Add("Target", "goes with move, and move with it")
	} else if r.Target != 0 {
		switch _, _, err := s.queues.QueueNow(c.Request().Context(), me.client, r.Target); {
		case scheduler.KindOf(err) == scheduler.NotFound, r.Target == queue:
			d.faults.Add("Target", "is not another scheduler of this client")
		case err != nil:
			return r, err
		}
	}
	return r, d.err()
}

// bulkAnswer is a bulk action as it is told.
type bulkAnswer struct {
	ID         *scheduler.BulkID    `json:"id"` // null: a dry run
	Action     scheduler.BulkAction `json:"action"`
	DryRun     bool                 `json:"dry_run"`
	Status     string               `json:"status"`
	Error      string               `json:"error"`
	Matched    int                  `json:"matched"`
	Eligible   int                  `json:"eligible"`
	Changed    int                  `json:"changed"`
	CreateDate string               `json:"create_date_utc"`
	EndDate    string               `json:"end_date_utc"`
}

func tellBulk(b scheduler.Bulk) bulkAnswer {
	a := bulkAnswer{
		Action: b.Action, DryRun: b.ID == 0, Status: string(b.State), Error: b.Error,
		Matched: b.Matched, Eligible: b.Eligible, Changed: b.Changed, CreateDate: date(b.CreatedAt), EndDate: date(b.EndedAt),
	}
	if b.ID != 0 {
		a.ID = &b.ID
	}
	return a
}

// add does to many tasks what the body says: at once, or by and by if they are
// very many.
func (s bulks) add(c echo.Context, me caller) error {
	queue, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, _, err := s.queues.QueueNow(ctx, me.client, queue); err != nil {
		return err // before the body is looked at
	}
	if err := newQuery(c).err(); err != nil {
		return err
	}
	r, err := s.read(c, me, queue)
	if err != nil {
		return err
	}
	if r.dry {
		b, err := s.bulks.PreviewBulk(ctx, r.Bulk)
		if err != nil {
			return err
		}
		return answer(c, http.StatusOK, tellBulk(b))
	}
	b, err := s.bulks.AddBulk(ctx, r.Bulk)
	if err != nil {
		return err
	}
	for b.State == scheduler.BulkRunning && b.Eligible <= scheduler.BulkAtOnce {
		if b, err = s.bulks.WorkBulk(ctx, b.ID); err != nil {
			return err
		}
	}
	return tellDoing(c, b)
}

// again answers how far an action is that was asked for before.
func (s bulks) again(c echo.Context, me caller, kept scheduler.Once) error {
	queue, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	b, err := s.bulks.Bulk(c.Request().Context(), me.client, queue, scheduler.BulkID(only(kept)))
	if err != nil {
		return err
	}
	return tellDoing(c, b)
}

// tellDoing answers an action that is done, or that is being done.
func tellDoing(c echo.Context, b scheduler.Bulk) error {
	code := http.StatusOK
	if b.State == scheduler.BulkRunning {
		code = http.StatusAccepted
	}
	c.Response().Header().Set(echo.HeaderLocation, strings.TrimRight(c.Request().URL.Path, "/")+"/"+strconv.FormatInt(int64(b.ID), 10))
	return answer(c, code, tellBulk(b))
}

func (s bulks) get(c echo.Context, me caller) error {
	queue, err := rowID[scheduler.QueueID](c, "scheduler_id")
	if err != nil {
		return err
	}
	id, err := rowID[scheduler.BulkID](c, "bulk_id")
	if err != nil {
		return err
	}
	if err := newQuery(c).err(); err != nil {
		return err
	}
	b, err := s.bulks.Bulk(c.Request().Context(), me.client, queue, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellBulk(b))
}
