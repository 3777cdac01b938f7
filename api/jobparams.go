package api

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
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

// schemaNode is the part of a JSON Schema that says what an element of XML means,
// and how much there may be.
type schemaNode struct {
	Type          json.RawMessage
	Properties    map[string]*schemaNode
	MaxProperties *int
	Items         *schemaNode
	MaxItems      *int
	Additional    json.RawMessage `json:"additionalProperties"`
}

func (s *schemaNode) is(kind string) bool {
	return s != nil && bytes.Contains(s.Type, []byte(`"`+kind+`"`))
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
	if schema.node.bounds(value, nil, &wrong); len(wrong) > 0 {
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

// bounds adds what is wrong with a value that is not to be validated: how many
// members and items it has, names that nothing is known of, and integers, which
// are digits alone. The validator takes 30.0 and 3e1 for integers, too, which are
// none to those who read them, works out the digits of 1e999999, and repeats every
// name. What is too long is not looked into.
func (s *schemaNode) bounds(value any, at []string, wrong *[]string) {
	if s == nil || len(*wrong) >= maxFaults {
		return
	}
	fault := func(at []string, format string, args ...any) {
		*wrong = append(*wrong, placeOf(at)+": "+fmt.Sprintf(format, args...))
	}
	switch value := value.(type) {
	case json.Number:
		if _, err := value.Int64(); s.is("integer") && err != nil {
			fault(at, "must be an integer, of at most 19 digits and nothing else")
		}
	case []any:
		if s.MaxItems != nil && len(value) > *s.MaxItems {
			fault(at, "must have at most %d items", *s.MaxItems)
			return
		}
		for i, item := range value {
			s.Items.bounds(item, append(at, strconv.Itoa(i)), wrong)
		}
	case map[string]any:
		if s.MaxProperties != nil && len(value) > *s.MaxProperties {
			fault(at, "must have at most %d members", *s.MaxProperties)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			known, is := s.Properties[name]
			if !is && string(s.Additional) == "false" {
				fault(append(at, name), "is not a known name")
			}
			if known.bounds(value[name], append(at, name), wrong); len(*wrong) >= maxFaults {
				return
			}
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
	const told = 200 // characters: some repeat the value
	sentence := []rune(e.ErrorKind.LocalizedString(english))
	if len(sentence) > told {
		sentence = append(sentence[:told], '…')
	}
	*wrong = append(*wrong, placeOf(e.InstanceLocation)+": "+string(sentence))
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
