package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// documented is the batch of the source's documentation, every field of it.
const documented = `{"tasks": [
	{"name": "first", "a_number": "+390612345678", "b_number": "+442079460958", "extension_id": %[1]d, "try_count": 3,
	 "try_again_pause": "90", "url_before": "https://example.com/before", "url_before_again": "https://example.com/again",
	 "url_success": "https://example.com/success", "url_after": "https://example.com/after?x=1&y=2", "start_time_utc": "2035-01-02 03: 04: 05",
	 "callback_params": {"caller_id_name": "Shop", "caller_id_number": "+390612345678", "extended_a_numbers": ["+393331234567", "101"],
	 "announce_sound_id": "hello", "dst_announce_sound_id": "hello", "dst_dtmf": "12w3"}},
	{"a_number": "020 7946 0958", "b_number": "101", "extension_id": "%[1]d", "try_again_pause": 30, "start_time_utc": "3600"},
	{"a_number": "101", "b_number": "102", "extension_id": %[1]d, "start_time_utc": 7200}
]}`

func TestDocumentedBatch(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		began := time.Now().UTC()
		made := r.do("POST", queue+"/tasks/", r.a.token, fmt.Sprintf(documented, r.a.extension.ID)).want(201).objects()
		if len(made) != 3 {
			t.Fatalf("%d tasks", len(made))
		}
		first := made[0]
		for field, want := range map[string]any{
			"name": "first", "a_number": "+390612345678", "a_number_e164": "+390612345678", "b_number": "+442079460958",
			"b_number_e164": "+442079460958", "extension_id": float64(r.a.extension.ID), "try_count": 3.0, "try_again_pause": "90",
			"try_count_caller": 0.0, "try_again_pause_caller": 60.0, "url_before": "https://example.com/before",
			"url_before_again": "https://example.com/again", "url_success": "https://example.com/success",
			"url_after": "https://example.com/after?x=1&y=2", "start_time_utc": "2035-01-02 03:04:05", "deadline_utc": "", "external_id": "",
			"status": "scheduled", "finish_result": "", "finish_comment": "", "cdr": "", "attempts": 0.0,
			"next_try_utc": "2035-01-02 03:04:05",
		} {
			if first[field] != want {
				t.Errorf("%s is %#v, want %#v", field, first[field], want)
			}
		}
		params := first["callback_params"].(map[string]any)
		if params["caller_id_name"] != "Shop" || params["caller_id_number"] != "+390612345678" ||
			fmt.Sprint(params["extended_a_numbers"]) != "[+393331234567 101]" || params["wait_for_pickup"] != 30.0 || params["call_duration"] != 7200.0 ||
			params["announce_sound_id"] != "hello" || params["dst_announce_sound_id"] != "hello" || params["dst_dtmf"] != "12w3" {
			t.Errorf("callback_params are %v", params)
		}
		second := made[1]
		if second["try_again_pause"] != "30" || second["a_number"] != "020 7946 0958" || second["a_number_e164"] != "+442079460958" ||
			second["b_number_e164"] != "" || second["try_count"] != 1.0 {
			t.Errorf("the second task is %v", second)
		}
		for i, ahead := range map[int]time.Duration{1: time.Hour, 2: 2 * time.Hour} {
			at, err := parseDate(made[i]["start_time_utc"].(string))
			if late := at.Sub(began.Add(ahead)); err != nil || late < -2*time.Second || late > 10*time.Second {
				t.Errorf("task %d starts %v", i, made[i]["start_time_utc"])
			}
		}
		for i, task := range made {
			one := r.do("GET", queue+"/task/"+jsonNumber(task["id"].(float64)), r.a.token, "").want(200).object()
			if fmt.Sprint(one) != fmt.Sprint(task) {
				t.Errorf("task %d is told as\n%v, and was made as\n%v", i, one, task)
			}
		}
	})
}

