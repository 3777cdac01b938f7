package api

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// alwaysOpen is a window that never closes.
const alwaysOpen = `{"name":"always","timezone":"UTC","conditions":[{"start_dow":1,"end_dow":7}]}`

// closedNow is a window that opens in an hour, on the wall of UTC.
func closedNow() string {
	opens := time.Now().UTC().Add(time.Hour)
	return fmt.Sprintf(`{"name":"later","timezone":"UTC","conditions":[{"start_datetime":%q,"end_datetime":%q}]}`,
		date(opens), date(opens.Add(time.Hour)))
}

func (r *rig) interval(body string) string {
	r.t.Helper()
	return r.do("POST", r.a.path("/interval/"), r.a.token, body).want(201).id()
}

func TestIntervalFaults(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for claim, tc := range map[string]struct{ condition, field, says string }{
			"a day of the week beyond":          {`"start_dow":8,"end_dow":2`, "start_dow", "between 1 and 7"},
			"a day of the week below":           {`"start_dow":1,"end_dow":-1`, "end_dow", "between 1 and 7"},
			"a day of the week alone":           {`"start_dow":2`, "end_dow", "pair"},
			"a day of the month beyond":         {`"start_mday":1,"end_mday":32`, "end_mday", "between 1 and 31"},
			"days of the month the wrong way":   {`"start_mday":9,"end_mday":3`, "start_mday", "after the end"},
			"a time after its end":              {`"start_time":"18:00:00","end_time":"09:00:00"`, "start_time", "before the end"},
			"a time that is its end":            {`"start_time":"18:00:00","end_time":"18:00:00"`, "start_time", "before the end"},
			"a time without an end":             {`"start_time":"18:00:00"`, "start_time", "before the end"},
			"a time that is none":               {`"start_time":"25:00:00","end_time":"26:00:00"`, "start_time", "hh:mm:ss"},
			"a thirteenth month":                {`"month":13`, "month", "between 1 and 12"},
			"dates the wrong way":               {`"start_datetime":"2026-02-01 00:00:00","end_datetime":"2026-01-01 00:00:00"`, "start_datetime", "before the end"},
			"a date without an end":             {`"start_datetime":"2026-02-01 00:00:00"`, "end_datetime", "pair"},
			"nothing at all":                    {`"month":0,"start_dow":null,"start_time":""`, "", "must set something"},
			"a name of the source's schedules":  {`"sched_id":3`, `sched_id`, "dates, days and times"},
			"a name that nobody knows":          {`"weekday":3`, `weekday`, "not a known name"},
			"a day of the week that is no day":  {`"start_dow":"monday","end_dow":5`, "start_dow", "integer"},
			"a fraction of a day of the month":  {`"start_mday":1.5,"end_mday":5`, "start_mday", "integer"},
			"a condition with everything wrong": {`"start_dow":9,"end_dow":9`, "start_dow", "between 1 and 7"},
		} {
			t.Run(claim, func(t *testing.T) {
				r.t = t
				body := `{"name":"i","timezone":"Europe/Rome","conditions":[{"month":1},{` + tc.condition + `}]}`
				faults := r.do("POST", r.a.path("/interval/"), r.a.token, body).refused(400, "validation_error")
				field := strings.TrimSuffix("conditions[1]."+tc.field, ".")
				if !strings.Contains(faults[field], tc.says) {
					t.Errorf("%s has %q of %v", field, faults[field], faults)
				}
			})
		}
		for claim, tc := range map[string]struct{ body, field string }{
			"an unknown zone":       {`{"name":"i","timezone":"Mars/Olympus","conditions":[{"month":1}]}`, "timezone"},
			"the host's zone":       {`{"name":"i","timezone":"Local","conditions":[{"month":1}]}`, "timezone"},
			"a path for a zone":     {`{"name":"i","timezone":"../UTC","conditions":[{"month":1}]}`, "timezone"},
			"no zone":               {`{"name":"i","conditions":[{"month":1}]}`, "timezone"},
			"no name":               {`{"timezone":"UTC","conditions":[{"month":1}]}`, "name"},
			"no conditions":         {`{"name":"i","timezone":"UTC"}`, "conditions"},
			"no condition":          {`{"name":"i","timezone":"UTC","conditions":[]}`, "conditions"},
			"conditions of no list": {`{"name":"i","timezone":"UTC","conditions":{}}`, "conditions"},
			"too many conditions":   {`{"name":"i","timezone":"UTC","conditions":[` + strings.Repeat(`{"month":1},`, 100) + `{"month":1}]}`, "conditions"},
		} {
			t.Run(claim, func(t *testing.T) {
				r.t = t
				faults := r.do("POST", r.a.path("/interval/"), r.a.token, tc.body).refused(400, "validation_error")
				if faults[tc.field] == "" || len(faults) != 1 {
					t.Errorf("faults %v", faults)
				}
			})
		}
	})
}

