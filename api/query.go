package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// Sizes of pages.
const (
	defaultPage = 50
	maxPage     = 1000
	maxPages    = 1_000_000
)

const headerTotal = "X-Total-Count"

// query reads the parameters of a URL and notes what is wrong with them. What
// nobody asked for is wrong, too: a filter that is misspelt must not select
// everything.
type query struct {
	values url.Values
	known  map[string]bool
	faults scheduler.Faults
}

func newQuery(c echo.Context) *query {
	q := &query{known: map[string]bool{}}
	var err error
	if q.values, err = url.ParseQuery(c.Request().URL.RawQuery); err != nil {
		q.faults.Add("Query", "is not a list of parameters")
	}
	if isAdmin(c.Request().URL.Path) { // names in any case
		q.values = url.Values{}
		for name, values := range c.Request().URL.Query() {
			q.values[strings.ToLower(name)] = append(q.values[strings.ToLower(name)], values...)
		}
	}
	for name, values := range q.values {
		if slices.ContainsFunc(values, func(v string) bool { return !storable(v) }) {
			q.fault(name, "must be UTF-8 without NUL characters")
			delete(q.values, name)
		}
	}
	return q
}

func (q *query) fault(name, message string) {
	q.faults.Add(strconv.Quote(clip(name)), "%s", message)
}

// plain returns a handler of requests that take no parameters: one that is
// misspelt, or meant for another route (dry_run), must not be taken for obeyed.
func plain(handle func(echo.Context, caller) error) func(echo.Context, caller) error {
	return func(c echo.Context, me caller) error {
		if err := newQuery(c).err(); err != nil {
			return err
		}
		return handle(c, me)
	}
}

// bare returns a handler of requests that take neither parameters nor a body,
// but for an object without members.
func bare(handle func(echo.Context, caller) error) func(echo.Context, caller) error {
	return plain(func(c echo.Context, me caller) error {
		text, err := readBody(c)
		if err == nil && text != "" {
			var d *decoder
			putBack(c, text)
			if d, err = newDecoder(c, callback.lenient); err == nil {
				nothing.read(d, &struct{}{})
				err = d.err()
			}
		}
		if err != nil {
			return err
		}
		return handle(c, me)
	})
}

// nothing is an object without members.
var nothing = newShape[struct{}]()

// all returns every value of a parameter.
func (q *query) all(name string) []string {
	q.known[name] = true
	return q.values[name]
}

// text returns the value of a parameter, "" without one.
func (q *query) text(name string) string {
	values := q.all(name)
	switch len(values) {
	case 0:
		return ""
	case 1:
		return values[0]
	}
	q.fault(name, "must be given once")
	return ""
}

// number returns the value of a parameter between low and high, or fallback.
func (q *query) number(name string, fallback, low, high int64) int64 {
	given := q.text(name)
	if given == "" {
		return fallback
	}
	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil || n < low || n > high {
		q.faults.Add(strconv.Quote(name), "must be an integer between %d and %d", low, high)
		return fallback
	}
	return n
}

// id returns the value of a parameter that is a row number, 0 without one.
func (q *query) id(name string) int64 {
	given := q.text(name)
	if given == "" {
		return 0
	}
	n, err := strconv.ParseInt(given, 10, 64)
	if err != nil || n < 1 {
		q.fault(name, "must be a positive integer")
	}
	return n
}

// flag returns the value of a parameter that is true or false.
func (q *query) flag(name string) bool {
	switch strings.ToLower(q.text(name)) {
	case "", "0", "false":
		return false
	case "1", "true":
		return true
	}
	q.fault(name, "must be true or false")
	return false
}

// choice returns the value of a parameter if it is one of allowed.
func (q *query) choice(name string, allowed ...string) string {
	given := q.text(name)
	if given != "" && !slices.Contains(allowed, given) {
		q.fault(name, "must be one of "+strings.Join(allowed, ", "))
		return ""
	}
	return given
}

// date returns the value of a parameter that is a date, the zero time without
// one.
func (q *query) date(name string) time.Time {
	given := q.text(name)
	if given == "" {
		return time.Time{}
	}
	t, err := parseDate(given)
	if err != nil {
		q.fault(name, err.Error())
	}
	return t
}

// page returns the part of a list that is asked for.
func (q *query) page(descending bool) scheduler.Page {
	p := scheduler.Page{
		Number: int(q.number("page", 1, 1, maxPages)), Size: int(q.number("per_page", defaultPage, 1, maxPage)), Descending: descending,
	}
	switch q.choice("order", "asc", "desc") {
	case "asc":
		p.Descending = false
	case "desc":
		p.Descending = true
	}
	return p
}

// cursor adds the cursor of a list that is ordered by row numbers.
func (q *query) cursor(p scheduler.Page) scheduler.Page {
	p.After = q.id("after_id")
	return p
}

// callCursor adds the cursor of a list of calls.
func (q *query) callCursor(p scheduler.Page) scheduler.Page {
	given := q.text("after_id")
	if given == "" {
		return p
	}
	id, err := callID(given)
	if err != nil {
		q.fault("after_id", "must be the call_uuid of a call")
	}
	p.AfterCall = id
	return p
}

// err returns everything that is wrong with the parameters.
func (q *query) err() error {
	var unknown []string
	for name := range q.values {
		if !q.known[name] {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		q.fault(name, "is not a known parameter")
	}
	return q.faults.Err()
}

// total tells how long a list is.
func total(c echo.Context, n int) {
	text := strconv.Itoa(n)
	if n > scheduler.CountLimit {
		text = strconv.Itoa(scheduler.CountLimit) + "+"
	}
	c.Response().Header().Set(headerTotal, text)
}

// answerList sends a page of a list, each row as tell tells it.
func answerList[T, W any](c echo.Context, found scheduler.List[T], tell func(T) W) error {
	told := make([]W, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tell(row)
	}
	total(c, found.Total)
	last := ""
	if n := len(told); n > 0 {
		switch row := any(told[n-1]).(type) {
		case identified:
			last = strconv.FormatInt(row.rowID(), 10)
		case callAnswer:
			last = row.cursor()
		}
	}
	links(c, len(told), found.Total, last)
	if _, ok := any(*new(W)).(appender); ok {
		return answer(c, http.StatusOK, listed[W](told))
	}
	return answer(c, http.StatusOK, told)
}

// identified is a row that a cursor can stand at.
type identified interface{ rowID() int64 }

// rowID reads a row number of the path; what is none is nobody's.
func rowID[T ~int64](c echo.Context, param string) (T, error) {
	n, err := strconv.ParseInt(c.Param(param), 10, 64)
	if err != nil || n < 1 {
		return 0, &problem{code: http.StatusNotFound}
	}
	return T(n), nil
}

// storable reports whether every database keeps s as text.
func storable(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// clip shortens what a client wrote, to be told in a message.
func clip(s string) string {
	const limit = 64
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "…"
}
