package api

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// typed is an answer of the admin API that is told in XML by a name of its
// type: its root is ResponseOf and that name.
type typed interface{ xmlName() string }

// typeName returns the name of a type in XML, as .NET's XmlSerializer has it;
// of what has none, that of any object.
func typeName(t reflect.Type) string {
	switch {
	case t == nil:
		return "Object"
	case t.Implements(reflect.TypeFor[typed]()):
		return reflect.Zero(t).Interface().(typed).xmlName()
	case t.Kind() == reflect.Slice:
		return "ArrayOf" + typeName(t.Elem())
	case t.Kind() == reflect.Pointer:
		return typeName(t.Elem())
	case t.Kind() == reflect.String:
		return "string"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return "int"
	}
	return "Object"
}

// encodeXML encodes an envelope: elements without a namespace, in the order of
// the fields but for what the envelope itself has in another one.
func encodeXML(e envelope) []byte {
	var x xmlAnswer
	root := "ResponseOf" + typeName(reflect.TypeOf(e.ResponseData.Detail))
	x.WriteString("<" + root + ` xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="` + schemaInstance + `">`)
	x.element("Error", reflect.ValueOf(e.Error))
	x.WriteString("<ResponseData>")
	x.element("Result", reflect.ValueOf(e.ResponseData.Result))
	x.element("Identification", reflect.ValueOf(e.ResponseData.Identification))
	x.element("Detail", reflect.ValueOf(e.ResponseData.Detail))
	x.WriteString("</ResponseData></" + root + ">")
	return x.Bytes()
}

// xmlAnswer is an XML text being written.
type xmlAnswer struct{ bytes.Buffer }

// element writes a value: a struct as its fields, a list as elements named for
// their type, JSON as its text.
func (x *xmlAnswer) element(name string, v reflect.Value) {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		v = v.Elem()
	}
	if !v.IsValid() {
		x.WriteString("<" + name + ` xsi:nil="true" />`)
		return
	}
	if raw, ok := v.Interface().(json.RawMessage); ok {
		if string(raw) == "null" {
			x.element(name, reflect.Value{})
			return
		}
		v = reflect.ValueOf(string(raw))
	}
	from := x.Len()
	x.WriteString("<" + name + ">")
	inside := x.Len()
	switch v.Kind() {
	case reflect.Struct:
		x.fields(v)
	case reflect.Slice:
		for i := range v.Len() {
			x.element(typeName(v.Type().Elem()), v.Index(i))
		}
	case reflect.String:
		_ = xml.EscapeText(x, []byte(v.String())) // a buffer takes everything
	case reflect.Bool:
		x.WriteString(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		x.WriteString(strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		x.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	default:
		panic(fmt.Sprintf("%s cannot be told in XML", v.Type()))
	}
	if x.Len() == inside {
		x.Truncate(from)
		x.WriteString("<" + name + " />")
		return
	}
	x.WriteString("</" + name + ">")
}

// fields writes the fields of a struct by the names that they have in JSON.
func (x *xmlAnswer) fields(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			x.fields(v.Field(i))
			continue
		case name == "":
			name = f.Name
		case name == "-":
			continue
		}
		if options == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		x.element(name, v.Field(i))
	}
}
