package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// documentedRoutes are the document's operations by method and pattern, in
// order, but those that are others once more, by another name.
func documentedRoutes(t testing.TB) []string {
	t.Helper()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(theOracle(t).table)), func(name string) bool {
		return strings.Contains(name, " /api/ver1.0") || strings.Contains(name, "/api/v1/admin") || strings.Contains(name, "/:scheduler_id/tasks")
	})
}

// operation is the document's operation of a route.
func operation(t testing.TB, name string) *openapi3.Operation {
	return theOracle(t).table[name].Operation
}

// isOpen reports whether an operation needs no token.
func isOpen(op *openapi3.Operation) bool { return op.Security != nil && len(*op.Security) == 0 }

// jsonBody is the schema of an operation's JSON body; nil without one.
func jsonBody(op *openapi3.Operation) *openapi3.Schema {
	if op.RequestBody == nil {
		return nil
	}
	if media := op.RequestBody.Value.Content["application/json"]; media != nil {
		return media.Schema.Value
	}
	return nil
}

// members are the properties of a schema, those of its parts included.
func members(s *openapi3.Schema) map[string]*openapi3.Schema {
	all := map[string]*openapi3.Schema{}
	for _, part := range s.AllOf {
		maps.Copy(all, members(part.Value))
	}
	for name, property := range s.Properties {
		all[name] = property.Value
	}
	return all
}

// bodied sends a request with a body of any media type; length is what is said
// of it, 0: what is true.
func (r *rig) bodied(method, path, token, media, body string, length int64) reply {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	if length != 0 {
		req.ContentLength = length
	}
	req.Header.Set("Content-Type", media)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return r.send(req)
}

// TestBadInputOfEveryRoute asks the document for everything that can be wrong
// with a request, and the server to refuse it: in a way that the document knows,
// and with nothing changed.
func TestBadInputOfEveryRoute(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		w := newWorld(r)
		expired := tokenOfA(r)
		expired.Hash, expired.CreatedAt, expired.ExpiresAt = hashOf("expired"), time.Now().Add(-time.Hour), time.Now().Add(-time.Second)
		if err := r.store.AddTokens(t.Context(), expired); err != nil {
			t.Fatal(err)
		}
		before, former, whole := w.snapshot(), r.audited(), r.t
		for _, name := range documentedRoutes(t) {
			t.Run(name, func(t *testing.T) {
				r.t = t
				method, pattern, _ := strings.Cut(name, " ")
				b := badInput{rig: r, method: method, path: w.path(pattern), op: operation(t, name), good: w.body(&echo.Route{Method: method, Path: pattern})}
				b.wrongMethods(pattern)
				if isOpen(b.op) {
					return
				}
				b.wrongTokens()
				b.foreignIDs(w, pattern)
				b.wrongParameters()
				b.wrongBodies()
			})
		}
		r.t = whole
		if after := w.snapshot(); after != before {
			t.Errorf("something was changed\n%s to\n%s", before, after)
		}
		if n := r.audited() - former; n != 0 {
			t.Errorf("%d entries are in the audit", n)
		}
	})
}

// badInput is one operation, and a good request of it that is made bad.
type badInput struct {
	*rig
	method, path string
	op           *openapi3.Operation
	good         string // its body
}

// token is one that may do it: not all of the admin API is open to a client's.
func (b badInput) token() string {
	if isAdmin(b.path) {
		return b.user
	}
	return b.a.token
}

// refusedAs fails the test unless the request is refused with the code.
func (b badInput) refusedAs(code int, a reply, format string, args ...any) {
	b.t.Helper()
	if a.code != code {
		b.t.Errorf("%s is answered %d, not %d: %.200s", fmt.Sprintf(format, args...), a.code, code, a.body)
	}
}