func TestInterval(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		t.Run("what was read can be put back", func(t *testing.T) {
			r.t = t
			path := r.a.path("/interval/" + r.interval(`{"name":"i","timezone":"Europe/Rome","conditions":[
				{"start_dow":"2","end_dow":6,"start_time":"09:00:00","end_time":"23:59:59"},
				{"month":8,"start_mday":1,"end_mday":20,"start_dow":0,"end_dow":""},
				{"start_datetime":"2026-12-24 08:00:00","end_datetime":"2026-12-24 12:00:00"}]}`))
			read := r.do("GET", path, r.a.token, "").want(200)
			first := read.object()["conditions"].([]any)[0].(map[string]any)
			if first["start_time"] != "09:00:00" || first["end_time"] != "23:59:59" || first["start_dow"] != 2.0 || first["start_datetime"] != "" {
				t.Errorf("told as %v", first)
			}
			put := r.do("PUT", path, r.a.token, read.body).want(200)
			if !reflect.DeepEqual(put.object(), read.object()) {
				t.Errorf("%s became %s", read.body, put.body)
			}
			renamed := r.do("PUT", path, r.a.token, `{"name":"j"}`).want(200).object()
			if renamed["name"] != "j" || len(renamed["conditions"].([]any)) != 3 {
				t.Errorf("a new name made it %v", renamed)
			}
		})
		t.Run("one in use is not deleted", func(t *testing.T) {
			r.t = t
			id := r.interval(alwaysOpen)
			queue := r.queue(r.a, `{"name":"q","interval_id":`+id+`}`)
			a := r.do("DELETE", r.a.path("/interval/"+id), r.a.token, "")
			a.refused(409, "conflict")
			if !strings.Contains(a.body, queue[strings.LastIndex(queue, "/")+1:]) {
				t.Errorf("says %s", a.body)
			}
			r.do("DELETE", queue, r.a.token, "").want(204)
			r.do("DELETE", r.a.path("/interval/"+id), r.a.token, "").want(204)
			r.do("DELETE", r.a.path("/interval/"+id), r.a.token, "").refused(404, "not_found")
		})
		t.Run("another client's is unknown", func(t *testing.T) {
			r.t = t
			body := `{"name":"q","interval_id":` + r.interval(alwaysOpen) + `}`
			if faults := r.do("POST", r.b.path("/task_scheduler/"), r.b.token, body).refused(400, "validation_error"); faults["interval_id"] == "" {
				t.Errorf("faults %v", faults)
			}
		})
		t.Run("preview tells when it opens", func(t *testing.T) {
			r.t = t
			path := r.a.path("/interval/" + r.interval(`{"name":"i","timezone":"Europe/Rome","conditions":[
				{"month":2,"start_mday":30,"end_mday":31},
				{"start_dow":1,"end_dow":2,"start_time":"01:00:00","end_time":"09:30:00"}]}`))
			seen := r.do("GET", path+"/preview?from=2026-03-28+12:00:00&days=2", r.a.token, "").want(200).object()
			// The clock springs forward on the 29th.
			want := []any{
				map[string]any{"opens_utc": "2026-03-29 00:00:00", "closes_utc": "2026-03-29 07:30:00",
					"opens_local": "2026-03-29T01:00:00+01:00", "closes_local": "2026-03-29T09:30:00+02:00"},
				map[string]any{"opens_utc": "2026-03-29 23:00:00", "closes_utc": "2026-03-30 07:30:00",
					"opens_local": "2026-03-30T01:00:00+02:00", "closes_local": "2026-03-30T09:30:00+02:00"},
			}
			if !reflect.DeepEqual(seen["openings"], want) || !reflect.DeepEqual(seen["never_conditions"], []any{0.0}) || seen["message"] != "" {
				t.Errorf("told %v", seen)
			}
			r.do("GET", path+"/preview?days=0", r.a.token, "").refused(400, "validation_error")
		})
		t.Run("a window that never opens is taken, and said", func(t *testing.T) {
			r.t = t
			path := r.a.path("/interval/" + r.interval(`{"name":"i","timezone":"UTC","conditions":[{"month":2,"start_mday":30,"end_mday":31}]}`))
			seen := r.do("GET", path+"/preview", r.a.token, "").want(200).object()
			if len(seen["openings"].([]any)) != 0 || !strings.Contains(seen["message"].(string), "does not open within 366 days") {
				t.Errorf("told %v", seen)
			}
		})
	})
}

