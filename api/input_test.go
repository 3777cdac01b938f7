package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"ringback/scheduler"
)

// TestBadInput: every fault is told with its path, and nothing is stored.
func TestBadInput(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		good := fmt.Sprintf(`{"a_number":"101","b_number":"102","extension_id":%d}`, r.a.extension.ID)
		with := func(more string) string { return good[:len(good)-1] + "," + more + "}" }
		long := strings.Repeat("x", 256)
		many := `"1"` + strings.Repeat(`,"1"`, 50)
		for claim, tc := range map[string]struct {
			body   string
			status string
			faults []string // "field: the beginning of the message"
		}{
			"an empty body":          {" ", "validation_error", []string{"the body: must not be empty"}},
			"no JSON":                {"hello", "validation_error", []string{"the body: is not valid JSON at byte 1"}},
			"a list":                 {"[" + good + "]", "validation_error", []string{"the body: must be a JSON object"}},
			"JSON cut short":         {`{"tasks":[` + good, "validation_error", []string{"the body: is not valid JSON"}},
			"garbage after the JSON": {`{"tasks":[` + good + `]} x`, "validation_error", []string{"the body: must end after one JSON value"}},
			"no tasks":               {`{}`, "validation_error", []string{"tasks: is required"}},
			"tasks null":             {`{"tasks":null}`, "validation_error", []string{"tasks: is required"}},
			"an empty list":          {`{"tasks":[]}`, "validation_error", []string{"tasks: must have 1 to 50000 tasks"}},
			"tasks no list":          {`{"tasks":{}}`, "validation_error", []string{"tasks: must be a list"}},
			"tasks that are none":    {`{"tasks":[1,` + good + `,"x",null]}`, "validation_error", []string{"tasks[0]: must be an object", "tasks[2]: must be an object", "tasks[3]: must be an object"}},
			"an unknown name beside": {`{"tasks":[` + good + `],"task":1}`, "validation_error", []string{"task: is not a known name"}},
			"tasks twice":            {`{"tasks":[` + good + `],"tasks":[` + good + `]}`, "validation_error", []string{"tasks: is given twice"}},
			"everything missing":     {`{"tasks":[{}]}`, "validation_error", []string{"tasks[0].a_number: is required", "tasks[0].b_number: is required", "tasks[0].extension_id: is required"}},
			"wrong types, all at once": {`{"tasks":[` + good + `,{"name":1,"a_number":101,"b_number":true,"extension_id":"x","try_count":1.5,"try_again_pause":[],
				"url_after":{},"start_time_utc":[],"variables":[],"callback_params":"x","attempts_src_ani_numbers":"1","deadline_utc":5}]}`, "validation_error", []string{
				"tasks[1].name: must be a string", "tasks[1].a_number: must be a string", "tasks[1].b_number: must be a string",
				"tasks[1].extension_id: must be an integer", "tasks[1].try_count: must be an integer", "tasks[1].try_again_pause: must be an integer",
				"tasks[1].url_after: must be a string", "tasks[1].start_time_utc: must be a date", "tasks[1].variables: must be an object",
				"tasks[1].callback_params: must be an object", "tasks[1].attempts_src_ani_numbers: must be a list of strings",
				"tasks[1].deadline_utc: must be a date",
			}},
			"unknown names": {`{"tasks":[` + with(`"A_NUMBER":"1","trycount":2,"callback_params":{"odd":1}`) + `]}`, "validation_error",
				[]string{"tasks[0].A_NUMBER: is not a known name", "tasks[0].trycount: is not a known name", "tasks[0].callback_params.odd: is not a known name"}},
			"a name twice": {`{"tasks":[` + with(`"name":"a","name":"b"`) + `]}`, "validation_error", []string{"tasks[0].name: is given twice"}},
			"try_count 51, then 0": {`{"tasks":[` + with(`"try_count":51`) + `,` + with(`"try_count":0,"try_count_caller":51`) + `]}`, "validation_error",
				[]string{"tasks[0].try_count: must be between 1 and 50", "tasks[1].try_count: must be between 1 and 50", "tasks[1].try_count_caller: must be between 0 and 50"}},
			"pauses": {`{"tasks":[` + with(`"try_again_pause":"864001","try_again_pause_caller":-1`) + `]}`, "validation_error",
				[]string{"tasks[0].try_again_pause: must be between 0 and 864000", "tasks[0].try_again_pause_caller: must be between 0 and 864000"}},
			"numbers that are none": {strings.NewReplacer(`"101"`, `"call me"`, `"102"`, `"+1"`).Replace(`{"tasks":[` + with(`"callback_params":{"extended_a_numbers":["103","+",7]}`) + `]}`), "validation_error",
				[]string{"tasks[0].a_number: must be a phone number", "tasks[0].b_number: must be a phone number", "tasks[0].callback_params.extended_a_numbers[2]: must be a string",
					"tasks[0].callback_params.extended_a_numbers[1]: must be a phone number"}},
			"a SIP URI": {strings.Replace(`{"tasks":[`+good+`]}`, "101", "sip:a@b.example", 1), "destination_not_allowed", []string{"tasks[0].a_number: must not be a SIP URI"}},
			"a start that is nonsense": {`{"tasks":[` + with(`"start_time_utc":"soon"`) + `,` + with(`"start_time_utc":-1`) + `,` + with(`"start_time_utc":1.5`) + `]}`, "validation_error",
				[]string{"tasks[0].start_time_utc: must be a date", "tasks[1].start_time_utc: must be a date", "tasks[2].start_time_utc: must be a date"}},
			"a deadline that is past": {`{"tasks":[` + with(`"deadline_utc":"2020-01-01 00:00:00"`) + `]}`, "validation_error", []string{"tasks[0].deadline_utc: must be after the start"}},
			"a foreign extension":     {strings.Replace(`{"tasks":[`+good+`]}`, fmt.Sprint(`:`, r.a.extension.ID), fmt.Sprint(`:`, r.b.extension.ID), 1), "validation_error", []string{"tasks[0].extension_id: is not an extension of this client"}},
			"inward URLs": {`{"tasks":[` + with(`"url_before":"http://169.254.169.254/","url_after":"https://user:pass@example.com/","url_success":"ftp://example.com","url_before_again":"http://127.0.0.1:8080/"`) + `]}`, "validation_error",
				[]string{"tasks[0].url_before: must not lead to", "tasks[0].url_after: must not hold credentials", "tasks[0].url_success: must be an absolute URL", "tasks[0].url_before_again: must not lead to"}},
			"texts that are too long": {`{"tasks":[` + with(`"name":"`+long+`","external_id":"`+long+`","url_after":"https://example.com/`+strings.Repeat("x", 2048)+`","variables":{"k":"`+long+`","`+long+`":1}`) + `]}`, "validation_error",
				[]string{"tasks[0].name: must be at most 255", "tasks[0].external_id: must be at most 128", "tasks[0].url_after: must be at most 2048", "tasks[0].variables.k: must be at most 200", "tasks[0].variables: must have names of 1 to 200"}},
			"variables that are no scalars": {`{"tasks":[` + with(`"variables":{"a":[],"b":{}}`) + `]}`, "validation_error", []string{"tasks[0].variables.a: must be a string, a number", "tasks[0].variables.b: must be a string, a number"}},
			"NUL characters": {`{"tasks":[` + with(`"name":"\u0000","variables":{"k":"a\u0000","n\u0000":1},"callback_params":{"src_caller_id_name":"\u0000","caller_id_name":"\u0000"}`) + `]}`, "validation_error",
				[]string{"tasks[0].name: must not contain a NUL", "tasks[0].variables.k: must not contain a NUL", "tasks[0].variables.n\x00: must not contain a NUL",
					"tasks[0].callback_params.src_caller_id_name: must not contain a NUL", "tasks[0].callback_params.caller_id_name: must not contain a NUL"}},
			"bytes that are no UTF-8": {"{\"tasks\":[" + with("\"name\":\"\xff\"") + "]}", "validation_error", []string{"the body: is not valid UTF-8"}},
			"a caller id of somebody else": {`{"tasks":[` + with(`"callback_params":{"caller_id_number":"+15550100100"}`) + `]}`, "caller_id_not_allowed",
				[]string{"tasks[0].callback_params.caller_id_number: is not a caller number of extension"}},
			"params out of range": {`{"tasks":[` + with(`"callback_params":{"wait_for_pickup":4,"call_duration":86401}`) + `]}`, "validation_error",
				[]string{"tasks[0].callback_params.wait_for_pickup: must be between 5 and 120", "tasks[0].callback_params.call_duration: must be between 1 and 86400"}},
			"sounds that are not there, and no digits": {`{"tasks":[` + with(`"callback_params":{"announce_sound_id":"a","dst_announce_sound_id":7,"dst_dtmf":"1,2"}`) + `]}`, "validation_error",
				[]string{"tasks[0].callback_params.announce_sound_id: is not the id of a sound", "tasks[0].callback_params.dst_announce_sound_id: must be a string",
					"tasks[0].callback_params.dst_dtmf: must be digits"}},
			"too many numbers": {`{"tasks":[` + with(`"attempts_src_ani_numbers":[`+many+`],"callback_params":{"extended_a_numbers":[`+many+`]}`) + `]}`, "validation_error",
				[]string{"tasks[0].attempts_src_ani_numbers: must be at most 50", "tasks[0].callback_params.extended_a_numbers: must be at most 10"}},
		} {
			t.Run(claim, func(t *testing.T) {
				r.t = t
				faults := r.do("POST", queue+"/tasks/", r.a.token, tc.body).refused(400, tc.status)
				for _, want := range tc.faults {
					field, message, _ := strings.Cut(want, ": ")
					if got, ok := faults[field]; !ok || !strings.HasPrefix(got, message) {
						t.Errorf("%q is not told: %q", want, faults)
					}
				}
				if len(faults) != len(tc.faults) {
					t.Errorf("told %q", faults)
				}
			})
		}
		r.do("POST", queue+"/tasks/?dryrun=1", r.a.token, oneTask(r.a, "")).refused(400, "validation_error")
		if a := r.do("GET", queue+"/tasks/", r.a.token, "").want(200); a.body != "[]\n" {
			t.Errorf("stored %s", a.body)
		}
	})
}

