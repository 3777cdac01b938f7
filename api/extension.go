package api

import (
	"net/http"
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
	now     func() time.Time
}

// extensionRequest is what a client asks of an extension; what it does not
// name stays.
type extensionRequest struct {
	name, label, callerIDName, ani *string
	active                         *bool
}

// extensionShape is an extension in requests.
var extensionShape = newShape(
	member[extensionRequest]{"name", "Name", func(d *decoder, r *extensionRequest) { r.name = d.given() }},
	member[extensionRequest]{"label", "Label", func(d *decoder, r *extensionRequest) { r.label = d.given() }},
	member[extensionRequest]{"type", "Type", func(d *decoder, _ *extensionRequest) { readType(d) }},
	member[extensionRequest]{"status", "Blocked", func(d *decoder, r *extensionRequest) { r.active = d.either("active", "blocked") }},
	member[extensionRequest]{"caller_id_name", "CallerIDName", func(d *decoder, r *extensionRequest) { r.callerIDName = d.given() }},
	member[extensionRequest]{"ani", "ANI", func(d *decoder, r *extensionRequest) { r.ani = d.given() }},
	member[extensionRequest]{"concurrent_call_limit", "ConcurrentCallLimit", func(d *decoder, _ *extensionRequest) { d.notYet("null") }},
	member[extensionRequest]{"trunk", "Trunk", func(d *decoder, _ *extensionRequest) { d.notYet(`""`) }},
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

// userSettings are the fields of an extension that a client's token may not
// set.
var userSettings = map[string]bool{"ConcurrentCallLimit": true, "Trunk": true}

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
	err = d.err()
	if !me.byClient() || scheduler.KindOf(err) == scheduler.Invalid {
		return r, err
	}
	for _, field := range d.later {
		if userSettings[field] {
			return r, needsUser(field)
		}
	}
	if r.ani != nil && *r.ani != is.ANI {
		return r, needsUser("ANI")
	}
	return r, err
}

func needsUser(field string) error {
	return scheduler.Errorf(scheduler.Forbidden, "%s is set with a user's token only", callback.spell(field))
}

func (r extensionRequest) apply(e *scheduler.Extension) {
	for _, text := range []struct{ from, to *string }{
		{r.name, &e.Name}, {r.label, &e.Label}, {r.callerIDName, &e.CallerIDName}, {r.ani, &e.ANI},
	} {
		if text.from != nil {
			*text.to = *text.from
		}
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

func tellExtension(e scheduler.Extension) extensionAnswer {
	a := extensionAnswer{
		ID: e.ID, Name: e.Name, Label: e.Label, Type: extensionType, Status: "active",
		CallerIDName: e.CallerIDName, ANI: e.ANI, CreateDate: date(e.CreatedAt),
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
			r.ani = nil // it is what it was, or was changed by a user since
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
