package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// extensions answers …/extension.
type extensions struct {
	reader  ExtensionReader
	writer  ExtensionWriter
	numbers *numbers
	trunks  []string // that there are
	now     func() time.Time
}

// extensionRequest is what a client asks of an extension; what it does not
// name stays.
type extensionRequest struct {
	name, label, callerIDName, ani, trunk *string
	active                                *bool
	limited                               bool // concurrent_call_limit is given
	limit                                 int  // 0: none
}

// extensionShape is an extension in requests.
var extensionShape = newShape(
	member[extensionRequest]{"name", "Name", func(d *decoder, r *extensionRequest) { r.name = d.given() }},
	member[extensionRequest]{"label", "Label", func(d *decoder, r *extensionRequest) { r.label = d.given() }},
	member[extensionRequest]{"type", "Type", func(d *decoder, _ *extensionRequest) { readType(d) }},
	member[extensionRequest]{"status", "Blocked", func(d *decoder, r *extensionRequest) { r.active = d.either("active", "blocked") }},
	member[extensionRequest]{"caller_id_name", "CallerIDName", func(d *decoder, r *extensionRequest) { r.callerIDName = d.given() }},
	member[extensionRequest]{"ani", "ANI", func(d *decoder, r *extensionRequest) { r.ani = d.given() }},
	member[extensionRequest]{"concurrent_call_limit", "ConcurrentCallLimit", func(d *decoder, r *extensionRequest) { r.readLimit(d) }},
	member[extensionRequest]{"trunk", "Trunk", func(d *decoder, r *extensionRequest) { r.trunk = d.given() }},
	member[extensionRequest]{name: "id"},
	member[extensionRequest]{name: "create_date_utc"},
)

// extensionType is the only type of extension.
const extensionType = "phone"

func readType(d *decoder) {
	given := ""
	if d.text(&given); given != "" && given != extensionType {
		d.fault(`must be "` + extensionType + `"`)
	}
}

// readLimit reads a limit of calls; null is none.
func (r *extensionRequest) readLimit(d *decoder) {
	r.limited, r.limit = true, d.limit("to start nothing, set \"status\" to \"blocked\"")
}

// limit reads a limit of what is called at one time: 0 for null, which is none.
// instead says what to do where nothing shall be called.
func (d *decoder) limit(instead string) int {
	if d.kind() == kindNull {
		d.skip()
		return 0
	}
	n, ok := d.integer()
	switch {
	case !ok:
	case n <= 0:
		d.fault("must be at least 1: " + instead + "; null is no limit")
	case n > scheduler.MaxCalls:
		d.fault(fmt.Sprintf("must be at most %d", scheduler.MaxCalls))
	}
	return int(n)
}

// read reads an extension from the body. is is the extension as it stands.
func (s extensions) read(c echo.Context, me caller, is scheduler.Extension) (extensionRequest, error) {
	var r extensionRequest
	d, err := newDecoder(c, callback.lenient)
	if err != nil {
		return r, err
	}
	extensionShape.read(d, &r)
	for _, text := range []struct {
		field string
		given *string
	}{{"Name", r.name}, {"Label", r.label}, {"CallerIDName", r.callerIDName}} {
		if text.given != nil && utf8.RuneCountInString(*text.given) > scheduler.MaxName {
			d.faults.Add(text.field, "must be at most %d characters long", scheduler.MaxName)
		}
	}
	if r.ani != nil && *r.ani != "" && !d.faulty("ANI") {
		if _, err := s.numbers.in(me.settings.DefaultRegion).parse(*r.ani); err != nil {
			d.faults.Add("ANI", "%s", err)
		}
	}
	if r.trunk != nil && *r.trunk != "" && *r.trunk != is.Trunk && !slices.Contains(s.trunks, *r.trunk) {
		d.faults.Add("Trunk", "must be one of the system's trunks: %s", strings.Join(s.trunks, ", "))
	}
	if err := d.err(); err != nil || !me.byClient() {
		return r, err
	}
	switch {
	case r.ani != nil && *r.ani != is.ANI:
		return r, needsUser("ANI")
	case r.limited && r.limit != is.Limit:
		return r, needsUser("ConcurrentCallLimit")
	case r.trunk != nil && *r.trunk != is.Trunk:
		return r, needsUser("Trunk")
	}
	return r, nil
}

