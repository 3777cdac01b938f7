package api

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestTasksWriteTheirJSON: a task is written as encoding/json writes its
// struct, member by member, whatever stands in it.
func TestTasksWriteTheirJSON(t *testing.T) {
	type plain taskAnswer // without its methods
	rng := rand.New(rand.NewPCG(4, 2))
	for n := range 300 {
		var a taskAnswer
		fill(reflect.ValueOf(&a).Elem(), rng)
		var want bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := e.Encode(plain(a)); err != nil {
			t.Fatal(err)
		}
		if got, err := encode(a); err != nil || string(got) != want.String() {
			t.Fatalf("task %d is\n%s and should be\n%s %v", n, got, want.String(), err)
		}
	}
	a := taskAnswer{Params: moreParams{ignored: map[string]json.RawMessage{"b": json.RawMessage(`"x"`), "a": json.RawMessage(`1`)}}}
	if got, _ := encode(listed[taskAnswer]{a, a}); bytes.Count(got, []byte(`"dst_dtmf":"","a":1,"b":"x"}`)) != 2 || !json.Valid(got) {
		t.Errorf("what is kept and not acted on is told as %s", got)
	}
}

// fill gives random values to what can be set: empty ones, plain ones, and
// those that JSON escapes.
func fill(v reflect.Value, rng *rand.Rand) {
	texts := []string{"", "plain", `"\`, "a\x00\b\f\n\r\t\x1f\x7f", "<&>", "Жанна 👍", "\u2028", "\u2029", "\xff\xc3", "\ufffd", "https://example.com/?a=1&b=<2>"}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts[rng.IntN(len(texts))])
	case reflect.Int, reflect.Int64:
		v.SetInt(rng.Int64N(1<<40) - 1<<20)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() || f.Kind() == reflect.Struct {
				fill(f, rng)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), rng)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rng.IntN(4), 4))
		for i := range v.Len() {
			fill(v.Index(i), rng)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rng.IntN(4) {
			name, text := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(name, rng)
			fill(text, rng)
			v.SetMapIndex(name, text)
		}
	}
}
