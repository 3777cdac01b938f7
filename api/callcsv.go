package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// csvPatience is how long a reader of a long history may take for a part.
const csvPatience = time.Minute

// callColumns are the columns of the call history as CSV: the members of a
// call, in their order.
var callColumns = columnsOf(reflect.TypeFor[callAnswer]())

func columnsOf(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// csv tells every call that a filter selects, as CSV (RFC 4180) with a line of
// names. A page is not asked for: they are sent as they are read.
func (s calls) csv(c echo.Context, me caller, f scheduler.CallFilter, descending bool) error {
	for _, name := range []string{"page", "per_page", "after_id"} {
		if c.QueryParam(name) != "" {
			return scheduler.Faults{{Field: `"` + name + `"`, Message: "is not taken for text/csv, which tells every call"}}.Err()
		}
	}
	c.Response().Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8; header=present")
	w, writing := csv.NewWriter(c.Response()), http.NewResponseController(c.Response())
	begin := func() error {
		if c.Response().Committed {
			return nil
		}
		c.Response().WriteHeader(http.StatusOK)
		return w.Write(callColumns)
	}
	err := s.history.EachCall(c.Request().Context(), me.client, f, descending, func(rows []scheduler.Attempt) error {
		_ = writing.SetWriteDeadline(time.Now().Add(csvPatience)) // what has none needs none
		if err := begin(); err != nil {
			return err
		}
		for _, row := range rows {
			line, err := callLine(tellCall(row))
			if err != nil {
				return err
			}
			if err := w.Write(line); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	})
	if err == nil {
		if err = begin(); err == nil {
			w.Flush()
			err = w.Error()
		}
	}
	if err != nil && c.Response().Committed {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	return err
}

// callLine is a call as a line: null is empty, and what is no scalar is JSON.
func callLine(call callAnswer) ([]string, error) {
	v := reflect.ValueOf(call)
	line := make([]string, v.NumField())
	for i := range line {
		switch f := v.Field(i); f.Kind() {
		case reflect.Pointer:
			if !f.IsNil() {
				line[i] = fmt.Sprint(f.Elem().Interface())
			}
		case reflect.Map, reflect.Slice:
			text, err := json.Marshal(f.Interface())
			if err != nil {
				return nil, err
			}
			line[i] = string(text)
		default:
			line[i] = fmt.Sprint(f.Interface())
		}
	}
	return line, nil
}
