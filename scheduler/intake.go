package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Draft is a task as a client asks for it: values of the right types, nothing
// checked. Zero values are "not given" but for those that are pointers.
type Draft struct {
	Name           string
	ANumber        string
	BNumber        string
	ExtensionID    ExtensionID
	TryCount       *int
	TryPause       *int // seconds
	TryCountCaller *int
	TryPauseCaller *int
	URLBefore      string
	URLBeforeAgain string
	URLSuccess     string
	URLAfter       string
	StartAt        time.Time // zero: now
	Deadline       time.Time
	ExternalID     string
	Variables      map[string]string
	Params         DraftParams
}

// DraftParams are the optional call parameters of a draft.
type DraftParams struct {
	CallerIDName   string
	CallerIDNumber string
	ExtendedA      []string
	SrcANI         string
	DstANI         string
	WaitForPickup  *int // seconds
	CallDuration   *int // seconds
	AttemptSrcANI  []string
	AttemptDstANI  []string

	AnnounceSoundID    string
	DstAnnounceSoundID string
	DstDTMF            string

	Ignored map[string]json.RawMessage // kept, and not acted on
}

// Intake is what a draft is checked against.
type Intake struct {
	Client ClientID
	Queue  QueueID
	Now    time.Time
	// Number returns the E.164 form of a destination ("" for a dial string
	// and for a SIP URI),
	// or an error that says what it must be; its Status, if it is an *Error, is
	// the fault's.
	Number func(given string) (e164 string, err error)
	// URL says why events can never be delivered to a URL.
	URL func(url string) error
	// Extension finds an extension of the client.
	Extension func(ExtensionID) (Extension, bool)
	Settings  Settings // of the client
	// Sound reports whether there is a sound of this id; nil: there is none.
	Sound func(id string) bool

	stored *Task // whose change this is: what it has already was judged then
}

// kept reports whether the task that is changed has a caller number already,
// for the same extension.
func (in Intake) kept(number string, ext ExtensionID) bool {
	if in.stored == nil || in.stored.ExtensionID != ext {
		return false
	}
	p := in.stored.Params
	return slices.Contains(slices.Concat([]string{p.CallerIDNumber, p.SrcANI, p.DstANI}, p.AttemptSrcANI, p.AttemptDstANI), number)
}

// NewTask checks a draft and makes the task. Every fault is added to faults,
// its field below path ("Tasks[3]."), but for fields that have one there
// already; the task is worth nothing if there was one.
func (in Intake) NewTask(d Draft, path string, faults *Faults) Task {
	c := check{in: in, path: path, faults: faults}
	if d.ExtensionID == 0 && in.Settings.DefaultExtensionID != nil {
		d.ExtensionID = *in.Settings.DefaultExtensionID
	}
	t := Task{
		ClientID: in.Client, QueueID: in.Queue, ExtensionID: d.ExtensionID, ExternalID: d.ExternalID,
		Name: d.Name, Status: Scheduled, Variables: d.Variables,
		URLBefore: d.URLBefore, URLBeforeAgain: d.URLBeforeAgain, URLSuccess: d.URLSuccess, URLAfter: d.URLAfter,
		CreatedAt: in.Now, UpdatedAt: in.Now,
	}
	c.text("Name", d.Name, MaxName)
	c.text("ExternalID", d.ExternalID, MaxExternalID)
	t.ANumber, t.ANumberE164 = d.ANumber, c.number("ANumber", d.ANumber)
	t.BNumber, t.BNumberE164 = d.BNumber, c.number("BNumber", d.BNumber)
	t.TryCount = c.count("TryCount", d.TryCount, 1, 1, MaxTryCount)
	t.TryPause = c.count("TryPause", d.TryPause, DefaultPause, 0, MaxPause)
	t.TryCountCaller = c.count("TryCountCaller", d.TryCountCaller, 0, 0, MaxTryCountCaller)
	t.TryPauseCaller = c.count("TryPauseCaller", d.TryPauseCaller, DefaultPause, 0, MaxPause)
	c.url("URLBefore", d.URLBefore)
	c.url("URLBeforeAgain", d.URLBeforeAgain)
	c.url("URLSuccess", d.URLSuccess)
	c.url("URLAfter", d.URLAfter)
	c.variables(d.Variables)
	t.StartAt, t.Deadline = c.times(d)
	t.ReadyAt = t.StartAt
	ext := c.extension(d.ExtensionID)
	t.Params = c.params(d.Params, t, ext)
	return t
}

