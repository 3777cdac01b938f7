package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/scheduler"
)

func TestQueue(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		list := r.a.path("/task_scheduler/")
		t.Run("the defaults", func(t *testing.T) {
			r.t = t
			q := r.do("POST", list, r.a.token, `{"name":"q"}`).want(201).object()
			for field, want := range map[string]any{
				"name": "q", "comment": "", "status": "off", "concurrent_task_limit": nil, "interval_id": nil, "start_rate": nil,
				"asr_min_percent": nil, "asr_basis": "ner", "asr_window_s": 600.0, "asr_min_attempts": 30.0, "asr_pause_s": 300.0,
				"priority": 5.0, "before_wait_ms": 0.0,
			} {
				if got, there := q[field]; !there || got != want {
					t.Errorf("%s is %v, want %v", field, got, want)
				}
			}
			if hold := q["hold"].(map[string]any); hold["gate"] != "scheduler_off" {
				t.Errorf("held by %v", hold)
			}
			if _, err := parseDate(q["create_date_utc"].(string)); err != nil {
				t.Error(err)
			}
		})
		t.Run("PUT changes only what it names", func(t *testing.T) {
			r.t = t
			path := r.queue(r.a, `{"name":"q","comment":"c","status":"on","concurrent_task_limit":"7"}`)
			q := r.do("PUT", path, r.a.token, `{"comment":"d"}`).want(200).object()
			if q["name"] != "q" || q["comment"] != "d" || q["status"] != "on" || q["concurrent_task_limit"] != 7.0 || q["hold"] != nil {
				t.Errorf("became %v", q)
			}
			if q = r.do("PUT", path, r.a.token, `{"priority":"9"}`).want(200).object(); q["priority"] != 9.0 || q["comment"] != "d" {
				t.Errorf("became %v", q)
			}
			if q = r.do("PUT", path, r.a.token, `{"before_wait_ms":"3000"}`).want(200).object(); q["before_wait_ms"] != 3000.0 || q["priority"] != 9.0 {
				t.Errorf("became %v", q)
			}
			if q = r.do("PUT", path, r.a.token, `{"priority":0}`).want(200).object(); q["priority"] != 0.0 {
				t.Errorf("became %v", q)
			}
			q = r.do("PUT", path, r.a.token, `{"concurrent_task_limit":null,"status":"off"}`).want(200).object()
			if q["status"] != "off" || q["concurrent_task_limit"] != nil || q["comment"] != "d" {
				t.Errorf("became %v", q)
			}
			if counts := q["counts"].(map[string]any); len(counts) != 7 || counts["scheduled"] != 0.0 {
				t.Errorf("counts %v", counts)
			}
		})
		for claim, tc := range map[string]struct {
			body   string
			faults string
		}{
			"no name":                  {`{}`, "name"},
			"an empty name":            {`{"name":""}`, "name"},
			"a null name":              {`{"name":null}`, "name"},
			"a name that is too long":  {`{"name":"` + strings.Repeat("x", 256) + `"}`, "name"},
			"a limit of none":          {`{"name":"q","concurrent_task_limit":0}`, "concurrent_task_limit"},
			"a limit below":            {`{"name":"q","concurrent_task_limit":-1}`, "concurrent_task_limit"},
			"a limit beyond":           {`{"name":"q","concurrent_task_limit":1000001}`, "concurrent_task_limit"},
			"a limit that is no limit": {`{"name":"q","concurrent_task_limit":1.5}`, "concurrent_task_limit"},
			"a priority below":         {`{"name":"q","priority":-1}`, "priority"},
			"a priority beyond":        {`{"name":"q","priority":10}`, "priority"},
			"a start rate below":       {`{"name":"q","start_rate":-1}`, "start_rate"},
			"a start rate of none":     {`{"name":"q","start_rate":0}`, "start_rate"},
			"a start rate beyond":      {`{"name":"q","start_rate":101}`, "start_rate"},
			"a start rate of NaN":      {`{"name":"q","start_rate":"NaN"}`, "start_rate"},
			"a start rate in words":    {`{"name":"q","start_rate":true}`, "start_rate"},
			"a ratio below":            {`{"name":"q","asr_min_percent":0.5}`, "asr_min_percent"},
			"a ratio beyond":           {`{"name":"q","asr_min_percent":101}`, "asr_min_percent"},
			"a ratio in words":         {`{"name":"q","asr_min_percent":"most"}`, "asr_min_percent"},
			"an unknown ratio":         {`{"name":"q","asr_basis":"abr"}`, "asr_basis"},
			"a brake beyond":           {`{"name":"q","asr_window_s":86401,"asr_min_attempts":10001,"asr_pause_s":1801}`, "asr_window_s asr_min_attempts asr_pause_s"},
			"a brake below":            {`{"name":"q","asr_window_s":59,"asr_min_attempts":0,"asr_pause_s":0}`, "asr_window_s asr_min_attempts asr_pause_s"},
			"an unknown interval":      {`{"name":"q","interval_id":99}`, "interval_id"},
			"another status":           {`{"name":"q","status":"paused"}`, "status"},
			"a word in capitals":       {`{"name":"q","status":"ON"}`, "status"},
			"a basis in capitals":      {`{"name":"q","asr_basis":"ASR"}`, "asr_basis"},
			"all at once":              {`{"name":7,"status":1,"comment":[],"odd":1}`, "name status comment odd"},
		} {
			t.Run(claim, func(t *testing.T) {
				r.t = t
				faults := r.do("POST", list, r.a.token, tc.body).refused(400, "validation_error")
				for _, field := range strings.Fields(tc.faults) {
					if faults[field] == "" {
						t.Errorf("%s has no fault: %v", field, faults)
					}
				}
				if len(faults) != len(strings.Fields(tc.faults)) {
					t.Errorf("faults %v", faults)
				}
			})
		}
		t.Run("a limit of 0 says to switch it off", func(t *testing.T) {
			r.t = t
			if a := r.do("POST", list, r.a.token, `{"name":"q","concurrent_task_limit":0}`); !strings.Contains(a.body, "status") || !strings.Contains(a.body, "off") {
				t.Errorf("says %s", a.body)
			}
		})
		for _, wait := range []string{"-1", "3001", `"soon"`, "1.5"} {
			t.Run("before_wait_ms "+wait, func(t *testing.T) {
				r.t = t
				faults := r.do("POST", list, r.a.token, `{"name":"q","before_wait_ms":`+wait+`}`).refused(400, "validation_error")
				if faults["before_wait_ms"] == "" || len(faults) != 1 {
					t.Errorf("faults %v", faults)
				}
			})
		}
		t.Run("DELETE cancels what waits", func(t *testing.T) {
			r.t = t
			path := r.queue(r.a, `{"name":"q"}`)
			r.do("POST", path+"/tasks", r.a.token, oneTask(r.a, "")).want(201)
			r.do("DELETE", path, r.a.token, "").want(204)
			r.do("GET", path, r.a.token, "").refused(404, "not_found")
			r.do("DELETE", path, r.a.token, "").refused(404, "not_found")
			r.do("POST", path+"/tasks", r.a.token, oneTask(r.a, "")).refused(404, "not_found")
		})
	})
}