// TestClosed looks at a queue whose window is closed: no claim has seen it.
func TestClosed(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		id := r.interval(closedNow())
		queue := r.queue(r.a, `{"name":"q","status":"on","start_rate":"0.5","interval_id":`+id+`}`)
		r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"due"`)).want(201)
		r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"early","start_time_utc":3600`)).want(201)
		check := func(status string, counts map[string]float64) {
			t.Helper()
			q := r.do("GET", queue, r.a.token, "").want(200).object()
			held := status == "delayed_interval"
			if hold, ok := q["hold"].(map[string]any); ok != held || held && (hold["gate"] != "interval" || hold["until_utc"] == "" || hold["detail"] == "") {
				t.Errorf("held by %v", q["hold"])
			}
			for _, listed := range r.do("GET", r.a.path("/task_scheduler/"), r.a.token, "").want(200).objects() {
				if (listed["hold"] != nil) != held {
					t.Errorf("listed as held by %v", listed["hold"])
				}
			}
			for s, n := range counts {
				if got := q["counts"].(map[string]any)[s]; got != n {
					t.Errorf("%v of %s, want %v", got, s, n)
				}
				list := r.do("GET", queue+"/tasks/?per_page=1&status="+s, r.a.token, "").want(200)
				if total := list.header.Get("X-Total-Count"); total != jsonNumber(n) {
					t.Errorf("the list of %s has %s, want %v", s, total, n)
				}
			}
			due := r.do("GET", queue+"/tasks/?name=due", r.a.token, "").want(200).objects()[0]
			gates := due["blocked_by"].([]any)
			if due["status"] != status || (len(gates) > 0) != held || held && gates[0].(map[string]any)["gate"] != "interval" {
				t.Errorf("the due task is %v, blocked by %v", due["status"], gates)
			}
		}
		if q := r.do("GET", queue, r.a.token, "").want(200).object(); q["start_rate"] != 0.5 || jsonNumber(q["interval_id"].(float64)) != id {
			t.Errorf("told as %v", q)
		}
		check("delayed_interval", map[string]float64{"delayed_interval": 1, "scheduled": 1})
		r.do("PUT", r.a.path("/interval/"+id), r.a.token, alwaysOpen).want(200)
		check("scheduled", map[string]float64{"delayed_interval": 0, "scheduled": 2})
		r.do("PUT", r.a.path("/interval/"+id), r.a.token, closedNow()).want(200)
		check("delayed_interval", map[string]float64{"delayed_interval": 1, "scheduled": 1})
		r.do("PUT", queue, r.a.token, `{"interval_id":null,"start_rate":null}`).want(200)
		check("scheduled", map[string]float64{"delayed_interval": 0, "scheduled": 2})
	})
}
