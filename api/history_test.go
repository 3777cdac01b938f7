package api

import (
	"encoding/csv"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// csvOf asks for a path as CSV.
func (r *rig) csvOf(path, token string) reply {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), "GET", path, nil)
	req.Header.Set("Accept", "text/csv")
	req.Header.Set("Authorization", "Bearer "+token)
	return r.send(req)
}

func TestHistoryAsCSV(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		history := r.a.path("/call_history/")
		read := func(query string) [][]string {
			t.Helper()
			a := r.csvOf(history+query, r.a.token).want(200)
			if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/csv") {
				t.Errorf("it is %s", kind)
			}
			lines, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
			if err != nil {
				t.Fatalf("%v: %s", err, a.body)
			}
			return lines
		}
		if lines := read(""); len(lines) != 1 || lines[0][0] != "call_uuid" {
			t.Errorf("without a call it is %v", lines)
		}
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		first, second, live := r.callOnce(queue), r.callOnce(r.queue(r.a, `{"name":"q","status":"on"}`)), r.callNow()
		lines := read("?order=asc")
		if len(lines) != 4 || lines[1][0] != first || lines[2][0] != second || lines[3][0] != live {
			t.Fatalf("the lines are %v", lines)
		}
		got := map[string]string{}
		for i, name := range lines[0] {
			got[name] = lines[1][i]
		}
		if got["result"] != "busy" || got["hangup_cause"] != "USER_BUSY" || got["variables"] != `{"k":"v"}` || got["bridged_time_gmt"] != "" ||
			got["duration"] != "1" || got["simulated"] != "false" || !strings.Contains(got["cdr"], `"sip_code":486`) {
			t.Errorf("the first is %v", got)
		}
		if lines := read("?result=busy"); len(lines) != 3 || lines[1][0] != second {
			t.Errorf("filtered, the latest first, it is %v", lines)
		}
		r.csvOf(history+"?page=2", r.a.token).refused(400, "validation_error")
		r.csvOf(history+"?result=none", r.a.token).refused(400, "validation_error")
		r.csvOf(history, r.b.token).refused(404, "client_not_found")
	})
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		list := r.a.path("/limit/")
		calls := func(path, token string) []map[string]any {
			t.Helper()
			told := r.do("GET", path, token, "").want(200).objects()
			if requests := told[0]; requests["name"] != "requests_per_hour" || requests["limit"] != 36000.0 || requests["used"] == 0.0 || requests["reset"] == nil {
				t.Errorf("of requests it tells %v", requests)
			}
			return told[1:]
		}
		if told := calls(list, r.a.token); len(told) != 0 {
			t.Errorf("a new client has %v", told)
		}
		r.do("PUT", settingsOf(r.a), r.user, `{"MaxConcurrentCalls":5}`).want(200)
		r.do("PUT", r.a.path("/extension/"+fmt.Sprint(r.a.extension.ID)), r.user, `{"concurrent_call_limit":3}`).want(200)
		queue := r.queue(r.a, `{"name":"q","status":"on","concurrent_task_limit":2}`)
		r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201)
		r.claim()
		r.callNow()
		want := []map[string]any{
			{"name": "client_limit", "extension_id": 0.0, "scheduler_id": 0.0, "limit": 5.0, "used": 2.0, "remaining": 3.0, "reset": nil},
			{"name": "extension_limit", "extension_id": float64(r.a.extension.ID), "scheduler_id": 0.0, "limit": 3.0, "used": 2.0, "remaining": 1.0, "reset": nil},
			{"name": "concurrent", "extension_id": 0.0, "scheduler_id": 1.0, "limit": 2.0, "used": 1.0, "remaining": 1.0, "reset": nil},
		}
		if told := calls(list, r.a.token); fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("in force are %v, want %v", told, want)
		}
		if told := calls(r.b.path("/limit"), r.b.token); len(told) != 0 {
			t.Errorf("the other client has %v", told)
		}
	})
}

// uuids are the calls that an answer lists.
func (a reply) uuids() []string {
	a.t.Helper()
	calls, bare := decoded[any](a).([]any)
	if !bare {
		calls = a.object()["call_history"].([]any)
	}
	var ids []string
	for _, call := range calls {
		ids = append(ids, call.(map[string]any)["call_uuid"].(string))
	}
	return ids
}

// TestCursorOfCalls follows the cursor of both lists of calls while calls are
// added: each that was there is told once, in order.
func TestCursorOfCalls(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for range 5 {
			r.callNow()
		}
		for _, list := range []string{r.a.path("/call"), r.a.path("/call_history")} {
			want := r.do("GET", list+"?order=desc", r.a.token, "").want(200).uuids()
			var told []string
			path := list + "?per_page=2&order=desc"
			for at := path; len(told) < len(want); at = path + "&after_id=" + told[len(told)-1] {
				a := r.do("GET", at, r.a.token, "").want(200)
				page := a.uuids()
				if len(page) == 0 {
					break
				}
				told = append(told, page...)
				if next := "<" + list + "/?after_id=" + page[len(page)-1]; at != path && len(page) == 2 && !strings.Contains(a.header.Get(headerLink), next) {
					t.Errorf("%s links %s", at, a.header.Get(headerLink))
				}
				r.callNow()
			}
			if !slices.Equal(told, want) {
				t.Errorf("%s tells\n%v, want\n%v", list, told, want)
			}
			foreign := strings.Replace(list, string(r.a.client.ID), string(r.b.client.ID), 1)
			r.do("GET", foreign+"?after_id="+want[0], r.b.token, "").refused(404, "not_found")
		}
	})
}
