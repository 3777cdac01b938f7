package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// intervals answers …/interval.
type intervals struct {
	reader IntervalReader
	writer IntervalWriter
	now    func() time.Time
}

// intervalRequest is what a client asks of an interval; what it does not name
// stays.
type intervalRequest struct {
	name, zone *string
	conditions []scheduler.Condition
	given      bool // conditions
}

// intervalShape is an interval in requests.
var intervalShape = newShape(
	member[intervalRequest]{"name", "Name", func(d *decoder, r *intervalRequest) { r.name = d.given() }},
	member[intervalRequest]{"timezone", "TimeZone", func(d *decoder, r *intervalRequest) { r.zone = d.given() }},
	member[intervalRequest]{"conditions", "Conditions", func(d *decoder, r *intervalRequest) { r.readConditions(d) }},
	member[intervalRequest]{name: "id"},
	member[intervalRequest]{name: "create_date_utc"},
)

// conditionShape is a condition of an interval in requests.
var conditionShape = newShape(
	member[scheduler.Condition]{"start_dow", "StartDOW", func(d *decoder, c *scheduler.Condition) { d.unset0(&c.StartDOW) }},
	member[scheduler.Condition]{"end_dow", "EndDOW", func(d *decoder, c *scheduler.Condition) { d.unset0(&c.EndDOW) }},
	member[scheduler.Condition]{"start_mday", "StartMDay", func(d *decoder, c *scheduler.Condition) { d.unset0(&c.StartMDay) }},
	member[scheduler.Condition]{"end_mday", "EndMDay", func(d *decoder, c *scheduler.Condition) { d.unset0(&c.EndMDay) }},
	member[scheduler.Condition]{"start_time", "StartTime", func(d *decoder, c *scheduler.Condition) { d.timeOfDay(&c.StartTime) }},
	member[scheduler.Condition]{"end_time", "EndTime", func(d *decoder, c *scheduler.Condition) { d.endOfTime(&c.EndTime) }},
	member[scheduler.Condition]{"month", "Month", func(d *decoder, c *scheduler.Condition) { d.unset0(&c.Month) }},
	member[scheduler.Condition]{"start_datetime", "Start", func(d *decoder, c *scheduler.Condition) { d.wallTime(&c.Start) }},
	member[scheduler.Condition]{"end_datetime", "End", func(d *decoder, c *scheduler.Condition) { d.wallTime(&c.End) }},
)

func (r *intervalRequest) readConditions(d *decoder) {
	r.given, r.conditions = true, nil
	if !d.expect(kindArray, "a list of conditions") {
		return
	}
	field := d.field
	d.array(func(n int) {
		var c scheduler.Condition
		d.field = fmt.Sprintf("%s[%d]", field, n)
		d.inside(func() { conditionShape.read(d, &c) })
		r.conditions = append(r.conditions, c)
	})
	d.field = field
}

// unset0 reads an integer; null, "" and 0 mean that it is unset.
func (d *decoder) unset0(into *int) {
	*into = 0
	if d.kind() == kindString && d.peekEmpty() {
		return
	}
	if n, ok := d.integer(); ok {
		*into = int(n)
	}
}

// peekEmpty takes an empty string, if that is what comes.
func (d *decoder) peekEmpty() bool {
	at := d.at
	if d.string() == "" {
		return true
	}
	d.at = at
	return false
}

// timeOfDay reads hh:mm:ss; null and "" are midnight, which is where an unset
// start is.
func (d *decoder) timeOfDay(into *scheduler.TimeOfDay) {
	*into = 0
	if !d.expect(kindString, "a time in the form hh:mm:ss") {
		return
	}
	s := d.string()
	if s == "" {
		return
	}
	t, err := time.Parse(time.TimeOnly, s)
	if err != nil {
		d.fault("must be a time in the form hh:mm:ss")
		return
	}
	*into = scheduler.TimeOfDay(t.Hour()*3600 + t.Minute()*60 + t.Second())
}

// endOfTime reads an end; the last second of the day means all of it.
func (d *decoder) endOfTime(into *scheduler.TimeOfDay) {
	d.timeOfDay(into)
	if *into == scheduler.EndOfDay-1 {
		*into = scheduler.EndOfDay
	}
}

// wallTime reads a date and time of the interval's own zone.
func (d *decoder) wallTime(into *scheduler.WallTime) {
	var t time.Time
	d.date(&t)
	*into = 0
	if !t.IsZero() {
		*into = scheduler.WallTime(t.Unix())
	}
}

// intervalAnswer is an interval as it is told.
type intervalAnswer struct {
	ID         scheduler.IntervalID `json:"id"`
	Name       string               `json:"name"`
	TimeZone   string               `json:"timezone"`
	Conditions []conditionAnswer    `json:"conditions"`
	CreateDate string               `json:"create_date_utc"`
}

func (a intervalAnswer) rowID() int64 { return int64(a.ID) }

// conditionAnswer is a condition as it is told; 0 and "" are unset.
type conditionAnswer struct {
	StartDOW  int    `json:"start_dow"`
	EndDOW    int    `json:"end_dow"`
	StartMDay int    `json:"start_mday"`
	EndMDay   int    `json:"end_mday"`
	StartTime string `json:"start_time"`
	EndTime   string `json:"end_time"`
	Month     int    `json:"month"`
	Start     string `json:"start_datetime"`
	End       string `json:"end_datetime"`
}

