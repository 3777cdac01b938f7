package api

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

// TestOpenAPIRoutes: the document has the server's routes, and no others.
func TestOpenAPIRoutes(t *testing.T) {
	table := theOracle(t).table
	served := map[string]bool{}
	for _, route := range New(Options{Metrics: http.NotFoundHandler()}).echo.Routes() {
		if route.Method == echo.RouteNotFound {
			continue
		}
		name := route.Method + " " + route.Path
		served[name] = true
		if table[name] == nil {
			t.Errorf("%s is served and not documented", name)
		}
	}
	for name := range table {
		if !served[name] {
			t.Errorf("%s is documented and not served", name)
		}
	}
}

// TestOpenAPISchemas: the document's schemas have the members of the wire.
func TestOpenAPISchemas(t *testing.T) {
	schemas := theOracle(t).doc.Components.Schemas
	for schema, members := range map[string][]string{
		"Scheduler": answered[queueAnswer](), "SchedulerRequest": asked(queueShape),
		"Task": answered[taskAnswer](), "TaskRequest": asked(taskShape),
		"CallbackParams": answered[paramsAnswer](), "CallbackParamsRequest": asked(paramsShape),
		"IntervalRequest": asked(intervalShape), "Interval": answered[intervalAnswer](), "Preview": answered[previewAnswer](), "AuditEntry": answered[auditAnswer](), "Bulk": answered[bulkAnswer](), "BulkRequest": asked(bulkShape), "TaskFilterRequest": asked(filterShape), "Moment": answered[momentAnswer](),
		"Forecast": answered[forecastAnswer](), "Stats": answered[statsAnswer](), "LegStats": answered[legStats](), "Ratio": answered[ratioAnswer](),
		"Opening": answered[openingAnswer](), "Condition": asked(conditionShape),
		"Extension": answered[extensionAnswer](), "ExtensionRequest": asked(extensionShape),
		"Call": answered[callAnswer](), "Leg": answered[legAnswer](), "Secret": answered[secretAnswer](),
		"Hold": answered[holdAnswer](), "Error": answered[refusal](), "Token": answered[tokenAnswer](),
		"Account": answered[accountAnswer](), "Client": answered[clientAnswer](), "ClientRequest": asked(clientShape),
		"AccountMade": answered[accountMade](), "AccountRequest": asked(accountShape), "PasswordRequest": asked(passwordShape), "Session": answered[sessionAnswer](),
		"Limit": answered[limitAnswer](), "Callback": answered[callbackAnswer](), "CallbackRequest": asked(callbackShape),
		"Settings": answered[settingsAnswer](), "SettingsRequest": asked(settingsShape),
		"Delivery": append(answered[deliveryAnswer](), answered[deliveryDetail]()[1:]...), "Try": answered[tryAnswer](),
		"ResendRequest": asked(resendShape), "Resend": answered[resendAnswer](), "TestRequest": asked(testShape),
		"WebhookDestination": answered[destinationAnswer](), "WebhookDestinationRequest": asked(destinationShape),
		"CatalogueEntry": answered[jobAnswer](), "AccountTask": answered[accountTaskAnswer](), "AccountTaskRun": answered[runAnswer](),
		"AccountTaskRequest": asked(accountTaskShape), "AccountTaskUpdateRequest": asked(accountTaskShape),
		"Envelope": answered[envelope](), "Readiness": answered[readiness](),
	} {
		var documented []string
		for name := range schemas[schema].Value.Properties {
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

// asked returns the members that requests may have, those that are ignored
// included.
func asked[T any](s shape[T]) []string {
	var names []string
	for _, m := range s.members {
		names = append(names, m.name)
	}
	return names
}

// TestOpenAPIReadOnly: what is only answered is read only in requests.
func TestOpenAPIReadOnly(t *testing.T) {
	schemas := theOracle(t).doc.Components.Schemas
	for schema, ignored := range map[string][]string{
		"SchedulerRequest": ignored(queueShape), "TaskRequest": ignored(taskShape), "IntervalRequest": ignored(intervalShape),
		"ExtensionRequest": ignored(extensionShape), "WebhookDestinationRequest": ignored(destinationShape),
	} {
		for name, property := range schemas[schema].Value.Properties {
			if property.Value.ReadOnly != slices.Contains(ignored, name) {
				t.Errorf("%s.%s: read only is %v", schema, name, property.Value.ReadOnly)
			}
		}
	}
}

// ignored returns the members that requests may have in vain.
func ignored[T any](s shape[T]) []string {
	var names []string
	for _, m := range s.members {
		if m.read == nil {
			names = append(names, m.name)
		}
	}
	return names
}

// TestOpenAPIFormats: every operation of the admin API is documented with every
// format that it takes and tells.
func TestOpenAPIFormats(t *testing.T) {
	asked, told := slices.Sorted(maps.Keys(formats)), slices.Sorted(slices.Values(tellable))
	for name, route := range theOracle(t).table {
		if !isAdmin(route.Server.URL) {
			continue
		}
		if body := route.Operation.RequestBody; body != nil && !slices.Equal(slices.Sorted(maps.Keys(body.Value.Content)), asked) {
			t.Errorf("%s is documented to take %v", name, slices.Sorted(maps.Keys(body.Value.Content)))
		}
		for code, response := range route.Operation.Responses.Map() {
			if !slices.Equal(slices.Sorted(maps.Keys(response.Value.Content)), told) {
				t.Errorf("%s is documented to tell %s as %v", name, code, slices.Sorted(maps.Keys(response.Value.Content)))
			}
		}
	}
}