// check gathers the faults of one draft.
type check struct {
	in     Intake
	path   string
	faults *Faults
}

func (c check) fault(field, format string, args ...any) {
	c.refuse(field, "", fmt.Sprintf(format, args...))
}

func (c check) refuse(field, status, message string) {
	field = c.path + field
	if !slices.ContainsFunc(*c.faults, func(f Fault) bool { return f.Field == field }) {
		*c.faults = append(*c.faults, Fault{Field: field, Message: message, Status: status})
	}
}

func (c check) text(field, s string, limit int) {
	if utf8.RuneCountInString(s) > limit {
		c.fault(field, "must be at most %d characters long", limit)
	}
}

func (c check) count(field string, given *int, fallback, low, high int) int {
	if given == nil {
		return fallback
	}
	if *given < low || *given > high {
		c.fault(field, "must be between %d and %d", low, high)
	}
	return *given
}

func (c check) number(field, given string) string {
	if given == "" {
		c.fault(field, "is required")
		return ""
	}
	e164, err := c.in.Number(given)
	if err != nil {
		status := ""
		if e, ok := errors.AsType[*Error](err); ok {
			status = e.Status
		}
		c.refuse(field, status, err.Error())
	}
	return e164
}

func (c check) url(field, url string) {
	switch {
	case url == "":
	case utf8.RuneCountInString(url) > MaxURL:
		c.fault(field, "must be at most %d characters long", MaxURL)
	default:
		if err := c.in.URL(url); err != nil {
			c.fault(field, "%s", err)
		}
	}
}

func (c check) variables(vars map[string]string) {
	if len(vars) > MaxVariables {
		c.fault("Variables", "must be at most %d", MaxVariables)
	}
	fit := true
	for name, value := range vars {
		fit = fit && name != "" && utf8.RuneCountInString(name) <= MaxVariable && utf8.RuneCountInString(value) <= MaxVariable
	}
	if fit {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if n := utf8.RuneCountInString(name); n == 0 || n > MaxVariable {
			c.fault("Variables", "must have names of 1 to %d characters", MaxVariable)
		}
		c.text("Variables."+strconv.Quote(name), vars[name], MaxVariable)
	}
}

func (c check) times(d Draft) (start, deadline time.Time) {
	start = later(d.StartAt, c.in.Now)
	if !d.Deadline.IsZero() && !d.Deadline.After(start) {
		c.fault("Deadline", "must be after the start of the task")
	}
	return start, d.Deadline
}

func (c check) extension(id ExtensionID) Extension {
	if id == 0 {
		c.fault("ExtensionID", "is required")
		return Extension{}
	}
	ext, ok := c.in.Extension(id)
	switch {
	case !ok:
		c.fault("ExtensionID", "is not an extension of this client")
		return Extension{}
	case ext.Blocked && (c.in.stored == nil || c.in.stored.ExtensionID != id):
		c.fault("ExtensionID", "is blocked")
	}
	return ext
}

