package api

import (
	"encoding/csv"
	"fmt"
	"net/http/httptest"
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
