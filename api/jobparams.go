package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"ringback/scheduler"
)

// maxParameters is how long the parameters of a recurring task are at most, in
// bytes.
const maxParameters = 4 << 20

//go:embed jobs/*.json
var jobFiles embed.FS

// jobSchema is what the parameters of an entry of the catalogue must be.
type jobSchema struct {
	text     json.RawMessage
	node     schemaNode // what XML is read by
	compiled *jsonschema.Schema
}

// schemaNode is the part of a JSON Schema that says what an element of XML means.
type schemaNode struct {
	Type       json.RawMessage
	Properties map[string]*schemaNode
	Items      *schemaNode
	MaxItems   *int
	Additional json.RawMessage `json:"additionalProperties"`
}

// jobSchemas are those of the catalogue.
var jobSchemas = loadJobSchemas()

func loadJobSchemas() map[scheduler.JobID]jobSchema {
	all := map[scheduler.JobID]jobSchema{}
	for _, job := range scheduler.Catalogue {
		text, err := jobFiles.ReadFile("jobs/" + strings.ToLower(job.Name) + ".json")
		if err != nil {
			panic(err) // it is built in
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(job.Name, doc); err != nil {
			panic(err)
		}
		s := jobSchema{compiled: c.MustCompile(job.Name)}
		var short bytes.Buffer
		if err := errors.Join(json.Unmarshal(text, &s.node), json.Compact(&short, text)); err != nil {
			panic(err)
		}
		s.text = short.Bytes()
		all[job.ID] = s
	}
	return all
}

// contentTypes are those that parameters may have.
var contentTypes = []string{mediaJSON, mediaXML}

// contentTypeOf returns the media type of parameters, "" if it is none of theirs.
func contentTypeOf(given string) string {
	media, _, err := mime.ParseMediaType(given)
	if err != nil || !slices.Contains(contentTypes, media) {
		return ""
	}
	return media
}

// readParameters reads the parameters of a job, and checks them against its
// schema. Everything wrong is a sentence.
func readParameters(job scheduler.JobID, contentType, text string) (map[string]any, []string) {
	if len(text) > maxParameters {
		return nil, []string{fmt.Sprintf("must be at most %d MiB long", maxParameters>>20)}
	}
	schema := jobSchemas[job]
	var value any
	var err error
	if contentType == mediaXML {
		value, err = schema.node.fromXML(text)
	} else {
		value, err = jsonValue(text)
	}
	if err != nil {
		return nil, []string{err.Error()}
	}
	var wrong []string
	if schema.node.integers(value, nil, &wrong); len(wrong) > 0 {
		return nil, wrong
	}
	if err := schema.compiled.Validate(value); err != nil {
		var invalid *jsonschema.ValidationError
		if !errors.As(err, &invalid) {
			return nil, []string{err.Error()}
		}
		sentences(invalid, &wrong)
		return nil, wrong
	}
	params, _ := value.(map[string]any) // the schema says that it is one
	return params, nil
}

// jsonValue reads a JSON text with the reader of all bodies: no name twice, not
// nested too deeply.
func jsonValue(text string) (any, error) {
	r := reader{text: strings.TrimPrefix(text, "\ufeff")}
	twice := ""
	var walk func()
	walk = func() {
		switch r.kind() {
		case kindObject:
			seen := map[string]bool{}
			r.object(func(name string) {
				if seen[name] {
					twice = name
				}
				seen[name] = true
				walk()
			})
		case kindArray:
			r.array(func(int) { walk() })
		default:
			r.skip()
		}
	}
	walk()
	r.end()
	switch {
	case r.wrong != "":
		return nil, errors.New("is not well-formed: " + r.wrong)
	case twice != "":
		return nil, fmt.Errorf("gives %q twice", clip(twice))
	}
	return jsonschema.UnmarshalJSON(strings.NewReader(r.text))
}

// integers adds what is wrong with the integers of a value, which are digits alone.
// The validator takes 30.0 and 3e1 for integers, too, which are none to those who
// read them, and works out the digits of 1e999999. A list that is too long is not
// looked into.
func (s *schemaNode) integers(value any, at []string, wrong *[]string) {
	if s == nil || len(*wrong) >= maxFaults {
		return
	}
	switch value := value.(type) {
	case json.Number:
		if _, err := value.Int64(); s.is("integer") && err != nil {
			*wrong = append(*wrong, placeOf(at)+": must be an integer, of at most 19 digits and nothing else")
		}
	case []any:
		if s.MaxItems != nil && len(value) > *s.MaxItems {
			*wrong = append(*wrong, fmt.Sprintf("%s: must have at most %d items", placeOf(at), *s.MaxItems))
			return
		}
		for i, item := range value {
			s.Items.integers(item, append(at, strconv.Itoa(i)), wrong)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			s.Properties[name].integers(value[name], append(at, name), wrong)
		}
	}
}

var english = message.NewPrinter(language.English)

// sentences adds what is wrong with parameters: the leaves of what the validator
// says, each with its place.
func sentences(e *jsonschema.ValidationError, wrong *[]string) {
	for _, cause := range e.Causes {
		sentences(cause, wrong)
	}
	if len(e.Causes) > 0 || len(*wrong) >= maxFaults {
		return
	}
	*wrong = append(*wrong, placeOf(e.InstanceLocation)+": "+e.ErrorKind.LocalizedString(english))
}

// placeOf tells where in parameters a value is.
func placeOf(at []string) string {
	place := "the whole"
	for i, part := range at {
		_, err := strconv.Atoi(part)
		switch {
		case i == 0:
			place = part
		case err == nil:
			place += "[" + part + "]"
		default:
			place += "." + part
		}
	}
	return clip(place)
}

// fromXML reads an XML text as the JSON value that its schema makes of it: an
// element is an object of its children, a list of them, or a text. What the
// outermost one is called does not matter.
func (s *schemaNode) fromXML(text string) (any, error) {
	text, wrong := toUTF8(text)
	if wrong != "" {
		return nil, errors.New(wrong)
	}
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is UTF-8 by now
	for {
		token, err := d.Token()
		if err != nil {
			return nil, notWellFormed(err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errDTD
		case xml.StartElement:
			value, err := s.element(d, token, 1)
			if err != nil {
				return nil, err
			}
			for {
				switch token, err := d.Token(); token := token.(type) {
				case xml.Comment, xml.ProcInst:
				case xml.CharData:
					if strings.TrimSpace(string(token)) != "" {
						return nil, errors.New("is not well-formed: there is text after the end")
					}
				default:
					if errors.Is(err, io.EOF) {
						return value, nil
					}
					return nil, errors.New("is not well-formed: there is more after the end")
				}
			}
		}
	}
}

var errDTD = errors.New("must not have a document type")

func notWellFormed(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("is not well-formed: there is no element")
	}
	return fmt.Errorf("is not well-formed: %w", err)
}

func (s *schemaNode) is(kind string) bool {
	return s != nil && bytes.Contains(s.Type, []byte(`"`+kind+`"`))
}

// element reads an element up to its end.
func (s *schemaNode) element(d *xml.Decoder, start xml.StartElement, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("is nested too deeply")
	}
	null := false
	for _, a := range start.Attr {
		switch {
		case a.Name.Space == "xmlns" || a.Name.Local == "xmlns":
		case a.Name.Local == "nil" && strings.HasSuffix(a.Name.Space, "XMLSchema-instance"):
			null = a.Value == "true" || a.Value == "1"
		case strings.HasSuffix(a.Name.Space, "XMLSchema-instance"):
		default:
			return nil, fmt.Errorf("must have no attributes, as %s has", clip(start.Name.Local))
		}
	}
	var text strings.Builder
	members, items := map[string]any{}, []any{}
	for {
		token, err := d.Token()
		if err != nil {
			return nil, notWellFormed(err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errDTD
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			name := token.Name.Local
			child := s.child(name)
			value, err := child.element(d, token, depth+1)
			if err != nil {
				return nil, err
			}
			if _, twice := members[name]; twice && !s.is("array") {
				return nil, fmt.Errorf("gives %s twice", clip(name))
			}
			members[name] = value
			items = append(items, value)
		case xml.EndElement:
			if null {
				return nil, nil
			}
			return s.value(text.String(), members, items)
		}
	}
}

// child is what an element in one of this kind is.
func (s *schemaNode) child(name string) *schemaNode {
	switch {
	case s == nil:
		return nil
	case s.Items != nil:
		return s.Items
	}
	return s.Properties[name]
}

// value is what an element means.
func (s *schemaNode) value(text string, members map[string]any, items []any) (any, error) {
	trimmed := strings.TrimSpace(text)
	switch {
	case len(items) > 0 && trimmed != "":
		return nil, errors.New("mixes text and elements")
	case s.is("array"):
		return items, nil
	case s.is("object"), len(items) > 0:
		return members, nil
	case s.is("string"):
		return text, nil
	case s.is("integer") && json.Valid([]byte(trimmed)):
		return json.Number(trimmed), nil
	}
	return text, nil
}
