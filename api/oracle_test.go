package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// oracle holds requests and answers against openapi.yaml.
type oracle struct {
	doc     *openapi3.T
	schemas *schemas
	table   map[string]*routers.Route // by method and the server's own pattern
}

// theOracle reads the document once.
func theOracle(t testing.TB) *oracle {
	t.Helper()
	o, err := readDocument()
	if err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return o
}

var readDocument = sync.OnceValues(func() (*oracle, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, err
	}
	for name, s := range doc.Components.Schemas {
		if !strings.HasSuffix(name, "Request") && !slices.Contains(partly, name) {
			closed(s.Value)
		}
	}
	compiled, err := newSchemas(doc)
	if err != nil {
		return nil, err
	}
	o := &oracle{doc: doc, schemas: compiled, table: map[string]*routers.Route{}}
	for path, item := range doc.Paths.Map() {
		servers := doc.Servers
		if len(item.Servers) > 0 {
			servers = item.Servers
		}
		paths := []string{path}
		if aliases, ok := item.Extensions["x-aliases"].([]any); ok {
			for _, alias := range aliases {
				paths = append(paths, alias.(string))
			}
		}
		for method, op := range item.Operations() {
			for _, server := range servers {
				for _, path := range paths {
					pattern := strings.TrimRight(server.URL, "/") + strings.TrimRight(path, "/")
					o.table[method+" "+echoPattern(pattern)] = &routers.Route{
						Spec: doc, Server: server, Path: path, PathItem: item, Method: method, Operation: op,
					}
				}
			}
		}
	}
	return o, nil
})

// partly are the schemas of answers that have members of a client's own, that
// stand in requests, too, or that are put together with others.
var partly = []string{"CallbackParams", "Condition", "Envelope"}

// closed makes a schema of answers strict: they have all of its members, and no
// others. To integrators the document leaves room for more.
func closed(s *openapi3.Schema) {
	if !s.Type.Is("object") || len(s.Properties) == 0 {
		return
	}
	s.AdditionalProperties.Has = new(bool)
	for name, property := range s.Properties {
		if _, optional := property.Extensions["x-optional"]; property.Value.Extensions["x-optional"] == nil && !optional && !slices.Contains(s.Required, name) {
			s.Required = append(s.Required, name)
		}
	}
}

// echoPattern writes {name} as :name.
func echoPattern(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = ":" + strings.Trim(part, "{}")
		}
	}
	return strings.Join(parts, "/")
}

// general are the headers that any answer may have.
var general = []string{
	"X-Request-Id", "X-Content-Type-Options", "Content-Type", "Content-Length", "Allow", "Retry-After", "Www-Authenticate",
	"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "Vary", "Etag", "Link", "Idempotency-Replayed",
}

// largest is the largest answer that is held against its schema, in bytes.
const largest = 1 << 20

