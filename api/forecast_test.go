package api

import (
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
)

func TestDryRun(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on","concurrent_task_limit":1}`)
		batch := func(tasks ...string) string {
			for i, task := range tasks {
				tasks[i] = strings.TrimSuffix(strings.TrimPrefix(oneTask(r.a, task), `{"tasks":[`), `]}`)
			}
			return `{"tasks":[` + strings.Join(tasks, ",") + `]}`
		}
		began := time.Now()
		// starts checks that the tasks would start so many seconds from now.
		starts := func(body string, want ...int) {
			t.Helper()
			told := r.do("POST", queue+"/tasks/?dry_run=1", r.a.token, body).want(200).objects()
			if len(told) != len(want) {
				t.Fatalf("%d told of %d", len(told), len(want))
			}
			for i, f := range told {
				at, err := parseDate(f["start_utc"].(string))
				if off := at.Sub(began).Seconds() - float64(want[i]); err != nil || f["index"] != float64(i) || off < -2 || off > 20 {
					t.Errorf("task %d: %v, want %d s after %s", i, f, want[i], began)
				}
			}
		}
		starts(batch(``, ``, `"start_time_utc":7200`), 0, 60, 7200)
		if total := r.do("GET", queue+"/tasks/", r.a.token, "").want(200).header.Get("X-Total-Count"); total != "0" {
			t.Fatalf("%s tasks were stored", total)
		}
		r.callOnce(queue) // 1.2 s; its task is finished
		r.do("POST", queue+"/tasks/", r.a.token, batch(`"external_id":"mine"`, ``, `"start_time_utc":3600`)).want(201)
		r.claim()
		r.do("PUT", queue, r.a.token, `{"start_rate":0.01}`).want(200)
		starts(batch(``, ``, `"start_time_utc":3540`), 101, 201, 3540)
		told := r.do("POST", queue+"/tasks/?dry_run=true", r.a.token, batch(`"deadline_utc":"`+date(began.Add(150*time.Second))+`"`, ``)).want(200).objects()
		if told[0]["misses_deadline"] != false || told[1]["misses_deadline"] != false {
			t.Errorf("told %v", told)
		}
		told = r.do("POST", queue+"/tasks/?dry_run=true", r.a.token, batch(`"deadline_utc":"`+date(began.Add(80*time.Second))+`"`, ``)).want(200).objects()
		if told[0]["misses_deadline"] != true {
			t.Errorf("told %v", told)
		}
		for claim, tc := range map[string]struct{ body, field string }{
			"a fault is one":               {batch(`"try_count":51`), "tasks[0].try_count"},
			"an external id that is taken": {batch(``, `"external_id":"mine"`), "tasks[1].external_id"},
			"one that is given twice":      {batch(`"external_id":"new"`, `"external_id":"new"`), "tasks[1].external_id"},
		} {
			dry := r.do("POST", queue+"/tasks/?dry_run=1", r.a.token, tc.body)
			wet := r.do("POST", queue+"/tasks/", r.a.token, tc.body)
			if dry.code != wet.code || dry.body != wet.body || dry.code < 400 || !strings.Contains(dry.body, tc.field) {
				t.Errorf("%s: answered %d %s, without dry_run %d %s", claim, dry.code, dry.body, wet.code, wet.body)
			}
		}
		starts(batch(`"external_id":"new"`), 101)
		starts(batch(`"external_id":"new"`), 101) // it was not kept
		r.do("PUT", queue, r.a.token, `{"status":"off"}`).want(200)
		told = r.do("POST", queue+"/tasks/?dry_run=1", r.a.token, batch(``)).want(200).objects()
		if told[0]["start_utc"] != "" || told[0]["misses_deadline"] != false {
			t.Errorf("of a queue that is off: %v", told)
		}
		r.do("POST", queue+"/tasks/?dry_run=perhaps", r.a.token, batch(``)).refused(400, "validation_error")
		if total := r.do("GET", queue+"/tasks/?status=scheduled", r.a.token, "").want(200).header.Get("X-Total-Count"); total != "2" {
			t.Errorf("%s tasks wait", total)
		}
	})
}

// TestOutlook: how long attempts last is what those of the last hour did.
func TestOutlook(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		r.callOnce(queue)
		found, err := r.store.Queues(t.Context(), r.a.client.ID, scheduler.Page{Size: 1})
		if err != nil {
			t.Fatal(err)
		}
		o, err := r.store.Outlook(t.Context(), r.a.client.ID, found.Rows[0].ID, nil)
		if err != nil || o.Lasts < 1200*time.Millisecond || o.Lasts > 1201*time.Millisecond || o.Queue.Name != "q" {
			t.Errorf("an attempt lasts %s, %v", o.Lasts, err)
		}
	})
}