// TestTaskFields holds the answer to the contract: every field, with its type.
func TestTaskFields(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		task := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201).objects()[0]
		types := map[string]string{}
		for _, f := range strings.Fields("id scheduler_id extension_id try_count try_count_caller try_again_pause_caller attempts requeued_from") {
			types[f] = "float64"
		}
		for _, f := range strings.Fields(`name a_number a_number_e164 b_number b_number_e164 try_again_pause url_before url_before_again
			url_success url_after start_time_utc deadline_utc external_id status finish_result finish_comment cdr next_try_utc
			create_date_utc update_date_utc`) {
			types[f] = "string"
		}
		for _, f := range strings.Fields("attempts_src_ani_numbers attempts_dst_ani_numbers blocked_by") {
			types[f] = "[]interface {}"
		}
		for _, f := range strings.Fields("callback_params variables") {
			types[f] = "map[string]interface {}"
		}
		for field, want := range types {
			if got := fmt.Sprintf("%T", task[field]); got != want {
				t.Errorf("%s is a %s, want %s", field, got, want)
			}
		}
		for field := range task {
			if types[field] == "" {
				t.Errorf("%s is not of the contract", field)
			}
		}
		gate := task["blocked_by"].([]any)[0].(map[string]any)
		if gate["gate"] != "scheduler_off" || gate["until_utc"] != "" || gate["detail"] == "" {
			t.Errorf("blocked by %v", gate)
		}
	})
}

// oneTask is the body that makes one task; more are further members of it.
func oneTask(p party, more string) string {
	if more != "" {
		more = ", " + more
	}
	return fmt.Sprintf(`{"tasks":[{"a_number":"101","b_number":"102","extension_id":%d%s}]}`, p.extension.ID, more)
}

func TestTaskTolerance(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		post := func(more string) reply { return r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, more)) }

		t.Run("integers may be strings, variables any scalar", func(t *testing.T) {
			task := post(`"try_count":"5","try_count_caller":"2","variables":{"s":"x","i":7,"f":1.5,"b":true,"n":null}`).want(201).objects()[0]
			want := map[string]any{"s": "x", "i": "7", "f": "1.5", "b": "true", "n": ""}
			if task["try_count"] != 5.0 || task["try_count_caller"] != 2.0 || fmt.Sprint(task["variables"]) != fmt.Sprint(want) {
				t.Errorf("made %v", task)
			}
		})
		t.Run("keys we do not act on are kept and named", func(t *testing.T) {
			made := post(`"callback_params":{"transfer_after_src_hangup":"102","allow_public_transfer":true,"src_caller_id_name":null}`).want(201)
			if got := made.header.Get("X-Ringback-Ignored"); got != "allow_public_transfer, src_caller_id_name, transfer_after_src_hangup" {
				t.Errorf("ignored %q", got)
			}
			one := r.do("GET", queue+"/tasks/"+jsonNumber(made.objects()[0]["id"].(float64)), r.a.token, "").object()
			params := one["callback_params"].(map[string]any)
			if params["allow_public_transfer"] != true || params["transfer_after_src_hangup"] != "102" || params["src_caller_id_name"] != nil {
				t.Errorf("told %v", params)
			}
			if _, there := params["src_caller_id_name"]; !there {
				t.Errorf("a null is not echoed: %v", params)
			}
		})
		t.Run("a task that is read can be put back", func(t *testing.T) {
			made := post(`"name":"n","external_id":"x-1","start_time_utc":"3600","deadline_utc":"2035-01-01 00:00:00",
				"variables":{"a":"b"},"callback_params":{"extended_a_numbers":["103"],"allow_public_transfer":1}`).want(201)
			path := queue + "/task/" + jsonNumber(made.objects()[0]["id"].(float64))
			before := r.do("GET", path, r.a.token, "").want(200)
			after := r.do("PUT", path, r.a.token, before.body).want(200)
			b, a := before.object(), after.object()
			delete(b, "update_date_utc")
			delete(a, "update_date_utc")
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("put back\n%v, became\n%v", b, a)
			}
		})
		t.Run("a scheduler that is read can be put back", func(t *testing.T) {
			before := r.do("GET", queue, r.a.token, "").want(200)
			if after := r.do("PUT", queue, r.a.token, before.body).want(200); after.body != before.body {
				t.Errorf("put back %s, became %s", before.body, after.body)
			}
		})
	})
}