// TestExecuted looks at a queue of limit 1 with one task executed and one due.
func TestExecuted(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on","concurrent_task_limit":1}`)
		var paths []string
		two := strings.Replace(oneTask(r.a, ""), `}]}`, `},`+strings.TrimPrefix(oneTask(r.a, `"name":"second"`), `{"tasks":[`), 1)
		for _, task := range r.do("POST", queue+"/tasks/", r.a.token, two).want(201).objects() {
			paths = append(paths, queue+"/task/"+jsonNumber(task["id"].(float64)))
		}
		started := r.claim()
		if len(started) != 1 || len(paths) != 2 {
			t.Fatalf("%d of %d tasks started", len(started), len(paths))
		}
		first := r.do("GET", paths[0], r.a.token, "").want(200).object()
		if first["status"] != "executed" || first["cdr"] != string(started[0].Transition.Task.CallID) || first["attempts"] != 1.0 ||
			first["next_try_utc"] != "" || len(first["blocked_by"].([]any)) != 0 {
			t.Errorf("the first is %v", first)
		}
		second := r.do("GET", paths[1], r.a.token, "").want(200).object()
		gates := second["blocked_by"].([]any)
		if second["status"] != "delayed_concurrent_task" || len(gates) != 1 || gates[0].(map[string]any)["gate"] != "concurrent" {
			t.Errorf("the second is %v", second)
		}
		for status, want := range map[string]string{"delayed_concurrent_task": "second", "executed": "", "scheduled": "none"} {
			found := r.do("GET", queue+"/tasks/?status="+status, r.a.token, "").want(200).objects()
			if len(found) == 1 && found[0]["name"] != want || len(found) == 0 && want != "none" {
				t.Errorf("%s selects %v", status, found)
			}
		}
		counts := r.do("GET", queue, r.a.token, "").want(200).object()["counts"].(map[string]any)
		if counts["executed"] != 1.0 || counts["delayed_concurrent_task"] != 1.0 || counts["scheduled"] != 0.0 {
			t.Errorf("counts %v", counts)
		}
		if call := r.do("GET", r.a.path("/call_history/"+first["cdr"].(string)), r.a.token, "").want(200).object(); call["hangup_time_gmt"] != nil ||
			call["duration"] != nil || call["result"] != "" || call["init_time_gmt"] == nil {
			t.Errorf("the live call is %v", call)
		}
		if a := r.do("PUT", paths[0], r.a.token, `{"name":"x"}`); !strings.Contains(a.body, "executed") {
			a.refused(409, "conflict")
			t.Errorf("the refusal does not name the state: %s", a.body)
		}
		r.do("DELETE", paths[0], r.a.token, "").refused(409, "conflict")
		r.do("DELETE", queue, r.a.token, "").refused(409, "conflict")
		r.do("DELETE", paths[0]+"?hangup=maybe", r.a.token, "").refused(400, "validation_error")
		r.do("DELETE", paths[0]+"?hangup=true", r.a.token, "").want(204)
		r.do("DELETE", queue+"?force=true", r.a.token, "").want(204)
	})
}