func (b badInput) wrongMethods(pattern string) {
	if pattern == "/metrics" || strings.HasSuffix(pattern, "/bulk") || strings.HasSuffix(pattern, "/tasks/account/run") {
		return // the one is not served here, the others may be the id of a task
	}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH"} {
		if theOracle(b.t).table[method+" "+pattern] == nil {
			a := b.do(method, b.path, b.a.token, "")
			if b.refusedAs(405, a, "%s", method); !strings.Contains(a.header.Get("Allow"), b.method) {
				b.t.Errorf("%s is allowed %q", method, a.header.Get("Allow"))
			}
		}
	}
}

func (b badInput) wrongTokens() {
	issued, err := tokens{tokens: b.store, now: time.Now}.hand(b.t.Context(), tokenOfA(b.rig))
	if err != nil {
		b.t.Fatal(err)
	}
	for claim, token := range map[string]string{"no token": "", "an expired token": "expired", "nobody's token": "nobody's", "a refresh token": issued.RefreshToken} {
		a := b.do(b.method, b.path, token, b.good)
		if b.refusedAs(401, a, "%s", claim); a.header.Get("WWW-Authenticate") == "" {
			b.t.Errorf("%s: no WWW-Authenticate", claim)
		}
	}
}

func (b badInput) foreignIDs(w world, pattern string) {
	if isAdmin(pattern) {
		return // both clients are of one account
	}
	b.refusedAs(404, b.do(b.method, b.path, b.b.token, b.good), "a foreign path")
	for param, value := range map[string]string{":scheduler_id": w.queue, ":task_id": w.task, ":bulk_id": w.bulk, ":interval_id": w.interval, ":delivery_id": w.delivery, ":destination_id": w.destination} {
		for _, odd := range []string{"0", "-1", "999999", "99999999999999999999", "x", "%00", value + "x", "1.0"} {
			if !strings.Contains(pattern, param) {
				continue
			}
			path := w.path(strings.Replace(pattern, param, odd, 1))
			b.refusedAs(404, b.do(b.method, path, b.a.token, b.good), "%s %s", param, odd)
		}
	}
}

func (b badInput) wrongParameters() {
	separator := "?"
	with := func(name, value string) string { return b.path + separator + name + "=" + value }
	b.refusedAs(400, b.do(b.method, with("no_such_parameter", "1"), b.token(), b.good), "an unknown parameter")
	b.refusedAs(400, b.do(b.method, b.path+"?%zz", b.token(), b.good), "a query that is none")
	for _, p := range b.op.Parameters {
		if p.Value.In != openapi3.ParameterInQuery {
			continue
		}
		s := p.Value.Schema.Value
		wrong := []string{"%FF", "%00"}
		switch {
		case s.Type.Is("integer"):
			wrong = append(wrong, "x", "1.5", "-1", "0", "99999999999999999999", "1&"+p.Value.Name+"=1")
			if s.Max != nil {
				wrong = append(wrong, fmt.Sprint(int64(*s.Max)+1))
			}
		case s.Type.Includes("boolean"):
			wrong = append(wrong, "maybe", "2")
		case len(s.Enum) > 0, s.Pattern != "", s.Type.Is("array") && len(s.Items.Value.Enum) > 0:
			wrong = append(wrong, "nothing+of+the+kind")
		}
		for _, value := range wrong {
			b.refusedAs(400, b.do(b.method, with(p.Value.Name, value), b.token(), b.good), "%s=%s", p.Value.Name, value)
		}
	}
	for _, p := range b.op.Parameters {
		if p.Value.Name == headerIdempotency {
			b.refusedAs(400, b.keyed(b.path, b.token(), strings.Repeat("k", 256), b.good), "a key that is too long")
		}
	}
}

