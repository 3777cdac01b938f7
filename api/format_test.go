package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// TestAcceptable: the answer is in what the caller likes best.
func TestAcceptable(t *testing.T) {
	for claim, tc := range map[string]struct{ accept, sent, want string }{
		"nothing said, nothing sent":              {"", "", mediaJSON},
		"nothing said, XML sent":                  {"", "application/xml; charset=utf-8", mediaXML},
		"nothing said, text/xml sent":             {"", mediaTextXML, mediaTextXML},
		"nothing said, a form sent":               {"", mediaForm, mediaJSON},
		"nothing said, what is not taken sent":    {"", "text/csv", mediaJSON},
		"XML":                                     {mediaXML, mediaJSON, mediaXML},
		"text/json":                               {mediaTextJSON, mediaXML, mediaTextJSON},
		"any, XML sent":                           {"*/*", mediaXML, mediaXML},
		"any application, text/xml sent":          {"application/*", mediaTextXML, mediaJSON},
		"what cannot be had":                      {"image/png", "", mediaJSON},
		"what cannot be had, XML sent":            {"image/png", mediaXML, mediaXML},
		"the better quality, not the first":       {"application/json;q=0.5, application/xml;q=0.9", "", mediaXML},
		"the first of the same quality":           {"text/xml, application/json", "", mediaTextXML},
		"a quality beside one that is left out":   {"application/json;q=0.9,application/xml", "", mediaXML},
		"the closest range tells the quality":     {"application/*;q=0.1, application/json;q=0", "", mediaXML},
		"a type's range is closer than any":       {"*/*, application/*;q=0.2", "", mediaTextJSON},
		"a browser":                               {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "", mediaXML},
		"what cannot be read is not there":        {"a b, ;;, application/xml;q=2, application/xml;q=x, text/json", "", mediaTextJSON},
		"what comes after fifty is not there":     {strings.Repeat("a/b,", 50) + mediaXML, "", mediaJSON},
		"the fiftieth is":                         {strings.Repeat("a b,", 49) + mediaXML, "", mediaXML},
		"JSON refused and nothing else asked for": {"application/json;q=0", "", mediaJSON},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := acceptable(requestOf(t, tc.accept, tc.sent, "")); got != tc.want {
				t.Errorf("%q is told to %q", got, tc.accept)
			}
		})
	}
}

// requestOf is a request with a body of a media type.
func requestOf(t testing.TB, accept, media, body string) echo.Context {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/admin/x", strings.NewReader(body))
	for name, value := range map[string]string{"Accept": accept, "Content-Type": media} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return echo.New().NewContext(r, httptest.NewRecorder())
}

// sample has a member of each type.
type sample struct {
	Text, ID string
	Is, On   bool
	Count    *int
	Kind     int
	Set      int
	At       time.Time
	List     []string
	Cleared  []string // that were given as null
}

var (
	sampleKinds = []string{"NONE", "ONE", "TWO"}
	sampleSet   = []string{"NONE", "EMAIL", "WEBHOOK", "FAX"}
)

// noted notes a member that is there without a value.
func (s *sample) noted(d *decoder, ok bool) {
	if !ok && !d.faulty(d.field) {
		s.Cleared = append(s.Cleared, d.field)
	}
}

var sampleShape = newShape(
	member[sample]{"Text", "Text", func(d *decoder, s *sample) { d.text(&s.Text) }},
	member[sample]{"ID", "ID", func(d *decoder, s *sample) { var ok bool; s.ID, ok = d.guid(); s.noted(d, ok) }},
	member[sample]{"Is", "Is", func(d *decoder, s *sample) { s.Is, s.On = d.truth(); s.noted(d, s.On) }},
	member[sample]{"Count", "Count", func(d *decoder, s *sample) { d.count(&s.Count); s.noted(d, s.Count != nil) }},
	member[sample]{"Kind", "Kind", func(d *decoder, s *sample) { var ok bool; s.Kind, ok = d.enum(sampleKinds); s.noted(d, ok) }},
	member[sample]{"Set", "Set", func(d *decoder, s *sample) { var ok bool; s.Set, ok = d.flags(sampleSet); s.noted(d, ok) }},
	member[sample]{"At", "At", func(d *decoder, s *sample) { var ok bool; s.At, ok = d.moment(); s.noted(d, ok) }},
	member[sample]{"List", "List", func(d *decoder, s *sample) { d.texts(&s.List) }},
)

// askSample reads a body, of an account in Rome.
func askSample(t testing.TB, s shape[sample], media, body string) (sample, error) {
	var got sample
	d, err := ask(requestOf(t, "", media, body), caller{Principal: scheduler.Principal{Account: scheduler.Account{TimeZone: "Europe/Rome"}}}, "Sample")
	if err == nil {
		s.read(d, &got)
		err = d.err()
	}
	return got, err
}
