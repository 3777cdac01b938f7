package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// audited is how many entries the audit has.
func (r *rig) audited() int {
	r.t.Helper()
	found, err := r.store.Audit(context.Background(), scheduler.AuditFilter{}, scheduler.Page{Number: 1, Size: 1})
	if err != nil {
		r.t.Fatal(err)
	}
	return found.Total
}

// entries reads the audit by the admin API.
func (r *rig) entries(query string) []map[string]any {
	r.t.Helper()
	answer := r.do("GET", "/api/v2/admin/audit"+query, r.user, "").want(200).object()
	var all []map[string]any
	for _, entry := range answer["ResponseData"].(map[string]any)["Detail"].([]any) {
		all = append(all, entry.(map[string]any))
	}
	return all
}

func TestAudit(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		put := r.do("PUT", queue, r.user, `{"name":"other","concurrent_task_limit":5}`).want(200)
		task := r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, "")).want(201).objects()[0]
		r.do("DELETE", queue+"/tasks/"+jsonNumber(task["id"].(float64)), r.a.token, "").want(204)
		r.do("PUT", queue, r.a.token, `{"concurrent_task_limit":0}`).refused(400, "validation_error")
		r.do("POST", queue+"/tasks/bulk", r.a.token, `{"filter":{},"action":"requeue"}`).want(200)
		const secret = "correct battery horse"
		made := r.do("POST", "/api/v1/admin/clients", r.user, `{"Name":"new","Secret":"`+secret+`","UserID":"`+string(storetest.UserID)+`"}`).want(200)
		rotated := r.do("POST", r.a.path("/webhooks/secrets"), r.a.token, "").want(201)

		var told []string
		for _, e := range r.entries("?order=asc") {
			told = append(told, e["Method"].(string)+" "+e["Path"].(string)[strings.LastIndex(e["Path"].(string), "/"):])
		}
		if got, want := strings.Join(told, ", "), "POST /task_scheduler, PUT "+queue[strings.LastIndex(queue, "/"):]+", POST /tasks, DELETE /"+
			jsonNumber(task["id"].(float64))+", POST /bulk, POST /clients, POST /secrets"; got != want {
			t.Errorf("the audit has %s, not %s", got, want)
		}
		entries := r.entries("?request_id=" + put.header.Get("X-Request-Id"))
		if len(entries) != 1 {
			t.Fatalf("one request has %d entries", len(entries))
		}
		e := entries[0]
		before, after := e["Before"].(map[string]any), e["After"].(map[string]any)
		if before["Name"] != "q" || after["Name"] != "other" || after["Limit"] != 5.0 || len(after) != 2 || len(before) != 2 {
			t.Errorf("it tells of %v and %v", before, after)
		}
		if e["UserID"] != string(storetest.UserID) || e["ByClient"] != nil || e["ClientID"] != string(r.a.client.ID) || e["Address"] != "192.0.2.1" {
			t.Errorf("it was %v", e)
		}
		cancelled := r.entries("?client_id=" + string(r.a.client.ID) + "&per_page=3")[2]
		if cancelled["ByClient"] != string(r.a.client.ID) || cancelled["Before"].(map[string]any)["Status"] != "scheduled" || cancelled["After"].(map[string]any)["Status"] != "finished" {
			t.Errorf("the cancelled task is %v", cancelled)
		}
		everything := r.do("GET", "/api/v1/admin/audit", r.user, "").want(200).body
		for _, hidden := range []string{secret, "argon2", "Secret\"", strings.TrimPrefix(rotated.object()["secret"].(string), "whsec_")} {
			if strings.Contains(everything, hidden) {
				t.Errorf("the audit tells %q", hidden)
			}
		}
		if !strings.Contains(made.body, secret) {
			t.Error("the test asks for nothing")
		}
		if page := r.entries("?per_page=2"); len(page) != 2 || len(r.entries("?after_id="+jsonNumber(page[1]["ID"].(float64)))) != len(told)-2 {
			t.Error("its cursor leads elsewhere")
		}
		if n := len(r.entries("?to=" + strings.ReplaceAll(time.Now().UTC().Add(-time.Hour).Format(dateForm), " ", "%20"))); n != 0 {
			t.Errorf("%d entries of an hour ago", n)
		}
		for query, name := range map[string]string{"?user_id=x": "user_id", "?from=yesterday": "from", "?who=me": "who"} {
			if a := r.do("GET", "/api/v2/admin/audit"+query, r.user, "").want(400); !strings.Contains(a.body, name) {
				t.Errorf("%s: %s", query, a.body)
			}
		}
	})
}

// The audit tells of every account, and so is the master's alone.
func TestAuditIsTheMasters(t *testing.T) {
	parent := storetest.MasterID
	c := New(Options{}).echo.NewContext(httptest.NewRequestWithContext(t.Context(), "GET", "/api/v2/admin/audit", nil), httptest.NewRecorder())
	below := caller{Principal: scheduler.Principal{Account: scheduler.Account{ParentID: &parent}}}
	if err := (audit{}).list(c, below); scheduler.KindOf(err) != scheduler.Forbidden {
		t.Errorf("an account below is answered %v", err)
	}
}