// judge says what of an exchange the document does not know. A request is held
// against it only if it was answered 2xx: what the server takes is documented.
func (o *oracle) judge(s *Server, req *http.Request, body []byte, w *httptest.ResponseRecorder) error {
	method := req.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	c := s.echo.NewContext(req, w)
	s.echo.Router().Find(method, tidyPath(req.URL.Path), c)
	route := o.table[method+" "+c.Path()]
	if w.Code == http.StatusInternalServerError || w.Code == statusCallerGone { // of any operation
		return nil
	}
	if route == nil {
		return o.judgeNoRoute(req, c.Path(), w)
	}
	params := map[string]string{}
	for i, name := range c.ParamNames() {
		params[name] = c.ParamValues()[i]
	}
	// Names of the admin API come in any case, which no schema says; XML is not
	// held against one.
	json := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")
	again := req.Clone(context.Background())
	again.Method, again.Body = method, io.NopCloser(bytes.NewReader(body))
	given := again.URL.Query()
	for name, values := range given {
		if len(values) == 1 && values[0] == "" {
			given.Del(name) // is none
		}
	}
	again.URL = &url.URL{Path: again.URL.Path, RawQuery: given.Encode()}
	if media := again.Header.Get("Content-Type"); len(body) > 0 && (media == "" || strings.HasPrefix(media, "text/json")) {
		again.Header.Set("Content-Type", "application/json") // is taken for it
	}
	media, _, _ := mime.ParseMediaType(again.Header.Get("Content-Type"))
	isJSON := media == "application/json" && route.Operation.RequestBody != nil && len(body) > 0
	input := &openapi3filter.RequestValidationInput{
		Request: again, PathParams: params, Route: route, Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, ExcludeReadOnlyValidations: true, IncludeResponseStatus: true,
			ExcludeRequestBody: len(body) > largest || isAdmin(route.Server.URL) || isJSON, RejectWhenRequestBodyNotSpecified: true,
			ExcludeResponseBody: true,
		},
	}
	var faults []error
	if w.Code >= 200 && w.Code <= 299 {
		faults = append(faults, mediaFaults(route.Operation, again, len(body) > 0, w))
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			faults = append(faults, fmt.Errorf("%s was answered %d, and its request is not documented: %w", method, w.Code, err))
		}
		for name := range again.URL.Query() {
			if route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
				faults = append(faults, fmt.Errorf("%s was answered %d, and its parameter %q is not documented", method, w.Code, name))
			}
		}
	}
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())), Options: input.Options,
	})
	faults = append(faults, err)
	var asked, told []byte
	if w.Code >= 200 && w.Code <= 299 && isJSON && len(body) <= largest && !isAdmin(route.Server.URL) {
		asked = body
	}
	if json && w.Body.Len() <= largest {
		told = w.Body.Bytes()
	}
	faults = append(faults, o.bodyFaults(route, asked, told, w.Code)...)
	if told := route.Operation.Responses.Status(w.Code); told != nil {
		faults = append(faults, headersOf(told.Value, w)...)
	}
	return errors.Join(faults...)
}

// mediaFaults says that the media type of a request or of its answer is not
// documented.
func mediaFaults(op *openapi3.Operation, req *http.Request, hasBody bool, w *httptest.ResponseRecorder) error {
	asked, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if hasBody && op.RequestBody != nil && op.RequestBody.Value.Content[asked] == nil {
		return fmt.Errorf("a request of %q was taken, which is not documented", asked)
	}
	told, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if response := op.Responses.Status(w.Code); w.Body.Len() > 0 && response != nil && response.Value.Content[told] == nil {
		return fmt.Errorf("it was answered %q, which is not documented", told)
	}
	return nil
}

// headersOf says which headers of an answer its documentation lacks.
func headersOf(told *openapi3.Response, w *httptest.ResponseRecorder) []error {
	var faults []error
	for name := range w.Header() {
		known := slices.Contains(general, name)
		for documented := range told.Headers {
			known = known || strings.EqualFold(documented, name)
		}
		if !known {
			faults = append(faults, fmt.Errorf("the answer's header %s is not documented", name))
		}
	}
	return faults
}

// judgeNoRoute judges the answer of a path or a method that nothing serves.
func (o *oracle) judgeNoRoute(req *http.Request, pattern string, w *httptest.ResponseRecorder) error {
	if !slices.Contains([]int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNoContent}, w.Code) {
		return fmt.Errorf("%s %s (%s) has no operation and is answered %d", req.Method, req.URL.Path, pattern, w.Code)
	}
	return nil
}

// recorded serves a request and holds the exchange against the document.
func recorded(t testing.TB, s *Server, req *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	var body []byte
	if req.Body != nil && req.ContentLength >= 0 && req.ContentLength <= maxBody {
		body, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	ctx, leave := context.WithCancel(req.Context())
	defer leave()
	w := httptest.NewRecorder()
	s.ServeHTTP(leaver{w, leave}, req.WithContext(ctx))
	if err := theOracle(t).judge(s, req, body, w); err != nil {
		faults, _, _ := strings.Cut(err.Error(), "\nSchema:")
		t.Errorf("%s %s: %s\nasked %.300s\ntold %.300s", req.Method, req.URL, faults, body, w.Body)
	}
	return w
}