func TestTooLarge(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		one := fmt.Sprintf(`{"a_number":"101","b_number":"102","extension_id":%d}`, r.a.extension.ID)
		t.Run("50,001 tasks", func(t *testing.T) {
			r.t = t
			body := `{"tasks":[` + one + strings.Repeat(","+one, scheduler.MaxBatch) + `]}`
			r.do("POST", queue+"/tasks/", r.a.token, body).refused(413, "too_large")
		})
		for claim, length := range map[string]int64{"40 MiB": 40 << 20, "40 MiB of unknown length": -1} {
			t.Run(claim, func(t *testing.T) {
				r.t = t
				body := io.MultiReader(strings.NewReader(`{"tasks":[`), bytes.NewReader(bytes.Repeat([]byte(" "), 40<<20)))
				req := httptest.NewRequestWithContext(t.Context(), "POST", queue+"/tasks/", body)
				req.ContentLength = length
				req.Header.Set("Authorization", "Bearer "+r.a.token)
				req.Header.Set("Content-Type", "application/json")
				r.send(req).refused(413, "too_large")
			})
		}
		t.Run("nothing is read of a body that says it is too large", func(t *testing.T) {
			r.t = t
			req := httptest.NewRequestWithContext(t.Context(), "POST", queue+"/tasks/", iotest.ErrReader(errors.New("it is read")))
			req.ContentLength = 40 << 20
			req.Header.Set("Authorization", "Bearer "+r.a.token)
			r.send(req).refused(413, "too_large")
		})
		t.Run("more faults than are told", func(t *testing.T) {
			r.t = t
			body := `{"tasks":[{}` + strings.Repeat(",{}", 5000) + `]}`
			if faults := r.do("POST", queue+"/tasks/", r.a.token, body).refused(400, "validation_error"); len(faults) != maxFaults {
				t.Errorf("%d faults", len(faults))
			}
		})
		if a := r.do("GET", queue+"/tasks/", r.a.token, "").want(200); a.body != "[]\n" {
			t.Errorf("stored %s", a.body)
		}
	})
}