func TestExtension(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		list := r.a.path("/extension/")
		made := r.do("POST", list, r.user, `{"name":"e","label":"l","type":"phone","caller_id_name":"Shop","ani":"+442079460958"}`).want(201)
		want := map[string]any{
			"id": made.object()["id"], "name": "e", "label": "l", "type": "phone", "status": "active", "caller_id_name": "Shop", "ani": "+442079460958",
			"concurrent_call_limit": nil, "trunk": "", "create_date_utc": made.object()["create_date_utc"],
		}
		if got := made.object(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("made %v, want %v", got, want)
		}
		path := list + made.id()
		t.Run("a client may block it and put it back", func(t *testing.T) {
			r.t = t
			if e := r.do("PUT", path, r.a.token, `{"status":"blocked"}`).want(200).object(); e["status"] != "blocked" || e["ani"] != "+442079460958" {
				t.Errorf("became %v", e)
			}
			read := r.do("GET", path, r.a.token, "").want(200)
			if again := r.do("PUT", path, r.a.token, read.body).want(200); again.body != read.body {
				t.Errorf("put back %s, became %s", read.body, again.body)
			}
			queue := r.queue(r.a, `{"name":"q"}`)
			task := fmt.Sprintf(`{"tasks":[{"a_number":"101","b_number":"102","extension_id":%s}]}`, made.id())
			if faults := r.do("POST", queue+"/tasks", r.a.token, task).refused(400, "validation_error"); faults["tasks[0].extension_id"] != "is blocked" {
				t.Errorf("faults %v", faults)
			}
		})
		t.Run("a client may not set what users set", func(t *testing.T) {
			r.t = t
			for _, body := range []string{`{"ani":"+15550100100"}`, `{"concurrent_call_limit":5}`, `{"trunk":"carrier"}`, `{"ani":""}`} {
				r.do("PUT", path, r.a.token, body).refused(403, "access_denied")
			}
			r.do("POST", list, r.a.token, `{"ani":"+442079460958"}`).refused(403, "access_denied")
			if e := r.do("GET", path, r.a.token, "").object(); e["ani"] != "+442079460958" {
				t.Errorf("became %v", e)
			}
		})
		t.Run("a user may", func(t *testing.T) {
			r.t = t
			if e := r.do("PUT", path, r.user, `{"concurrent_call_limit":"5","trunk":"carrier"}`).want(200).object(); e["concurrent_call_limit"] != 5.0 || e["trunk"] != "carrier" {
				t.Errorf("became %v", e)
			}
			read := r.do("GET", path, r.a.token, "").want(200)
			if again := r.do("PUT", path, r.a.token, read.body).want(200); again.body != read.body {
				t.Errorf("put back %s, became %s", read.body, again.body)
			}
			for body, want := range map[string]string{
				`{"concurrent_call_limit":0}`:       `concurrent_call_limit must be at least 1: to start nothing, set "status" to "blocked"`,
				`{"concurrent_call_limit":-1}`:      "concurrent_call_limit must be at least 1",
				`{"concurrent_call_limit":1000001}`: "concurrent_call_limit must be at most 1000000",
				`{"concurrent_call_limit":"x"}`:     "concurrent_call_limit must be an integer",
				`{"trunk":"nobody's"}`:              "trunk must be one of the system's trunks: carrier, pbx",
				`{"trunk":1}`:                       "trunk must be a string",
			} {
				if a := r.do("PUT", path, r.user, body).want(400); !strings.Contains(a.object()["message"].(string), want) {
					t.Errorf("%s is refused with %s, want %s", body, a.body, want)
				}
			}
			if e := r.do("PUT", path, r.user, `{"concurrent_call_limit":null,"trunk":""}`).want(200).object(); e["concurrent_call_limit"] != nil || e["trunk"] != "" {
				t.Errorf("became %v", e)
			}
		})
		t.Run("all faults at once", func(t *testing.T) {
			r.t = t
			faults := r.do("POST", list, r.user, `{"name":1,"label":"`+strings.Repeat("x", 256)+`","type":"fax","status":"Active","ani":"none","odd":1}`).refused(400, "validation_error")
			for _, field := range strings.Fields("name label type status ani odd") {
				if faults[field] == "" {
					t.Errorf("%s has no fault: %v", field, faults)
				}
			}
		})
		r.do("DELETE", path, r.a.token, "").want(204)
		r.do("GET", path, r.a.token, "").refused(404, "not_found")
		r.do("DELETE", path, r.a.token, "").refused(404, "not_found")
	})
}

