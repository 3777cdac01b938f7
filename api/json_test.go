package api

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReaderSyntax(t *testing.T) {
	for claim, tc := range map[string]struct{ text, wrong string }{
		"an object is fine":           {` {"a":[1,-2.5e+3,"\u00e9",true,false,null,{}]} `, ""},
		"nothing is no value":         {"", "is not valid JSON at byte 1"},
		"a trailing comma is wrong":   {`[1,]`, "is not valid JSON at byte 4"},
		"garbage after is wrong":      {`{} {}`, "must end after one JSON value at byte 4"},
		"a leading zero is wrong":     {`[01]`, "is not valid JSON at byte 3"},
		"a control character":         {"\"a\nb\"", "is not valid JSON at byte 3"},
		"an unknown escape":           {`"\x"`, "is not valid JSON at byte 4"},
		"bytes that are no UTF-8":     {"\"\xff\"", "is not valid UTF-8 at byte 3"},
		"too deep":                    {strings.Repeat("[", 1000), "is nested too deeply at byte 34"},
		"a string that does not end":  {`"abc`, "is not valid JSON at byte 5"},
		"a word that is none":         {`nul`, "is not valid JSON at byte 1"},
		"a name that is not a string": {`{1:2}`, "is not valid JSON at byte 2"},
	} {
		t.Run(claim, func(t *testing.T) {
			r := reader{text: tc.text}
			r.skip()
			r.end()
			if r.wrong != tc.wrong {
				t.Errorf("%q: %q, want %q", tc.text, r.wrong, tc.wrong)
			}
		})
	}
}

// FuzzReader holds the reader to encoding/json: it takes the same texts, but
// for nesting and UTF-8, and reads the same strings.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,"\u00e9\ud83d\ude00\ud800x",true,null]}`, `"\ud800\u0041"`, `[1e5]`, `"\"\\\/\b\f\n\r\t"`, `-`, "0\x00", `{"a"}`, `[[]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := reader{text: text}
		r.skip()
		r.end()
		deep := strings.Contains(r.wrong, "nested")
		if valid := json.Valid([]byte(text)) && utf8.ValidString(text); !deep && valid != (r.wrong == "") {
			t.Fatalf("%q: %q, encoding/json says %v", text, r.wrong, valid)
		}
		var want string
		if json.Unmarshal([]byte(text), &want) == nil && utf8.ValidString(text) && strings.HasPrefix(strings.TrimSpace(text), `"`) {
			r := reader{text: text}
			if got := r.string(); got != want {
				t.Fatalf("%q reads %q, want %q", text, got, want)
			}
		}
	})
}