func TestMediaTypes(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for given, code := range map[string]int{
			"application/json": 201, "application/json; charset=utf-8": 201, "text/json": 201, "": 201,
			"application/x-www-form-urlencoded": 415, "text/plain": 415, "application/xml": 415, ";": 415,
		} {
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/client/@me/task_scheduler/", strings.NewReader(`{"name":"q"}`))
			req.Header.Set("Authorization", "Bearer "+r.a.token)
			req.Header.Set("Content-Type", given)
			if a := r.send(req); a.code != code {
				t.Errorf("%q is answered %d, want %d", given, a.code, code)
			}
		}
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/client/@me/task_scheduler/", strings.NewReader(`{"name":"q"}`))
		req.Header.Set("Authorization", "Bearer "+r.a.token)
		req.Header.Set("Content-Encoding", "gzip")
		r.send(req).refused(415, "unsupported_media_type")
	})
}

// FuzzTasks: no body is a panic or an internal error, and what is taken can be
// told.
func FuzzTasks(f *testing.F) {
	f.Add(fmt.Sprintf(documented, 1))
	f.Add(`{"tasks":[{"a_number":"101","variables":{"a":1e999,"b":"\ud800"},"callback_params":{"allow_public_transfer":-1}}]}`)
	f.Add(`{"tasks":[{"callback_params":{"src_caller_id_name":"\u0000"}},[]]}`)
	s := tasks{numbers: newNumbers("GB"), checkURL: func(string) error { return nil }}
	f.Fuzz(func(t *testing.T, body string) {
		in := s.intake(t.Context(), caller{client: "c"}, 1, date2026)
		in.known = map[scheduler.ExtensionID]scheduler.Extension{1: {ID: 1}}
		in.Extension = func(id scheduler.ExtensionID) (scheduler.Extension, bool) { return in.known[1], id == 1 }
		d := &decoder{reader: reader{text: body}}
		if d.kind() != kindObject {
			return
		}
		made, err := d.tasks(in)
		if err != nil {
			if p := problemOf(err); p.code >= 500 || p.text(callback.spell) == "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		for _, task := range made {
			if _, err := encode(tellTask(task, scheduler.Queue{}, scheduler.Runtime{}, date2026)); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}

// date2026 is now in tests that need none of their own.
var date2026 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestSpell(t *testing.T) {
	for path, want := range map[string]string{
		`Tasks[3].TryCount`:             "tasks[3].try_count",
		`Tasks[3].Variables."TryCount"`: "tasks[3].variables.TryCount",
		`Tasks[0].Params.ExtendedA[2]`:  "tasks[0].callback_params.extended_a_numbers[2]",
		`Params."a.b[\"c\"]"`:           `callback_params.a.b["c"]`,
		`"per_page"`:                    "per_page",
		`Limit`:                         "concurrent_task_limit",
		`Body`:                          "the body",
		`Odd`:                           "Odd",
	} {
		if got := callback.spell(path); got != want {
			t.Errorf("%s is spelt %s, want %s", path, got, want)
		}
	}
}