func tellInterval(i scheduler.Interval) intervalAnswer {
	a := intervalAnswer{
		ID: i.ID, Name: i.Name, TimeZone: i.TimeZone, CreateDate: date(i.CreatedAt),
		Conditions: make([]conditionAnswer, len(i.Conditions)),
	}
	for n, c := range i.Conditions {
		told := conditionAnswer{
			StartDOW: c.StartDOW, EndDOW: c.EndDOW, StartMDay: c.StartMDay, EndMDay: c.EndMDay, Month: c.Month,
			Start: tellWall(c.Start), End: tellWall(c.End),
		}
		if c.EndTime != 0 {
			told.StartTime, told.EndTime = tellTime(c.StartTime), tellTime(min(c.EndTime, scheduler.EndOfDay-1))
		}
		a.Conditions[n] = told
	}
	return a
}

func tellTime(t scheduler.TimeOfDay) string {
	return fmt.Sprintf("%02d:%02d:%02d", t/3600, t/60%60, t%60)
}

func tellWall(w scheduler.WallTime) string {
	if w == 0 {
		return ""
	}
	return date(time.Unix(int64(w), 0))
}

// read reads an interval from the body onto what it is now.
func (s intervals) read(c echo.Context, is scheduler.Interval) (scheduler.Interval, error) {
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return is, err
	}
	var r intervalRequest
	intervalShape.read(d, &r)
	r.apply(&is)
	if len(d.faults) == 0 {
		is.Check(&d.faults)
	}
	return is, d.err()
}

func (r intervalRequest) apply(i *scheduler.Interval) {
	if r.name != nil {
		i.Name = *r.name
	}
	if r.zone != nil {
		i.TimeZone = *r.zone
	}
	if r.given {
		i.Conditions = r.conditions
	}
}

func (s intervals) add(c echo.Context, me caller) error {
	i, err := s.read(c, scheduler.Interval{ClientID: me.client, CreatedAt: s.now()})
	if err != nil {
		return err
	}
	if i, err = s.writer.AddInterval(c.Request().Context(), i); err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellInterval(i))
}

// again answers what a POST made before.
func (s intervals) again(c echo.Context, me caller, kept scheduler.Once) error {
	i, err := s.reader.Interval(c.Request().Context(), me.client, scheduler.IntervalID(only(kept)))
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellInterval(i))
}

func (s intervals) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.cursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.reader.Intervals(c.Request().Context(), me.client, page)
	if err != nil {
		return err
	}
	return answerList(c, found, tellInterval)
}

// of reads the interval of the path.
func (s intervals) of(c echo.Context, me caller) (scheduler.Interval, error) {
	id, err := rowID[scheduler.IntervalID](c, "interval_id")
	if err != nil {
		return scheduler.Interval{}, err
	}
	return s.reader.Interval(c.Request().Context(), me.client, id)
}

func (s intervals) get(c echo.Context, me caller) error {
	i, err := s.of(c, me)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellInterval(i))
}

func (s intervals) change(c echo.Context, me caller) error {
	is, err := s.of(c, me)
	if err != nil {
		return err
	}
	asked, err := s.read(c, is)
	if err != nil {
		return err
	}
	changed, err := s.writer.UpdateInterval(c.Request().Context(), me.client, is.ID, func(i *scheduler.Interval) error {
		i.Name, i.TimeZone, i.Conditions = asked.Name, asked.TimeZone, asked.Conditions
		return nil
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellInterval(changed))
}

func (s intervals) remove(c echo.Context, me caller) error {
	id, err := rowID[scheduler.IntervalID](c, "interval_id")
	if err != nil {
		return err
	}
	if err := s.writer.DeleteInterval(c.Request().Context(), me.client, id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// previewAnswer tells when a window is open.
type previewAnswer struct {
	TimeZone string          `json:"timezone"`
	From     string          `json:"from_utc"`
	To       string          `json:"to_utc"`
	Openings []openingAnswer `json:"openings"`
	Never    []int           `json:"never_conditions"` // places of conditions that hold at no moment of the next 366 days
	Message  string          `json:"message"`          // "" if the window opens
}

// openingAnswer is a time in which a window is open; its end is "" if it does
// not close within 366 days.
type openingAnswer struct {
	Opens       string `json:"opens_utc"`
	Closes      string `json:"closes_utc"`
	OpensLocal  string `json:"opens_local"`
	ClosesLocal string `json:"closes_local"`
}

// maxOpenings is how many openings a preview tells at most.
const maxOpenings = 1000

func (s intervals) preview(c echo.Context, me caller) error {
	i, err := s.of(c, me)
	if err != nil {
		return err
	}
	q := newQuery(c)
	from, days := q.date("from"), q.number("days", 7, 1, 366)
	if err := q.err(); err != nil {
		return err
	}
	zone, err := time.LoadLocation(i.TimeZone)
	if err != nil {
		return err
	}
	now := s.now()
	if from.IsZero() {
		from = now
	}
	to := from.Add(time.Duration(days) * 24 * time.Hour)
	a := previewAnswer{
		TimeZone: i.TimeZone, From: date(from), To: date(to), Openings: []openingAnswer{}, Never: i.Never(now, zone),
	}
	for _, o := range i.Openings(from, to, zone, maxOpenings) {
		a.Openings = append(a.Openings, openingAnswer{
			Opens: date(o.Opens), Closes: date(o.Closes), OpensLocal: local(o.Opens, zone), ClosesLocal: local(o.Closes, zone),
		})
	}
	if len(a.Never) == len(i.Conditions) {
		a.Message = "the window does not open within 366 days: tasks of its queues finish as failed"
	}
	return answer(c, http.StatusOK, a)
}

func local(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339)
}