func (c check) params(d DraftParams, t Task, ext Extension) Params {
	p := Params{
		CallerIDName: d.CallerIDName, CallerIDNumber: d.CallerIDNumber, SrcANI: d.SrcANI, DstANI: d.DstANI,
		AttemptSrcANI: d.AttemptSrcANI, AttemptDstANI: d.AttemptDstANI, Ignored: d.Ignored,
		AnnounceSoundID: d.AnnounceSoundID, DstAnnounceSoundID: d.DstAnnounceSoundID, DstDTMF: d.DstDTMF,
		WaitForPickup: c.count("Params.WaitForPickup", d.WaitForPickup, DefaultRing, 5, 120),
		CallDuration:  c.count("Params.CallDuration", d.CallDuration, DefaultDuration, 1, 86400),
	}
	c.text("Params.CallerIDName", d.CallerIDName, MaxName)
	if strings.ContainsFunc(d.CallerIDName, unicode.IsControl) {
		c.fault("Params.CallerIDName", "must not contain control characters") // it becomes part of a header
	}
	c.callerID("Params.CallerIDNumber", d.CallerIDNumber, ext)
	c.callerID("Params.SrcANI", d.SrcANI, ext)
	c.callerID("Params.DstANI", d.DstANI, ext)
	c.callerIDs("AttemptSrcANI", d.AttemptSrcANI, ext)
	c.callerIDs("AttemptDstANI", d.AttemptDstANI, ext)
	c.sound("Params.AnnounceSoundID", d.AnnounceSoundID)
	c.sound("Params.DstAnnounceSoundID", d.DstAnnounceSoundID)
	c.dtmf("Params.DstDTMF", d.DstDTMF)
	p.ExtendedA = c.extended(d.ExtendedA, t)
	return p
}

// sound takes what is there, and what the task that is changed has already.
func (c check) sound(field, id string) {
	if id == "" || c.in.Sound != nil && c.in.Sound(id) {
		return
	}
	if s := c.in.stored; s != nil && (id == s.Params.AnnounceSoundID || id == s.Params.DstAnnounceSoundID) {
		return
	}
	c.fault(field, "is not the id of a sound")
}

func (c check) dtmf(field, digits string) {
	if len(digits) > MaxDTMF {
		c.fault(field, "must be at most %d digits and pauses", MaxDTMF)
	}
	if strings.Trim(digits, "0123456789*#ABCDwp") != "" {
		c.fault(field, "must be digits (0-9, *, #, A-D) and pauses (w for half a second, p for two)")
	}
}

// extended checks the numbers that ring together with A: distinct, and never B.
func (c check) extended(given []string, t Task) []Number {
	if len(given) == 0 {
		return nil
	}
	if len(given) > MaxExtendedA {
		c.fault("Params.ExtendedA", "must be at most %d numbers", MaxExtendedA)
		return nil
	}
	var numbers []Number
	for i, g := range given {
		n := Number{Given: g, E164: c.number("Params.ExtendedA["+strconv.Itoa(i)+"]", g)}
		known := slices.ContainsFunc(numbers, func(other Number) bool { return other.Dial() == n.Dial() })
		if !known && n.Dial() != t.A().Dial() && n.Dial() != t.B().Dial() {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

func (c check) callerIDs(field string, given []string, ext Extension) {
	if len(given) > MaxANIs {
		c.fault(field, "must be at most %d numbers", MaxANIs)
		return
	}
	for i, g := range given {
		c.callerID(fmt.Sprintf("%s[%d]", field, i), g, ext)
	}
}

// callerID allows the extension's own number, and those of the client.
func (c check) callerID(field, given string, ext Extension) {
	if given == "" || ext.ID == 0 || given == ext.ANI || c.in.kept(given, ext.ID) || c.in.allowed(given) {
		return
	}
	c.refuse(field, "caller_id_not_allowed", fmt.Sprintf("is not a caller number of extension %d", ext.ID))
}

// allowed reports whether the client may show a caller number, however it is
// written.
func (in Intake) allowed(number string) bool {
	if slices.Contains(in.Settings.AllowedCallerIDs, number) {
		return true
	}
	e164, err := in.Number(number)
	if err != nil || e164 == "" || len(in.Settings.AllowedCallerIDs) == 0 {
		return false
	}
	return slices.ContainsFunc(in.Settings.AllowedCallerIDs, func(id string) bool {
		same, err := in.Number(id)
		return err == nil && same == e164
	})
}
