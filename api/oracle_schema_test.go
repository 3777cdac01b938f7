package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are the JSON Schemas of the document's bodies, each compiled once:
// kin-openapi compiles one for every body, which took a third of these tests'
// time.
type schemas struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema // by its place in the document
	paths    map[*openapi3.PathItem]string // as the document has them: a route may go by another name
}

// theDocument is what the schemas are parts of, by any name.
const theDocument = "https://ringback.example/openapi.json"

// newSchemas takes the document as it is by now: of an OpenAPI 3.1 document every
// schema is one of JSON Schema, and every reference a place in it.
func newSchemas(doc *openapi3.T) (*schemas, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	s := &schemas{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}, paths: map[*openapi3.PathItem]string{}}
	for path, item := range doc.Paths.Map() {
		s.paths[item] = path
	}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(theDocument, whole)
}

// at returns the schema at a place of the document.
func (s *schemas) at(place string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, known := s.compiled[place]
	if known {
		return schema, nil
	}
	schema, err := s.compiler.Compile(theDocument + place)
	if err == nil {
		s.compiled[place] = schema
	}
	return schema, err
}

// judge says how a body differs from the schema that an operation has for it
// in what it asks for (code 0) or answers with a code.
func (s *schemas) judge(route *routers.Route, code int, media string, body []byte) error {
	place, content := s.whereIs(route, code)
	if content[media] == nil || content[media].Schema == nil {
		return nil // said elsewhere
	}
	schema, err := s.at(place + "/content/" + pointed(media) + "/schema")
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("a body is no JSON: %w", err)
	}
	return schema.Validate(value)
}

// whereIs is where an operation has its bodies in the document: those that it
// takes, or answers with a code.
func (s *schemas) whereIs(route *routers.Route, code int) (string, openapi3.Content) {
	place := "#/paths/" + pointed(s.paths[route.PathItem]) + "/" + strings.ToLower(route.Method)
	op := route.Operation
	if code == 0 {
		switch body := op.RequestBody; {
		case body == nil:
			return "", nil
		case body.Ref != "":
			return body.Ref, body.Value.Content
		default:
			return place + "/requestBody", body.Value.Content
		}
	}
	name, told := strconv.Itoa(code), op.Responses.Status(code)
	if told == nil {
		name, told = "default", op.Responses.Default()
	}
	switch {
	case told == nil:
		return "", nil
	case told.Ref != "":
		return told.Ref, told.Value.Content
	}
	return place + "/responses/" + name, told.Value.Content
}

// pointed is a name in a place (RFC 6901), as a part of a URL.
func pointed(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
}

// bodyFaults holds the JSON bodies of an exchange against the document.
func (o *oracle) bodyFaults(route *routers.Route, asked, told []byte, code int) (faults []error) {
	if len(asked) > 0 {
		if err := o.schemas.judge(route, 0, "application/json", asked); err != nil {
			faults = append(faults, fmt.Errorf("it was answered %d, and its request is not documented: %w", code, err))
		}
	}
	if len(told) > 0 && code != http.StatusNotModified {
		faults = append(faults, o.schemas.judge(route, code, "application/json", told))
	}
	return faults
}