func TestCallHistory(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		id := r.callOnce(queue)
		history := r.a.path("/call_history/")
		page := r.do("GET", history, r.a.token, "").want(200)
		body := page.object()
		calls := body["call_history"].([]any)
		if body["page"] != 1.0 || body["per_page"] != 50.0 || body["order"] != "desc" || len(calls) != 1 || page.header.Get("X-Total-Count") != "1" {
			t.Fatalf("lists %s", page.body)
		}
		call := r.do("GET", history+strings.ToUpper(id), r.a.token, "").want(200).object()
		if fmt.Sprint(call) != fmt.Sprint(calls[0]) {
			t.Errorf("told as %v and as %v", call, calls[0])
		}
		task := r.do("GET", queue+"/tasks/", r.a.token, "").objects()[0]
		r.do("PUT", queue+"/task/"+jsonNumber(task["id"].(float64)), r.a.token, `{"name":"x"}`).refused(409, "conflict")
		for field, want := range map[string]any{
			"call_uuid": id, "flow": "out", "start_time_gmt": nil, "bridged_time_gmt": nil, "duration": 1.0, "bridged_duration": nil,
			"from_username": "101", "to_username": "102", "extension_id": float64(r.a.extension.ID), "client_owner_id": string(r.a.client.ID),
			"task_id": task["id"], "scheduler_id": task["scheduler_id"], "attempt": 1.0, "simulated": false, "result": "busy",
			"hangup_cause": "USER_BUSY", "hangup_disposition": "callee_refuse",
		} {
			if got, there := call[field]; !there || got != want {
				t.Errorf("%s is %v, want %v", field, got, want)
			}
		}
		for _, field := range []string{"init_time_gmt", "hangup_time_gmt"} {
			if _, err := time.Parse(fractionForm, call[field].(string)); err != nil {
				t.Error(err)
			}
		}
		if fmt.Sprint(call["variables"]) != "map[k:v]" {
			t.Errorf("variables %v", call["variables"])
		}
		leg := call["cdr"].([]any)[0].(map[string]any)
		for field, want := range map[string]any{
			"leg": "a", "number": "101", "result": "busy", "sip_code": 486.0, "q850": 17.0, "hangup_cause": "USER_BUSY", "pdd_ms": 250.0, "trunk": "carrier",
			"start_time_gmt": nil,
		} {
			if got, there := leg[field]; !there || got != want {
				t.Errorf("the leg's %s is %v, want %v", field, got, want)
			}
		}
		for query, want := range map[string]int{
			"result=busy": 1, "result=bridged": 0, "task_id=" + jsonNumber(task["id"].(float64)): 1, "task_id=999": 0, "to_username=102": 1, "to_username=7": 0,
			"extension_id=" + fmt.Sprint(r.a.extension.ID): 1, "scheduler_id=999": 0, "start_datetime=2020-01-01+00:00:00&order=asc": 1,
			"start_datetime=2035-01-01+00:00:00": 0, "end_datetime=2020-01-01+00:00:00": 0, "page=2": 0,
		} {
			found := r.do("GET", history+"?"+query, r.a.token, "").want(200).object()["call_history"].([]any)
			if len(found) != want {
				t.Errorf("%s lists %d calls, want %d", query, len(found), want)
			}
		}
		r.do("GET", history+"?result=odd&after=1", r.a.token, "").refused(400, "validation_error")
		r.do("GET", history+"?after_id=1", r.a.token, "").refused(400, "validation_error")
		r.do("GET", history+"?after_id="+strings.Repeat("0", 32), r.a.token, "").refused(404, "not_found")
		r.do("GET", history+"xyz", r.a.token, "").refused(404, "not_found")
	})
}

