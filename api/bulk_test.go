package api

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

func TestBulkRefuses(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		foreign := r.queue(r.b, `{"name":"q"}`)
		theirs := foreign[strings.LastIndex(foreign, "/")+1:]
		own := queue[strings.LastIndex(queue, "/")+1:]
		r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, "")).want(201)
		for body, field := range map[string]string{
			`{}`:                                         "filter",
			`{"action":"cancel"}`:                        "filter",
			`{"filter":null,"action":"cancel"}`:          "filter",
			`{"filter":{}}`:                              "action",
			`{"filter":{},"action":"explode"}`:           "action",
			`{"filter":{"nam":"x"},"action":"cancel"}`:   "filter.nam",
			`{"filter":{"name":""},"action":"cancel"}`:   "filter.name",
			`{"filter":{"name":null},"action":"cancel"}`: "filter.name",
			`{"filter":{"ids":[]},"action":"cancel"}`:    "filter.ids",
			`{"filter":{"ids":[0]},"action":"cancel"}`:   "filter.ids[0]",
			`{"filter":{"ids":null},"action":"cancel"}`:  "filter.ids",
			`{"filter":{"ids":[` + strings.Repeat("1,", 1000) + `1]},"action":"cancel"}`: "filter.ids",
			`{"filter":{"status":"lost"},"action":"cancel"}`:                             "filter.status",
			`{"filter":{"status":[]},"action":"cancel"}`:                                 "filter.status",
			`{"filter":{"updated_since":""},"action":"cancel"}`:                          "filter.updated_since",
			`{"filter":{"created_from":"yesterday"},"action":"cancel"}`:                  "filter.created_from",
			`{"filter":{},"action":"move"}`:                                              "target_scheduler_id",
			`{"filter":{},"action":"move","target_scheduler_id":` + theirs + `}`:         "target_scheduler_id",
			`{"filter":{},"action":"move","target_scheduler_id":` + own + `}`:            "target_scheduler_id",
			`{"filter":{},"action":"cancel","target_scheduler_id":` + own + `}`:          "target_scheduler_id",
			`{"filter":{},"action":"run_now","hangup":true}`:                             "hangup",
			`{"filter":{},"action":"cancel","dry_run":"yes"}`:                            "dry_run",
		} {
			if faults := r.do("POST", queue+"/tasks/bulk", r.a.token, body).refused(400, "validation_error"); faults[field] == "" {
				t.Errorf("%.80s: %v", body, faults)
			}
		}
		if rows := r.do("GET", queue+"/tasks?status=scheduled", r.a.token, "").want(200).objects(); len(rows) != 1 {
			t.Error("something was changed")
		}
		r.do("GET", queue+"/tasks/bulk/7", r.a.token, "").refused(404, "not_found")
	})
}

// Few tasks are changed before the answer, very many by and by.
func TestBulkByAndBy(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		id, _ := strconv.ParseInt(queue[strings.LastIndex(queue, "/")+1:], 10, 64)
		now := time.Now().UTC()
		many := slices.Repeat([]scheduler.Task{storetest.Task(r.a.extension, now)}, scheduler.BulkAtOnce+1)
		many[0].Name = "one"
		if _, err := r.store.AddTasks(t.Context(), r.a.client.ID, scheduler.QueueID(id), many); err != nil {
			t.Fatal(err)
		}
		dry := r.do("POST", queue+"/tasks/bulk", r.a.token, `{"filter":{},"action":"cancel","dry_run":true}`).want(200).object()
		if dry["eligible"] != float64(len(many)) || dry["changed"] != 0.0 || dry["id"] != nil || dry["dry_run"] != true {
			t.Errorf("the preview is %v", dry)
		}
		one := r.do("POST", queue+"/tasks/bulk", r.a.token, `{"filter":{"name":"one"},"action":"run_now"}`).want(200).object()
		if one["status"] != "done" || one["matched"] != 1.0 || one["changed"] != 0.0 {
			t.Errorf("one that is due is %v", one)
		}
		a := r.do("POST", queue+"/tasks/bulk", r.a.token, `{"filter":{"status":"scheduled"},"action":"cancel"}`).want(202)
		if a.object()["status"] != "running" || a.object()["changed"] != 0.0 {
			t.Errorf("very many are %s", a.body)
		}
		for more := true; more; {
			var err error
			if more, err = r.store.WorkBulks(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		over := r.do("GET", a.header.Get("Location"), r.a.token, "").want(200).object()
		if over["status"] != "done" || over["changed"] != float64(len(many)) || over["end_date_utc"] == "" {
			t.Errorf("in the end it is %v", over)
		}
		if rows := r.do("GET", queue+"/tasks?status=scheduled", r.a.token, "").want(200).objects(); len(rows) != 0 {
			t.Errorf("%d still wait", len(rows))
		}
	})
}