func TestTaskChange(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		made := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"old","try_count":2,"external_id":"x"`)).want(201).objects()[0]
		path := queue + "/task/" + jsonNumber(made["id"].(float64))

		changed := r.do("PUT", path, r.a.token, `{"name":"new","start_time_utc":"2035-01-01 00:00:00"}`).want(200).object()
		if changed["name"] != "new" || changed["try_count"] != 2.0 || changed["external_id"] != "x" || changed["next_try_utc"] != "2035-01-01 00:00:00" {
			t.Errorf("became %v", changed)
		}
		faults := r.do("PUT", path, r.a.token, `{"try_count":51,"a_number":7,"nonsense":1}`).refused(400, "validation_error")
		if faults["try_count"] != "must be between 1 and 50" || faults["a_number"] != "must be a string" || faults["nonsense"] != "is not a known name" || len(faults) != 3 {
			t.Errorf("faults %v", faults)
		}
		if now := r.do("GET", path, r.a.token, "").object(); now["name"] != "new" || now["try_count"] != 2.0 {
			t.Errorf("a refused change left %v", now)
		}
		other := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"external_id":"y"`)).want(201).objects()[0]
		if faults := r.do("PUT", path, r.a.token, `{"external_id":"y"}`).refused(409, "conflict"); !strings.Contains(faults["external_id"], jsonNumber(other["id"].(float64))) {
			t.Errorf("faults %v", faults)
		}
		one := fmt.Sprintf(`{"a_number":"101","b_number":"102","extension_id":%d,"external_id":"z"}`, r.a.extension.ID)
		faults = r.do("POST", queue+"/tasks/", r.a.token, `{"tasks":[`+one+strings.Repeat(","+one, 200)+`]}`).refused(400, "validation_error")
		if faults["tasks[1].external_id"] == "" || len(faults) != maxFaults {
			t.Errorf("%d faults: %v", len(faults), faults)
		}
		r.do("DELETE", path, r.a.token, "").want(204)
		r.do("DELETE", path, r.a.token, "").want(204)
		gone := r.do("GET", path, r.a.token, "").want(200).object()
		if gone["status"] != "finished" || gone["finish_result"] != "failed" || gone["finish_comment"] != "cancelled" || gone["next_try_utc"] != "" {
			t.Errorf("cancelled, it is %v", gone)
		}
		r.do("PUT", path, r.a.token, `{"name":"later"}`).refused(409, "conflict")
		if faults := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"external_id":"x"`)).refused(409, "conflict"); faults["tasks[0].external_id"] == "" {
			t.Errorf("faults %v", faults)
		}
	})
}

func TestTaskList(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		var tasks []string
		for i := range 25 {
			tasks = append(tasks, fmt.Sprintf(`{"name":"n%d","a_number":"1%02d","b_number":"+442079460958","extension_id":%d,"external_id":"x%d"}`,
				i%5, i, r.a.extension.ID, i))
		}
		r.do("POST", queue+"/tasks/", r.a.token, `{"tasks":[`+strings.Join(tasks, ",")+`]}`).want(201)
		names := func(query string) string {
			t.Helper()
			a := r.do("GET", queue+"/tasks/?"+query, r.a.token, "").want(200)
			var ids []string
			for _, task := range a.objects() {
				ids = append(ids, strings.TrimPrefix(task["external_id"].(string), "x"))
			}
			return a.header.Get("X-Total-Count") + ": " + strings.Join(ids, " ")
		}
		all := r.do("GET", queue+"/tasks/", r.a.token, "").want(200).objects()
		third := jsonNumber(all[2]["id"].(float64))
		for query, want := range map[string]string{
			"per_page=3":                                   "25: 0 1 2",
			"per_page=3&page=2":                            "25: 3 4 5",
			"per_page=3&order=desc":                        "25: 24 23 22",
			"per_page=3&after_id=" + third:                 "25: 3 4 5",
			"per_page=3&order=desc&after_id=" + third:      "25: 1 0",
			"page=9&per_page=10":                           "25: ",
			"name=n3":                                      "5: 3 8 13 18 23",
			"a_number=107":                                 "1: 7",
			"external_id=x9":                               "1: 9",
			"name=n3&b_number=%2B442079460958&per_page=1":  "5: 3",
			"status=finished":                              "0: ",
			"status=finished&status=scheduled&per_page=1":  "25: 0",
			"finish_result=failed":                         "0: ",
			"created_from=2035-01-01+00:00:00":             "0: ",
			"start_to=2035-01-01+00:00:00&per_page=1":      "25: 0",
			"updated_since=2020-01-01+00:00:00&per_page=1": "25: 0",
		} {
			if got := names(query); got != want {
				t.Errorf("%s lists %q, want %q", query, got, want)
			}
		}
		faults := r.do("GET", queue+"/tasks/?per_page=1001&page=0&order=up&status=odd&naem=x&created_from=then&name=%00&after_id=x", r.a.token, "").
			refused(400, "validation_error")
		if bad := r.do("GET", queue+"/tasks/?a=%zz", r.a.token, "").refused(400, "validation_error"); bad["the query"] == "" {
			t.Errorf("faults %v", bad)
		}
		for _, f := range strings.Fields("per_page page order status naem created_from name after_id") {
			if faults[f] == "" {
				t.Errorf("%s has no fault: %v", f, faults)
			}
		}
	})
}

func TestDuplicatesAreSkipped(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		tasks := func(ids ...string) string {
			var all []string
			for _, id := range ids {
				all = append(all, fmt.Sprintf(`{"a_number":"101","b_number":"102","extension_id":%d,"external_id":%q}`, r.a.extension.ID, id))
			}
			return `{"tasks":[` + strings.Join(all, ",") + `]}`
		}
		first := r.do("POST", queue+"/tasks/", r.a.token, tasks("a", "b")).want(201).objects()
		a, b := first[0]["id"].(float64), first[1]["id"].(float64)
		r.do("POST", queue+"/tasks/", r.a.token, tasks("c", "b")).refused(409, "conflict")
		r.do("POST", queue+"/tasks/?on_duplicate=replace", r.a.token, tasks("c")).refused(400, "validation_error")
		again := r.do("POST", queue+"/tasks/?on_duplicate=skip", r.a.token, tasks("b", "c", "", "a", "c", "")).want(201).objects()
		var got []string
		for _, task := range again {
			got = append(got, fmt.Sprintf("%v %v", task["id"].(float64)-a, task["external_id"]))
		}
		next := again[1]["id"].(float64) - a
		want := []string{fmt.Sprintf("%v b", b-a), fmt.Sprintf("%v c", next), fmt.Sprintf("%v ", next+1), "0 a", fmt.Sprintf("%v c", next), fmt.Sprintf("%v ", next+2)}
		if !slices.Equal(got, want) {
			t.Errorf("answered %q, want %q", got, want)
		}
		r.do("POST", queue+"/tasks/?on_duplicate=skip", r.a.token, tasks("a", "b")).want(201)
		if n := r.do("GET", queue+"/tasks/", r.a.token, "").header.Get("X-Total-Count"); n != "5" {
			t.Errorf("there are %s tasks, want 5", n)
		}
		other := r.queue(r.a, `{"name":"other"}`)
		if elsewhere := r.do("POST", other+"/tasks/?on_duplicate=skip", r.a.token, tasks("a")).want(201).objects(); elsewhere[0]["id"] == a {
			t.Error("an external id is one of all schedulers")
		}
	})
}