func TestSecrets(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		path := r.a.path("/webhooks/secrets/")
		first := r.do("GET", path, r.a.token, "").want(200)
		if s := first.objects(); len(s) != 1 || s[0]["expire_date_utc"] != nil || strings.Contains(first.body, "whsec_") {
			t.Fatalf("lists %s", first.body)
		}
		made := r.do("POST", path, r.a.token, "").want(201)
		if _, err := standardwebhooks.NewWebhook(made.object()["secret"].(string)); err != nil || made.header.Get("Cache-Control") != "no-store" {
			t.Errorf("made %s: %v", made.body, err)
		}
		live := r.do("GET", path, r.a.token, "").want(200)
		if s := live.objects(); len(s) != 2 || s[0]["id"] != made.object()["id"] || s[0]["expire_date_utc"] != nil || s[1]["expire_date_utc"] == nil ||
			strings.Contains(live.body, "whsec_") {
			t.Errorf("lists %s", live.body)
		}
	})
}

// broken is a store whose queues cannot be read.
type broken struct {
	Store
	panics bool
}

func (b broken) Queues(context.Context, scheduler.ClientID, scheduler.Page) (scheduler.List[scheduler.Queue], error) {
	if b.panics {
		panic("password=hunter2")
	}
	return scheduler.List[scheduler.Queue]{}, errors.New("connect to 10.1.2.3: password=hunter2")
}

// TestKeysThatMeanNothing: a PUT is done once anyhow, and a secret is told once.
func TestKeysThatMeanNothing(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		with := func(method, path, body string) reply {
			req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+r.a.token)
			req.Header.Set("Idempotency-Key", "k")
			return r.send(req)
		}
		with("PUT", queue, `{"name":"q"}`).want(200)
		first := with("POST", r.a.path("/webhooks/secrets/"), "").want(201)
		if with("POST", r.a.path("/webhooks/secrets/"), "").want(201).body == first.body {
			t.Error("a secret is told twice")
		}
	})
}

// TestProblemOf: an error of our own tells nothing, whatever it says.
func TestProblemOf(t *testing.T) {
	for claim, err := range map[string]error{
		"an error without a kind":     errors.New("password=hunter2"),
		"an internal one":             scheduler.Errorf(scheduler.Internal, "password=hunter2"),
		"a problem of ours":           &problem{code: 503, status: "hunter2", message: "hunter2", faults: []scheduler.Fault{{Message: "hunter2"}}},
		"an error of the framework's": echo.NewHTTPError(500, "hunter2"),
	} {
		if p := problemOf(err); p.code < 500 || strings.Contains(fmt.Sprint(*p), "hunter2") {
			t.Errorf("%s tells %+v", claim, p)
		}
	}
}

