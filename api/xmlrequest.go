package api

import (
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// schemaInstance is the namespace of xsi:nil.
const schemaInstance = "http://www.w3.org/2001/XMLSchema-instance"

// maxTag is how long the start of an element may be with its attributes, in
// bytes.
const maxTag = 16 << 10

// toUTF8 returns a text in UTF-8 without its byte order mark, and what is
// wrong with it. Only such a mark says that it is UTF-16: what is declared in it
// is not looked at.
func toUTF8(text string) (string, string) {
	var order binary.ByteOrder
	switch {
	case strings.HasPrefix(text, "\xff\xfe"):
		order = binary.LittleEndian
	case strings.HasPrefix(text, "\xfe\xff"):
		order = binary.BigEndian
	default:
		if text = strings.TrimPrefix(text, "\ufeff"); !utf8.ValidString(text) {
			return "", "is not valid UTF-8"
		}
		return text, ""
	}
	if len(text)%2 != 0 {
		return "", "is not valid UTF-16"
	}
	units := make([]uint16, 0, len(text)/2-1)
	for raw := []byte(text[2:]); len(raw) > 0; raw = raw[2:] {
		units = append(units, order.Uint16(raw))
	}
	runes := utf16.Decode(units)
	if !slices.Equal(utf16.Encode(runes), units) { // half of a surrogate pair
		return "", "is not valid UTF-16"
	}
	return string(runes), ""
}

// xmlFault is what is wrong with an XML text.
type xmlFault string

func (f xmlFault) Error() string { return string(f) }

// xmlRequest writes an XML text as the JSON that it means: an element with
// elements is an object, any other is a string, one that is nil is null.
// Namespaces and other attributes mean nothing.
type xmlRequest struct {
	text  string
	in    *xml.Decoder
	out   strings.Builder
	depth int
}

// jsonOfXML returns the JSON that an XML text means whose outermost element is
// one of roots, and what is wrong with it. Nothing but the entities that XML
// itself has is expanded: a document type is refused.
func jsonOfXML(text string, roots []string) (string, string) {
	x := xmlRequest{text: text, in: xml.NewDecoder(strings.NewReader(text))}
	x.in.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8, whatever it says
	err := x.document(roots)
	var fault xmlFault
	switch {
	case err == nil:
		return x.out.String(), ""
	case errors.As(err, &fault):
		return "", fault.Error()
	}
	line, _ := x.in.InputPos()
	return "", "is not valid XML at line " + strconv.Itoa(line)
}

// token reads what comes next. All attributes of an element are read at once, so
// that it is refused before.
func (x *xmlRequest) token() (xml.Token, error) {
	if longTag(x.text[min(x.in.InputOffset(), int64(len(x.text))):]) {
		return nil, xmlFault("has an element of which the start is longer than " + strconv.Itoa(maxTag>>10) + " KiB, at line " + strconv.Itoa(x.line()))
	}
	return x.in.Token()
}

// longTag reports whether a text begins with a tag that is too long.
func longTag(text string) bool {
	if !strings.HasPrefix(text, "<") || strings.HasPrefix(text, "<!") || strings.HasPrefix(text, "<?") {
		return false
	}
	quote := byte(0) // that an attribute's value is in
	for i := range min(len(text), maxTag) {
		switch c := text[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return false
		}
	}
	return len(text) > maxTag
}

// document reads the outermost element, and makes sure that there is one.
func (x *xmlRequest) document(roots []string) error {
	found := false
	for {
		token, err := x.token()
		if errors.Is(err, io.EOF) && found {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if found {
				return xmlFault("must end after one XML element")
			}
			if !slices.ContainsFunc(roots, func(root string) bool { return strings.EqualFold(root, t.Name.Local) }) {
				return xmlFault("must be an XML element " + strings.Join(roots, " or "))
			}
			found = true
			err = x.element(t)
		case xml.CharData:
			if strings.TrimSpace(string(t)) != "" {
				err = xmlFault("must have no text outside its outermost element")
			}
		case xml.Directive:
			err = errDocumentType
		}
		if err != nil {
			return err
		}
	}
}

const errDocumentType = xmlFault("must not have a document type (DTD)")

// element reads an element whose start has been read.
func (x *xmlRequest) element(start xml.StartElement) error {
	if x.depth++; x.depth > maxDepth {
		return xmlFault("is nested too deeply at line " + strconv.Itoa(x.line()))
	}
	var text strings.Builder
	children := 0
	for {
		token, err := x.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.CharData:
			text.Write(t)
		case xml.StartElement:
			x.out.WriteByte("{,"[min(children, 1)])
			quoteJSON(&x.out, t.Name.Local)
			x.out.WriteByte(':')
			children++
			if err := x.element(t); err != nil {
				return err
			}
		case xml.EndElement:
			x.depth--
			return x.end(start, text.String(), children)
		case xml.Directive:
			return errDocumentType
		}
	}
}

// end writes the rest of an element with a text and a number of elements.
func (x *xmlRequest) end(start xml.StartElement, text string, children int) error {
	blank, outermost := strings.TrimSpace(text) == "", x.depth == 0
	switch null := isNil(start); {
	case null && outermost:
		return xmlFault("must not be nil")
	case null && (children > 0 || !blank):
		return xmlFault("has an element that is nil and not empty: " + clip(start.Name.Local))
	case null:
		x.out.WriteString("null")
	case children > 0 && !blank, outermost && !blank:
		return xmlFault("has text beside elements in " + clip(start.Name.Local))
	case children > 0:
		x.out.WriteByte('}')
	case outermost:
		x.out.WriteString("{}")
	default:
		quoteJSON(&x.out, text)
	}
	return nil
}

func (x *xmlRequest) line() int {
	line, _ := x.in.InputPos()
	return line
}

// quoteJSON writes a text as a JSON string: unlike encoding/json, which makes six
// bytes of each < and >.
func quoteJSON(out *strings.Builder, text string) {
	out.WriteByte('"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		out.WriteString(text[from:i])
		from = i + 1
		if c >= ' ' {
			out.Write([]byte{'\\', c})
		} else {
			fmt.Fprintf(out, `\u%04x`, c)
		}
	}
	out.WriteString(text[from:])
	out.WriteByte('"')
}

// isNil reports whether an element is null (XML Schema, part 1, section 2.6.2).
func isNil(start xml.StartElement) bool {
	for _, a := range start.Attr {
		// A prefix that is not declared stands for itself.
		if a.Name.Local == "nil" && (a.Name.Space == schemaInstance || a.Name.Space == "xsi") {
			return a.Value == "true" || a.Value == "1"
		}
	}
	return false
}