func (b badInput) wrongBodies() {
	schema, lenient := jsonBody(b.op), isAdmin(b.path)
	if schema == nil {
		return
	}
	b.refusedAs(413, b.bodied(b.method, b.path, b.token(), "application/json", b.good, bodyLimit(b.path)+1), "a body that is too long")
	b.refusedAs(415, b.bodied(b.method, b.path, b.token(), "text/plain", "x", 0), "another media type")
	for _, body := range []string{"{", "[]", `"x"`, "7", "null", `{"a":1}{}`, "\xff", strings.Repeat(`{"a":`, 100), `{"a":` + strings.Repeat("[", 100_000)} {
		b.refusedAs(400, b.bodied(b.method, b.path, b.token(), "application/json", body, 0), "%.20q", body)
	}
	good := map[string]any{}
	if b.good != "" {
		if err := json.Unmarshal([]byte(b.good), &good); err != nil {
			b.t.Fatal(err)
		}
	}
	if !lenient {
		b.refusedAs(400, b.bodied(b.method, b.path, b.token(), "application/json", "\ufeff{}", 0), "a byte order mark")
		b.wrongMember(good, "no_such_member", 1, func(body map[string]any) any { return body })
	}
	b.wrongMembers(schema, good, "", func(body map[string]any) any { return body })
}

// wrongMembers gives each member of a body what its schema refuses; whole makes
// the body of the object that has the member.
func (b badInput) wrongMembers(schema *openapi3.Schema, good map[string]any, path string, whole func(map[string]any) any) {
	for name, member := range members(schema) {
		if member.ReadOnly {
			continue
		}
		for _, value := range oddValues(member) {
			if member.VisitJSON(value) != nil {
				b.wrongMember(good, path+name, value, whole)
			}
		}
		inside, _ := good[name].(map[string]any)
		within := func(part any) any {
			body := maps.Clone(good)
			body[name] = part
			return whole(body)
		}
		switch {
		case member.Type.Includes("object") && len(members(member)) > 0:
			b.wrongMembers(member, inside, path+name+".", func(body map[string]any) any { return within(body) })
		case member.Type.Includes("array") && len(members(member.Items.Value)) > 0:
			item := map[string]any{}
			if items, _ := good[name].([]any); len(items) > 0 {
				item, _ = items[0].(map[string]any)
			}
			b.wrongMembers(member.Items.Value, item, path+name+"[0].", func(body map[string]any) any { return within([]any{body}) })
		}
	}
}

// wrongMember sends a body with one wrong member, whose name must be told.
func (b badInput) wrongMember(good map[string]any, path string, value any, whole func(map[string]any) any) {
	body := maps.Clone(good)
	if body == nil {
		body = map[string]any{}
	}
	body[path[strings.LastIndexByte(path, '.')+1:]] = value
	text, err := json.Marshal(whole(body))
	if err != nil {
		b.t.Fatal(err)
	}
	a := b.bodied(b.method, b.path, b.token(), "application/json", string(text), 0)
	b.refusedAs(400, a, "%s = %.80s", path, fmt.Sprintf("%#v", value))
	if name := strings.TrimSuffix(path[strings.LastIndexByte(path, '.')+1:], "[0]"); a.code == 400 && !strings.Contains(a.body, name) {
		b.t.Errorf("%s = %.80v is refused without its name: %.200s", path, value, a.body)
	}
}

// oddValues are values of every type, and those around the limits of a schema.
func oddValues(s *openapi3.Schema) []any {
	values := []any{true, 3.7, -1.0, 0.0, 1e18, "", "x", " ", "\x00", strings.Repeat("x", 5000), []any{}, []any{1.0}, []any{map[string]any{}}, map[string]any{}, map[string]any{"a": []any{}}}
	for _, part := range append(slices.Concat(s.AllOf, s.AnyOf, s.OneOf), &openapi3.SchemaRef{Value: s}) {
		p := part.Value
		if p.Max != nil {
			values = append(values, *p.Max, *p.Max+1)
		}
		if p.Min != nil {
			values = append(values, *p.Min, *p.Min-1)
		}
		if p.MaxLength != nil {
			values = append(values, strings.Repeat("x", int(*p.MaxLength)+1))
		}
		if p.MaxItems != nil && *p.MaxItems <= 1000 {
			values = append(values, slices.Repeat([]any{"101"}, int(*p.MaxItems)+1))
		}
	}
	return values
}