func TestInternalErrors(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, panics := range []bool{false, true} {
			r.server.o.Store = broken{r.store, panics}
			o := r.server.o
			r.server = New(o)
			a := r.do("GET", r.a.path("/task_scheduler/"), r.a.token, "")
			a.refused(500, "internal_error")
			if strings.Contains(a.body, "hunter2") || strings.Contains(a.body, "goroutine") {
				t.Errorf("tells %s", a.body)
			}
			if log := r.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "hunter2") || !strings.Contains(log, a.header.Get("X-Request-Id")) {
				t.Errorf("logs %s", log)
			}
			r.log.Reset()
		}
	})
}

func TestPlainRoutes(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		if a := r.do("GET", "/healthz", "", "").want(200); a.header.Get("X-Request-Id") == "" {
			t.Error("no request id")
		}
		if a := r.do("GET", "/readyz", "", "").want(200).object(); a["status"] != "ready" || a["dialer"] != "trunks" {
			t.Errorf("ready: %v", a)
		}
		sick := New(Options{Store: r.store, Simulated: true, Ready: func(context.Context) []Reason { return []Reason{{"database", "does not answer"}} }})
		r.server = sick
		if a := r.do("GET", "/readyz/", "", "").want(503).object(); a["status"] != "unavailable" || a["dialer"] != "simulated" ||
			fmt.Sprint(a["reasons"]) != "[map[message:does not answer part:database]]" {
			t.Errorf("not ready: %v", a)
		}
		r.do("GET", "/nothing", "", "").refused(404, "not_found")
		r.do("GET", "/metrics", "", "").refused(404, "not_found")
		if a := r.do("PATCH", "/healthz", "", ""); a.header.Get("Allow") == "" {
			a.refused(405, "method_not_allowed")
			t.Error("no Allow header")
		}
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/healthz", nil)
		req.Header.Set("X-Request-Id", "mine-1")
		if a := r.send(req); a.header.Get("X-Request-Id") != "mine-1" {
			t.Errorf("the request's own id became %q", a.header.Get("X-Request-Id"))
		}
		for _, odd := range []string{"a b", strings.Repeat("x", 65), "\u00e9"} {
			req.Header.Set("X-Request-Id", odd)
			if a := r.send(req); a.header.Get("X-Request-Id") == odd {
				t.Errorf("%q is taken as an id", odd)
			}
		}
	})
}

// watcher notes what it is told.
type watcher struct{ seen []string }

func (w *watcher) Answered(method, route string, status int, took time.Duration) {
	w.seen = append(w.seen, fmt.Sprint(method, " ", route, " ", status, " ", took >= 0))
}

func TestObserver(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		w := &watcher{}
		r.server = New(Options{Store: r.store, Observer: w})
		r.do("GET", r.a.path("/extension/"), r.a.token, "")
		r.do("GET", r.a.path("/extension/"), "", "")
		r.do("GET", "/nothing/at/all", "", "")
		gone, leave := context.WithCancel(t.Context())
		leave()
		req := httptest.NewRequestWithContext(gone, "GET", r.a.path("/extension/"), nil)
		req.Header.Set("Authorization", "Bearer "+r.a.token)
		r.send(req)
		want := []string{"GET /client/:client_id/extension 200 true", "GET /client/:client_id/extension 401 true", "GET  404 true",
			"GET /client/:client_id/extension 499 true"}
		if fmt.Sprint(w.seen) != fmt.Sprint(want) {
			t.Errorf("saw %q, want %q", w.seen, want)
		}
	})
}

// A HEAD is a GET without a body, as load balancers ask.
func TestHead(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	resp, err := http.Head(server.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || len(body) != 0 || resp.ContentLength <= 0 {
		t.Errorf("%s, %d bytes of %d: %v", resp.Status, len(body), resp.ContentLength, err)
	}
}
