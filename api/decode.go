package api

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// Limits of a request body.
const (
	maxBody   = 32 << 20 // bytes
	maxAdmin  = 8 << 20  // of the admin API, where a body is rewritten: twice the longest Parameters
	maxFaults = 100      // told at once
	maxDigits = 20       // of a number that is kept as it is
)

// decoder reads a request body into values of our own, member by member, and
// notes every fault with its path instead of stopping at the first.
type decoder struct {
	reader
	faults  scheduler.Faults
	path    string   // of the object being read, with its dot
	field   string   // the member being read
	ignored []string // parameters that are kept and not acted on, as spelt
	lenient bool     // names in any case, unknown ones ignored
	untyped bool     // of XML or a form: every value is a text or has members
	zone    *time.Location
}

// member is one name of an object of the wire.
type member[T any] struct {
	name  string             // on the wire
	field string             // its Go path, for faults
	read  func(*decoder, *T) // nil: only answered, ignored in requests
}

// shape is how an object is read into a T: at most 64 members.
type shape[T any] struct {
	members  []member[T]
	index    map[string]int // by name, and by its lower case
	required uint64         // members that must have a value, a bit each
}

func newShape[T any](members ...member[T]) shape[T] {
	s := shape[T]{members: members, index: map[string]int{}}
	for i, m := range members {
		s.index[m.name] = i
		s.index[strings.ToLower(m.name)] = i
	}
	return s
}

// require returns the shape with members that must be there, and be neither null
// nor "": these are not read.
func (s shape[T]) require(names ...string) shape[T] {
	for _, name := range names {
		i, known := s.index[name]
		if !known {
			panic("there is no member " + name)
		}
		s.required |= 1 << i
	}
	return s
}

// read reads an object into into; members that are not there stay as they are.
func (s shape[T]) read(d *decoder, into *T) {
	if !d.expect(kindObject, "an object") {
		return
	}
	var seen, blank uint64
	next := 0 // most send members in the order in which we tell them
	d.object(func(name string) {
		i, known := next, next < len(s.members) && s.members[next].name == name
		if !known {
			i, known = s.index[name]
		}
		if !known && d.lenient {
			i, known = s.index[strings.ToLower(name)]
		}
		if !known {
			if d.field = strconv.Quote(clip(name)); !d.lenient {
				d.fault(unknown(name))
			}
			d.skip()
			return
		}
		m := &s.members[i]
		next = i + 1
		d.field = m.field
		if seen&(1<<i) != 0 {
			d.fault("is given twice")
		}
		seen |= 1 << i
		if m.read == nil || s.required&(1<<i) != 0 && d.blank() {
			blank |= 1 << i
			d.skip()
			return
		}
		m.read(d, into)
	})
	missing := s.required &^ (seen &^ blank)
	for i := 0; missing != 0; i, missing = i+1, missing>>1 {
		if missing&1 != 0 {
			d.field = s.members[i].field
			d.fault("is required")
		}
	}
}

// blank reports whether the value that follows is null, or a string of nothing
// but space.
func (d *decoder) blank() bool {
	switch d.kind() {
	case kindNull:
		return true
	case kindString:
		from := d.at
		defer func() { d.at = from }()
		return strings.TrimSpace(d.string()) == "" && d.wrong == ""
	}
	return false
}

// unknown says what is wrong with a name that no shape has.
func unknown(name string) string {
	if strings.HasPrefix(name, "sched_") {
		return "is not taken: a calling window is made of the dates, days and times of its conditions"
	}
	return "is not a known name"
}

// inside reads the members of an object below the current field.
func (d *decoder) inside(read func()) {
	path, field := d.path, d.field
	d.path = path + field + "."
	read()
	d.path, d.field = path, field
}

// fault notes what is wrong with the member being read.
func (d *decoder) fault(message string) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, scheduler.Fault{Field: d.path + d.field, Message: message})
	}
}

// expect reports whether the value is of a kind. If not it is skipped, and a
// fault unless it is null.
func (d *decoder) expect(kind byte, what string) bool {
	switch got := d.kind(); {
	case got == kind:
		return true
	case got == kindArray && d.untyped:
		d.fault("is given twice")
	case got != kindNull && got != 0:
		d.fault("must be " + what)
	}
	d.skip()
	return false
}

// text reads a string; null is the empty one.
func (d *decoder) text(into *string) {
	*into = ""
	if d.expect(kindString, "a string") {
		*into = d.string()
		d.printable(*into)
	}
}

const noNUL = "must not contain a NUL character"

// printable refuses the one character that no database keeps.
func (d *decoder) printable(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		d.fault(noNUL)
	}
}

// texts reads a list of strings; null is the empty one.
func (d *decoder) texts(into *[]string) {
	*into = nil
	field := d.field
	item := func(i int) {
		d.field = field + "[" + strconv.Itoa(i) + "]"
		if d.kind() == kindNull {
			d.fault("must be a string")
		}
		if !d.expect(kindString, "a string") {
			return
		}
		s := d.string()
		d.printable(s)
		*into = append(*into, s)
	}
	switch {
	case d.untyped && d.kind() == kindObject: // <List><string>…</string></List>
		i := -1
		d.object(func(string) { i++; item(i) })
	case d.untyped && d.kind() == kindString: // of one, or without elements
		if item(0); strings.TrimSpace((*into)[0]) == "" {
			*into = nil
		}
	case d.expect(kindArray, "a list of strings"):
		d.array(item)
	}
	d.field = field
}

