package api

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deeply a JSON text may be nested.
const maxDepth = 32

// reader reads one JSON text (RFC 8259), value by value. encoding/json stops
// at the first value of a wrong type and takes names in any case; this one
// leaves both to whoever reads. Strings are parts of the text: they keep it
// alive and are not copied. After a syntax error, which is kept, every value
// reads as the end of the text.
type reader struct {
	text  string
	at    int
	depth int
	wrong string // what is wrong with the text, and where; "" while nothing is
}

// A kind is the first byte of a value: one of these, or 0 for no value.
const (
	kindObject = '{'
	kindArray  = '['
	kindString = '"'
	kindNumber = '0'
	kindTrue   = 't'
	kindFalse  = 'f'
	kindNull   = 'n'
)

// fail notes a syntax error, the first of which stays, and goes to the end.
func (r *reader) fail(message string) {
	if r.wrong == "" {
		r.wrong = message + " at byte " + strconv.Itoa(r.at+1)
	}
	r.at = len(r.text)
}

func (r *reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// next returns the first byte of what follows, 0 at the end of the text.
func (r *reader) next() byte {
	r.space()
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// kind returns the kind of the value that follows.
func (r *reader) kind() byte {
	switch c := r.next(); c {
	case kindObject, kindArray, kindString, kindTrue, kindFalse, kindNull:
		return c
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return kindNumber
	}
	return 0
}

// take consumes a byte that must follow.
func (r *reader) take(c byte) bool {
	if r.next() != c {
		r.fail("is not valid JSON")
		return false
	}
	r.at++
	return true
}

func (r *reader) enter() bool {
	r.depth++
	if r.depth > maxDepth {
		r.fail("is nested too deeply")
	}
	return r.wrong == ""
}

// object reads an object; member must consume the value of each name.
func (r *reader) object(member func(name string)) {
	if !r.take('{') || !r.enter() {
		return
	}
	if r.next() == '}' {
		r.at++
		r.depth--
		return
	}
	for r.wrong == "" {
		name := r.string()
		if !r.take(':') {
			return
		}
		member(name)
		if r.next() == '}' {
			r.at++
			r.depth--
			return
		}
		r.take(',')
	}
}

// array reads an array; element must consume each value.
func (r *reader) array(element func(i int)) {
	if !r.take('[') || !r.enter() {
		return
	}
	if r.next() == ']' {
		r.at++
		r.depth--
		return
	}
	for i := 0; r.wrong == ""; i++ {
		element(i)
		if r.next() == ']' {
			r.at++
			r.depth--
			return
		}
		r.take(',')
	}
}

// raw consumes any value and returns its text.
func (r *reader) raw() string {
	r.space()
	from := r.at
	r.skip()
	if r.wrong != "" {
		return ""
	}
	return r.text[from:r.at]
}

// skip consumes any value.
func (r *reader) skip() {
	switch r.kind() {
	case kindObject:
		r.object(func(string) { r.skip() })
	case kindArray:
		r.array(func(int) { r.skip() })
	case kindString:
		r.string()
	case kindNumber:
		r.number()
	case kindTrue:
		r.word("true")
	case kindFalse:
		r.word("false")
	case kindNull:
		r.word("null")
	default:
		r.fail("is not valid JSON")
	}
}

func (r *reader) word(word string) {
	if !strings.HasPrefix(r.text[r.at:], word) {
		r.fail("is not valid JSON")
		return
	}
	r.at += len(word)
}

// number consumes a number and returns its text.
func (r *reader) number() string {
	r.space()
	from := r.at
	if r.at < len(r.text) && r.text[r.at] == '-' {
		r.at++
	}
	if r.at < len(r.text) && r.text[r.at] == '0' {
		r.at++
	} else if !r.digits() {
		return ""
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		r.at++
		if !r.digits() {
			return ""
		}
	}
	if r.at < len(r.text) && (r.text[r.at] == 'e' || r.text[r.at] == 'E') {
		r.at++
		if r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
			r.at++
		}
		if !r.digits() {
			return ""
		}
	}
	return r.text[from:r.at]
}

// digits consumes the digits that must follow.
func (r *reader) digits() bool {
	from := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	if r.at == from {
		r.fail("is not valid JSON")
	}
	return r.at > from
}

// string consumes a string and returns its value.
func (r *reader) string() string {
	if !r.take('"') {
		return ""
	}
	from, ascii := r.at, true
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			s := r.text[from:r.at]
			if !ascii && !utf8.ValidString(s) {
				r.fail("is not valid UTF-8")
				return ""
			}
			r.at++
			return s
		case c == '\\':
			return r.escaped(from)
		case c < ' ':
			r.fail("is not valid JSON")
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
		r.at++
	}
	r.fail("is not valid JSON")
	return ""
}

// escaped reads the rest of a string that began at from and has an escape at
// the point reached.
func (r *reader) escaped(from int) string {
	b := []byte(r.text[from:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				r.fail("is not valid UTF-8")
				return ""
			}
			return string(b)
		case c == '\\':
			b = r.escape(b)
		case c < ' ':
			r.fail("is not valid JSON")
			return ""
		default:
			b = append(b, c)
		}
	}
	r.fail("is not valid JSON")
	return ""
}

// escapes are the characters that a backslash stands before, and what they
// mean; u is read apart.
var escapes = map[byte]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escape appends what the escape after a backslash means. Half a surrogate
// pair becomes U+FFFD, as in encoding/json.
func (r *reader) escape(b []byte) []byte {
	if r.at >= len(r.text) {
		r.fail("is not valid JSON")
		return b
	}
	c := r.text[r.at]
	r.at++
	if c != 'u' {
		meant, ok := escapes[c]
		if !ok {
			r.fail("is not valid JSON")
		}
		return append(b, meant)
	}
	first := r.hex4()
	if utf16.IsSurrogate(first) {
		if strings.HasPrefix(r.text[r.at:], `\u`) {
			back := r.at
			r.at += 2
			if pair := utf16.DecodeRune(first, r.hex4()); pair != utf8.RuneError {
				return utf8.AppendRune(b, pair)
			}
			if r.wrong == "" {
				r.at = back
			}
		}
		first = utf8.RuneError
	}
	return utf8.AppendRune(b, first)
}

func (r *reader) hex4() rune {
	if r.at+4 > len(r.text) {
		r.fail("is not valid JSON")
		return 0
	}
	n, err := strconv.ParseUint(r.text[r.at:r.at+4], 16, 32)
	if err != nil {
		r.fail("is not valid JSON")
		return 0
	}
	r.at += 4
	return rune(n)
}

// end notes what follows the value as an error.
func (r *reader) end() {
	r.space()
	if r.at < len(r.text) {
		r.fail("must end after one JSON value")
	}
}
