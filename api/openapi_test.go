package api

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

// document is what the tests read of openapi.yaml.
type document struct {
	Servers    []struct{ URL string }
	Paths      map[string]map[string]any
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
}

func readDocument(t *testing.T) (document, map[string]any) {
	t.Helper()
	var d document
	var all map[string]any
	for _, into := range []any{&d, &all} {
		if err := yaml.Unmarshal(openAPI, into); err != nil {
			t.Fatal(err)
		}
	}
	return d, all
}

// TestOpenAPIRoutes: the document has the server's routes, and no others.
func TestOpenAPIRoutes(t *testing.T) {
	d, _ := readDocument(t)
	var documented []string
	for path, item := range d.Paths {
		if ref, ok := item["$ref"].(string); ok {
			item = d.Paths[strings.ReplaceAll(strings.TrimPrefix(ref, "#/paths/"), "~1", "/")]
		}
		servers := []string{}
		for _, s := range d.Servers {
			servers = append(servers, s.URL)
		}
		if own, ok := item["servers"].([]any); ok {
			servers = nil
			for _, s := range own {
				servers = append(servers, s.(map[string]any)["url"].(string))
			}
		}
		for method := range item {
			if !slices.Contains([]string{"get", "post", "put", "delete"}, method) {
				continue
			}
			for _, server := range servers {
				documented = append(documented, strings.ToUpper(method)+" "+strings.TrimRight(server, "/")+strings.TrimRight(path, "/"))
			}
		}
	}
	var served []string
	for _, route := range New(Options{Metrics: http.NotFoundHandler()}).echo.Routes() {
		if route.Method == echo.RouteNotFound {
			continue
		}
		parts := strings.Split(route.Path, "/")
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		served = append(served, route.Method+" "+strings.Join(parts, "/"))
	}
	slices.Sort(documented)
	slices.Sort(served)
	for _, route := range served {
		if !slices.Contains(documented, route) {
			t.Errorf("%s is served and not documented", route)
		}
	}
	for _, route := range documented {
		if !slices.Contains(served, route) {
			t.Errorf("%s is documented and not served", route)
		}
	}
}

// TestOpenAPISchemas: the document's schemas have the members of the wire.
func TestOpenAPISchemas(t *testing.T) {
	d, _ := readDocument(t)
	for schema, members := range map[string][]string{
		"Scheduler": answered[queueAnswer](), "SchedulerRequest": asked(queueShape),
		"Task": answered[taskAnswer](), "TaskRequest": asked(taskShape),
		"CallbackParams": answered[paramsAnswer](), "CallbackParamsRequest": asked(paramsShape),
		"IntervalRequest": asked(intervalShape), "Interval": answered[intervalAnswer](), "Preview": answered[previewAnswer](),
		"Opening": answered[openingAnswer](), "Condition": asked(conditionShape),
		"Extension": answered[extensionAnswer](), "ExtensionRequest": asked(extensionShape),
		"Call": answered[callAnswer](), "Leg": answered[legAnswer](), "Secret": answered[secretAnswer](),
		"Hold": answered[holdAnswer](), "Error": answered[refusal](), "Token": answered[tokenAnswer](),
		"Account": answered[accountAnswer](), "Client": answered[clientAnswer](), "ClientRequest": asked(clientShape),
		"Envelope": answered[envelope](), "Readiness": answered[readiness](),
	} {
		var documented []string
		for name := range d.Components.Schemas[schema].Properties {
			documented = append(documented, name)
		}
		slices.Sort(documented)
		slices.Sort(members)
		if !slices.Equal(documented, members) {
			t.Errorf("%s is documented with\n%v, and has\n%v", schema, documented, members)
		}
	}
}

// answered returns the members that a T is encoded with.
func answered[T any]() []string {
	var names []string
	typ := reflect.TypeFor[T]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "" {
			name = typ.Field(i).Name
		}
		names = append(names, name)
	}
	return names
}

// asked returns the members that requests may have.
func asked[T any](s shape[T]) []string {
	var names []string
	for _, m := range s.members {
		if m.read != nil {
			names = append(names, m.name)
		}
	}
	return names
}

// TestOpenAPIReferences: whatever the document refers to is in it.
func TestOpenAPIReferences(t *testing.T) {
	_, all := readDocument(t)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := any(all)
				for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[strings.ReplaceAll(part, "~1", "/")]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(all)
}
