package api

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

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
	var value any
	for found := false; ; {
		token, err := nextToken(d)
		if found && errors.Is(err, io.EOF) {
			return value, nil
		}
		if err != nil {
			return nil, notWellFormed(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if found {
				return nil, errors.New("is not well-formed: there is more after the end")
			}
			if value, err = s.element(d, token, 1); err != nil {
				return nil, err
			}
			found = true
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				return nil, errors.New("is not well-formed: there is text outside of the outermost element")
			}
		}
	}
}

// nextToken reads what comes next, but a document type.
func nextToken(d *xml.Decoder) (xml.Token, error) {
	token, err := d.Token()
	if _, is := token.(xml.Directive); is {
		err = errDTD
	}
	return token, err
}

var errDTD = errors.New("must not have a document type")

func notWellFormed(err error) error {
	switch {
	case errors.Is(err, errDTD):
		return err
	case errors.Is(err, io.EOF):
		return errors.New("is not well-formed: there is no element")
	}
	return fmt.Errorf("is not well-formed: %w", err)
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
		token, err := nextToken(d)
		if err != nil {
			return nil, notWellFormed(err)
		}
		switch token := token.(type) {
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