func needsUser(field string) error {
	return scheduler.Errorf(scheduler.Forbidden, "%s is set with a user's token only", callback.spell(field))
}

func (r extensionRequest) apply(e *scheduler.Extension) {
	for _, text := range []struct{ from, to *string }{
		{r.name, &e.Name}, {r.label, &e.Label}, {r.callerIDName, &e.CallerIDName}, {r.ani, &e.ANI}, {r.trunk, &e.Trunk},
	} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if r.limited {
		e.Limit = r.limit
	}
	if r.active != nil {
		e.Blocked = !*r.active
	}
}

// extensionAnswer is an extension as it is told.
type extensionAnswer struct {
	ID           scheduler.ExtensionID `json:"id"`
	Name         string                `json:"name"`
	Label        string                `json:"label"`
	Type         string                `json:"type"`
	Status       string                `json:"status"`
	CallerIDName string                `json:"caller_id_name"`
	ANI          string                `json:"ani"`
	Limit        *int                  `json:"concurrent_call_limit"`
	Trunk        string                `json:"trunk"`
	CreateDate   string                `json:"create_date_utc"`
}

func (a extensionAnswer) rowID() int64 { return int64(a.ID) }

func tellExtension(e scheduler.Extension) extensionAnswer {
	a := extensionAnswer{
		ID: e.ID, Name: e.Name, Label: e.Label, Type: extensionType, Status: "active",
		CallerIDName: e.CallerIDName, ANI: e.ANI, Limit: positive(e.Limit), Trunk: e.Trunk, CreateDate: date(e.CreatedAt),
	}
	if e.Blocked {
		a.Status = "blocked"
	}
	return a
}

func (s extensions) add(c echo.Context, me caller) error {
	r, err := s.read(c, me, scheduler.Extension{})
	if err != nil {
		return err
	}
	e := scheduler.Extension{ClientID: me.client, CreatedAt: s.now()}
	r.apply(&e)
	if e, err = s.writer.AddExtension(c.Request().Context(), e); err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellExtension(e))
}

// again answers what a POST made before.
func (s extensions) again(c echo.Context, me caller, kept scheduler.Once) error {
	e, err := s.reader.Extension(c.Request().Context(), me.client, scheduler.ExtensionID(only(kept)))
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, tellExtension(e))
}

func (s extensions) list(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.cursor(q.page(false))
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.reader.Extensions(c.Request().Context(), me.client, page)
	if err != nil {
		return err
	}
	return answerList(c, found, tellExtension)
}

// of reads the extension of the path.
func (s extensions) of(c echo.Context, me caller) (scheduler.Extension, error) {
	id, err := rowID[scheduler.ExtensionID](c, "extension_id")
	if err != nil {
		return scheduler.Extension{}, err
	}
	return s.reader.Extension(c.Request().Context(), me.client, id)
}

func (s extensions) get(c echo.Context, me caller) error {
	e, err := s.of(c, me)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellExtension(e))
}

func (s extensions) change(c echo.Context, me caller) error {
	is, err := s.of(c, me)
	if err != nil {
		return err
	}
	r, err := s.read(c, me, is)
	if err != nil {
		return err
	}
	e, err := s.writer.UpdateExtension(c.Request().Context(), me.client, is.ID, func(e *scheduler.Extension) error {
		if me.byClient() {
			// They are what they were, or were changed by a user since.
			r.ani, r.trunk, r.limited = nil, nil, false
		}
		r.apply(e)
		return nil
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, tellExtension(e))
}

func (s extensions) remove(c echo.Context, me caller) error {
	is, err := s.of(c, me)
	if err != nil {
		return err
	}
	if err := s.writer.DeleteExtension(c.Request().Context(), me.client, is.ID, s.now()); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
