package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"ringback/store/storetest"
)

// choices decides by bytes: the fuzzer's, which learns what they lead to.
type choices struct{ left []byte }

// of chooses one of n; the first when nothing is left.
func (c *choices) of(n int) int {
	if len(c.left) == 0 || n < 2 {
		return 0
	}
	b := int(c.left[0])
	c.left = c.left[1:]
	return b % n
}

// one chooses one in n.
func (c *choices) one(n int) bool { return c.of(n) == n-1 }

// text takes a few bytes as they are.
func (c *choices) text() string {
	n := min(c.of(24), len(c.left))
	s := string(c.left[:n])
	c.left = c.left[n:]
	return s
}

func pick[T any](c *choices, from []T) T { return from[c.of(len(from))] }

// value makes a JSON value by a schema, or something else.
func (c *choices) value(s *openapi3.Schema, depth int) any {
	if s == nil || depth > 5 || c.one(12) {
		return pick(c, []any{nil, true, 0.0, -1.0, 1e300, 1.5, "", c.text(), "\x00", []any{}, []any{nil}, map[string]any{}, map[string]any{c.text(): c.text()}})
	}
	if parts := slices.Concat(s.AnyOf, s.OneOf); len(parts) > 0 {
		return c.value(pick(c, parts).Value, depth+1)
	}
	if len(s.AllOf) > 0 && len(members(s)) == 0 {
		return c.value(pick(c, s.AllOf).Value, depth+1)
	}
	switch {
	case len(s.Enum) > 0:
		return pick(c, s.Enum)
	case len(members(s)) > 0:
		return c.object(s, depth)
	case s.Type.Includes("array") && s.Items != nil:
		list := []any{}
		for range c.of(4) {
			list = append(list, c.value(s.Items.Value, depth+1))
		}
		return list
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		return float64(c.of(8)) * pick(c, []float64{1, -1, 0.5, 100, 1e6})
	case s.Type.Includes("boolean"):
		return c.one(2)
	case s.Type.Is("null"):
		return nil
	}
	return pick(c, []string{"101", "+442079460001", "1", "2035-01-02 03:04:05", "https://receiver.example.com/x", "on", "Europe/Rome", "3600", "09:00:00", "hello", c.text()})
}

// object makes an object with some of a schema's members, mostly those that are
// required.
func (c *choices) object(s *openapi3.Schema, depth int) map[string]any {
	all := members(s)
	object := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if slices.Contains(s.Required, name) || c.of(3) == 1 {
			object[name] = c.value(all[name], depth+1)
		}
	}
	if c.one(20) {
		object[c.text()] = c.text()
	}
	return object
}

// request makes one of any route, not far from good.
func (c *choices) request(t *testing.T, w world, routes []string) *http.Request {
	name := pick(c, routes)
	method, pattern, _ := strings.Cut(name, " ")
	op := operation(t, name)
	path := w.path(pattern)
	if c.one(8) {
		parts := strings.Split(path, "/")
		parts[c.of(len(parts))] = escape(pick(c, []string{"@me", "0", "-1", "tasks", "bulk", "%2e%2e", c.text()}))
		path = strings.Join(parts, "/")
	}
	var query []string
	for _, p := range op.Parameters {
		if p.Value.In == openapi3.ParameterInQuery && c.of(3) == 1 {
			query = append(query, p.Value.Name+"="+escape(fmt.Sprint(c.value(p.Value.Schema.Value, 4))))
		}
	}
	if c.one(16) && !isOpen(op) {
		query = append(query, escape(c.text()))
	}
	body := w.body(&echo.Route{Method: method, Path: pattern})
	if schema := jsonBody(op); schema != nil && !c.one(6) {
		text, err := json.Marshal(c.value(schema, 0))
		if err != nil {
			t.Fatal(err)
		}
		body = string(text)
	}
	if c.one(16) {
		body = body[:c.of(len(body)+1)] + c.text()
	}
	if c.one(24) {
		method, body = pick(c, []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "X"}), ""
	}
	if op.RequestBody == nil {
		body = "" // means nothing where none is read
	}
	target := path
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://example.com/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if req.URL, err = req.URL.Parse(target); err != nil {
		t.Skip("no HTTP request has such a path")
	}
	req.RemoteAddr = "192.0.2.1:1"
	c.headers(req, w)
	return req
}

func (c *choices) headers(req *http.Request, w world) {
	h := req.Header
	h.Set("Authorization", "Bearer "+pick(c, []string{w.r.a.token, w.r.a.token, w.r.user, w.r.b.token, "x"}))
	h.Set("Content-Type", pick(c, []string{"application/json", "application/json", "application/json; charset=utf-8", "text/json", "application/xml", "application/x-www-form-urlencoded", "text/plain", ";"}))
	for _, header := range oddHeaders {
		if c.one(10) {
			h.Set(header[0], pick(c, header[1:]))
		}
	}
}

// oddHeaders are headers that change an answer, and values of them.
var oddHeaders = [][]string{
	{"Idempotency-Key", "k", "other"}, {"Last-Event-ID", "0", "1.1", "x", "99999"}, {"Accept", "text/csv", "application/xml", "*/*;q=x"},
	{"If-None-Match", "*", `"x"`}, {"X-Request-Id", "mine"}, {"X-Forwarded-For", "203.0.113.1"}, {"Content-Encoding", "gzip"}, {"Accept-Encoding", "gzip"},
}

// escape writes a text so that it can stand in a URL.
func escape(s string) string {
	var b strings.Builder
	for _, r := range []byte(s) {
		if r < unicode.MaxASCII && (r == '%' || r == '-' || r == '@' || r == '.' || unicode.IsLetter(rune(r)) || unicode.IsDigit(rune(r))) {
			b.WriteByte(r)
		} else {
			fmt.Fprintf(&b, "%%%02X", r)
		}
	}
	return b.String()
}

// sequence is how many requests one input makes at most.
const sequence = 60

// FuzzRouter sends requests of every route, not far from good, to the whole
// server on a real database, one after another. It never answers 5xx, never
// panics, and never what openapi.yaml does not know.
func FuzzRouter(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 12 {
		seed := make([]byte, 40*sequence)
		for i := range seed {
			seed[i] = byte(rnd.Uint32())
		}
		f.Add(seed)
	}
	routes := slices.DeleteFunc(documentedRoutes(f), func(name string) bool { return name == "GET /metrics" })
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newRig(t, storetest.Open(t, storetest.SQLiteURL(t)))
		r.dispatch()
		w := newWorld(r)
		c := &choices{left: data}
		for n := 0; n < sequence && len(c.left) > 0 && !t.Failed(); n++ {
			req := c.request(t, w, routes)
			if a := r.send(req); a.code >= http.StatusInternalServerError {
				t.Errorf("%s %s is answered %d", req.Method, req.URL, a.code)
			}
		}
	})
}