// integer reads an integer, which may come as a decimal string; ok is false
// for null, and for what is none.
func (d *decoder) integer() (n int64, ok bool) {
	var text string
	switch d.kind() {
	case kindNumber:
		text = d.number()
	case kindString:
		if text = d.string(); d.lenient {
			text = strings.TrimSpace(text)
		}
		if d.untyped && text == "" {
			return 0, false
		}
	case kindNull:
		d.skip()
		return 0, false
	default:
		d.fault("must be an integer")
		d.skip()
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		d.fault("must be an integer")
		return 0, false
	}
	return n, true
}

// count reads an integer that may be unset.
func (d *decoder) count(into **int) {
	*into = nil
	if n, ok := d.integer(); ok {
		i := int(n)
		*into = &i
	}
}

// scalars reads an object of scalars as strings.
func (d *decoder) scalars(into *map[string]string) {
	*into = nil
	if !d.expect(kindObject, "an object") {
		return
	}
	values := map[string]string{}
	fault := func(name, message string) {
		d.inside(func() {
			d.field = strconv.Quote(name)
			d.fault(message)
		})
	}
	d.object(func(name string) {
		if _, twice := values[name]; twice {
			fault(name, "is given twice")
		}
		value := ""
		switch d.kind() {
		case kindString:
			value = d.string()
		case kindNull:
			d.skip()
		case kindObject, kindArray:
			fault(name, "must be a string, a number or a boolean")
			d.skip()
			return
		default:
			value = d.raw()
		}
		if strings.IndexByte(name, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
			fault(name, noNUL)
		}
		values[name] = value
	})
	*into = values
}

// keep keeps a scalar that is not acted on, as JSON that every database keeps.
func (d *decoder) keep(name string, into *map[string]json.RawMessage) {
	var kept json.RawMessage
	switch d.kind() {
	case kindObject, kindArray:
		d.fault("must be a string, a number or a boolean")
		d.skip()
		return
	case kindString:
		s := d.string()
		d.printable(s)
		kept, _ = json.Marshal(s)
		if utf8.RuneCountInString(s) > scheduler.MaxVariable {
			d.fault("must be at most " + strconv.Itoa(scheduler.MaxVariable) + " characters long")
		}
	case kindNumber:
		n := d.number()
		if len(n) > maxDigits {
			d.fault("must be at most " + strconv.Itoa(maxDigits) + " digits long")
		}
		kept = json.RawMessage(n)
	default:
		kept = json.RawMessage(d.raw())
	}
	all := map[string]json.RawMessage{}
	maps.Copy(all, *into) // the map may be a stored task's
	all[name] = kept
	*into = all
	if !slices.Contains(d.ignored, name) {
		d.ignored = append(d.ignored, name)
	}
}

// faulty reports whether a field has a fault already.
func (d *decoder) faulty(field string) bool {
	return slices.ContainsFunc(d.faults, func(f scheduler.Fault) bool { return f.Field == field })
}

// err returns what is wrong with the body: its syntax, else its faults.
func (d *decoder) err() error {
	d.end()
	switch {
	case d.wrong != "":
		return scheduler.Faults{{Field: "Body", Message: d.wrong}}.Err()
	case len(d.faults) > 0:
		return d.faults.Err()
	}
	return nil
}

// newDecoder takes the body of a request, which must be a JSON object.
func newDecoder(c echo.Context, lenient bool) (*decoder, error) {
	if media, err := mediaOf(c); err != nil || media != mediaJSON && media != mediaTextJSON {
		return nil, &problem{code: http.StatusUnsupportedMediaType, message: "the body must be application/json"}
	}
	text, err := openBody(c)
	if err != nil {
		return nil, err
	}
	d, err := decode(text)
	if err == nil {
		d.lenient = lenient
	}
	return d, err
}

// openBody reads the body of a request that is to be understood.
func openBody(c echo.Context) (string, error) {
	r := c.Request()
	if coding := r.Header.Get(echo.HeaderContentEncoding); coding != "" && coding != "identity" {
		return "", &problem{code: http.StatusUnsupportedMediaType, message: "the body must not be compressed"}
	}
	return readBody(c)
}

// decode begins to read a text, which must be a JSON object.
func decode(text string) (*decoder, error) {
	d := &decoder{reader: reader{text: text}}
	switch d.kind() {
	case kindObject:
	case 0:
		if d.next() == 0 {
			return nil, scheduler.Faults{{Field: "Body", Message: "must not be empty"}}.Err()
		}
	default:
		return nil, scheduler.Faults{{Field: "Body", Message: "must be a JSON object"}}.Err()
	}
	return d, nil
}

// readBody reads the body of a request up to the limit.
func readBody(c echo.Context) (string, error) {
	r, most := c.Request(), bodyLimit(c.Request().URL.Path)
	if r.ContentLength > most {
		return "", tooLarge(most)
	}
	var text strings.Builder
	if r.ContentLength > 0 {
		text.Grow(int(r.ContentLength))
	}
	_, err := io.Copy(&text, http.MaxBytesReader(c.Response(), r.Body, most))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return "", tooLarge(most)
	}
	if err != nil {
		return "", scheduler.Faults{{Field: "Body", Message: "cannot be read to its end"}}.Err()
	}
	return text.String(), nil
}

// bodyLimit is how long the body of a request of a path may be.
func bodyLimit(path string) int64 {
	if isAdmin(path) {
		return maxAdmin
	}
	return maxBody
}

func tooLarge(most int64) error {
	return scheduler.Errorf(scheduler.TooLarge, "the body must be at most %d MiB", most>>20)
}
