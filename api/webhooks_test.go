package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/webhooks"
)

// refused is a receiver that nobody answers at.
func refused(_ context.Context, w webhooks.Work) webhooks.Try {
	return webhooks.Try{At: time.Now(), Took: time.Millisecond, Error: webhooks.ErrRefused, Remote: w.Delivery.URL}
}

// firstID returns the id of the first of a list.
func (a reply) firstID() string {
	a.t.Helper()
	all := a.objects()
	if len(all) == 0 {
		a.t.Fatal("the list is empty")
	}
	return jsonNumber(all[0]["id"].(float64))
}

// deadEvent lets a task's last event die at a receiver, and returns the task.
func (r *rig) deadEvent(queue, url string) string {
	r.t.Helper()
	task := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, fmt.Sprintf(`"start_time_utc":3600,"url_after":%q`, url))).want(201).objects()[0]
	id := jsonNumber(task["id"].(float64))
	r.do("DELETE", queue+"/task/"+id, r.a.token, "").want(204)
	r.settle(webhooks.Try{At: time.Now(), Status: 410, Error: webhooks.ErrGone, Response: []byte("no \xff more")})
	return id
}

// settle ends everything that is due with one try each.
func (r *rig) settle(try webhooks.Try) int {
	r.t.Helper()
	now := time.Now().Add(time.Second)
	work, _, err := r.store.ClaimDeliveries(r.t.Context(), webhooks.Claim{Now: now, Room: 100, PerOrigin: 16})
	if err != nil {
		r.t.Fatal(err)
	}
	var done []webhooks.Settlement
	for _, w := range work {
		done = append(done, webhooks.Settlement{Delivery: w.Delivery, Try: &try, Verdict: webhooks.Judge(w.Delivery, try, now, 0.5)})
	}
	if _, err := r.store.SettleDeliveries(r.t.Context(), now, done); err != nil {
		r.t.Fatal(err)
	}
	return len(work)
}

func TestDeliveryLog(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		task := r.deadEvent(queue, "https://receiver.example.com/hook")
		r.deadEvent(queue, "https://other.example.com/hook")
		list := func(query string) []string {
			var ids []string
			for _, d := range r.do("GET", r.a.path("/webhooks/deliveries/?"+query), r.a.token, "").want(200).objects() {
				ids = append(ids, jsonNumber(d["id"].(float64)))
			}
			return ids
		}
		all := list("")
		destination := r.do("GET", r.a.path("/webhooks/destinations/"), r.a.token, "").want(200).firstID()
		for query, want := range map[string][]string{
			"state=dead": all, "state=ready&state=held": nil, "type=task.after": all, "type=task.before": nil,
			"task_id=" + task: all[:1], "destination_id=" + destination: all[:1], "error=gone": all, "error=dns": nil,
			"created_from=2020-01-01+00:00:00": all, "created_to=2020-01-01+00:00:00": nil,
			"after_id=" + all[0]: all[1:], "order=desc&per_page=1": all[1:],
		} {
			if got := list(query); !slices.Equal(got, want) {
				t.Errorf("%s selects %v, want %v", query, got, want)
			}
		}
		one := r.do("GET", r.a.path("/webhooks/deliveries/"+all[0]), r.a.token, "").want(200)
		for _, want := range []string{`"state":"dead"`, `"type":"task.after"`, `"status":410`, `"error":"gone"`, `no � more`, `\"type\":\"task.after\"`} {
			if !strings.Contains(one.body, want) {
				t.Errorf("%s lacks %s", one.body, want)
			}
		}
		for query, field := range map[string]string{"state=gone": "state", "type=after": "type", "task_id=x": "task_id", "created_from=now": "created_from", "url=x": "url"} {
			if faults := r.do("GET", r.a.path("/webhooks/deliveries/?"+query), r.a.token, "").refused(400, "validation_error"); faults[field] == "" {
				t.Errorf("%s: %v", query, faults)
			}
		}
	})
}

func TestResendByFilter(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		task := r.deadEvent(queue, "https://receiver.example.com/hook")
		r.deadEvent(queue, "https://other.example.com/hook")
		resend := r.a.path("/webhooks/resend")
		for body, want := range map[string]string{
			`{"dry_run":true}`: `"count":2`, `{"dry_run":true,"filter":{"state":"delivered"}}`: `"count":0`,
			`{"dry_run":true,"filter":{"task_id":` + task + `}}`: `"count":1`, `{"dry_run":true,"filter":{"state":["dead"],"error":"gone"}}`: `"count":2`,
		} {
			if a := r.do("POST", resend, r.a.token, body).want(200); !strings.Contains(a.body, want) {
				t.Errorf("%s: %s", body, a.body)
			}
		}
		if n := r.settle(webhooks.Try{At: time.Now(), Status: 200}); n != 0 {
			t.Fatalf("dry runs sent %d", n)
		}
		if a := r.do("POST", resend, r.a.token, `{}`).want(201); !strings.Contains(a.body, `"count":2`) {
			t.Error(a.body)
		}
		if n := r.settle(webhooks.Try{At: time.Now(), Status: 200}); n != 2 {
			t.Errorf("%d were sent", n)
		}
		id := r.do("GET", r.a.path("/webhooks/deliveries/"), r.a.token, "").want(200).firstID()
		r.do("POST", r.a.path("/webhooks/deliveries/"+id+"/resend"), r.a.token, "").want(201)
		r.settle(webhooks.Try{At: time.Now(), Status: 200})
		if a := r.do("GET", r.a.path("/webhooks/deliveries/"+id), r.a.token, "").want(200); !strings.Contains(a.body, `"tries":3`) {
			t.Error(a.body)
		}
		for body, field := range map[string]string{
			`{"filter":{"state":"ready"}}`: "filter.state", `{"filter":{"type":"after"}}`: "filter.type", `{"filter":{"url":"x"}}`: "filter.url",
			`{"dry_run":"maybe"}`: "dry_run", `{"filter":[]}`: "filter",
		} {
			if faults := r.do("POST", resend, r.a.token, body).refused(400, "validation_error"); len(faults) != 1 {
				t.Errorf("%s: %v, want %s", body, faults, field)
			}
		}
	})
}

func TestDestination(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		r.deadEvent(queue, "https://receiver.example.com/hook")
		path := r.a.path("/webhooks/destinations/") + r.do("GET", r.a.path("/webhooks/destinations/"), r.a.token, "").want(200).firstID()
		if a := r.do("PUT", path, r.a.token, `{"paused":true,"max_in_flight":"4","max_rate":2.5}`).want(200); !strings.Contains(a.body, `"state":"paused"`) ||
			!strings.Contains(a.body, `"max_in_flight":4`) || !strings.Contains(a.body, `"max_rate":2.5`) {
			t.Error(a.body)
		}
		whole := r.do("GET", path, r.a.token, "").want(200).body
		if again := r.do("PUT", path, r.a.token, whole).want(200).body; again != whole {
			t.Errorf("read and put back it is %s, it was %s", again, whole)
		}
		if a := r.do("PUT", path, r.a.token, `{"paused":false,"max_in_flight":null,"max_rate":null}`).want(200); !strings.Contains(a.body, `"state":"active"`) {
			t.Error(a.body)
		}
		for body, field := range map[string]string{
			`{"max_in_flight":0}`: "max_in_flight", `{"max_in_flight":65}`: "max_in_flight", `{"max_rate":0}`: "max_rate", `{"max_rate":"fast"}`: "max_rate",
			`{"max_rate":[]}`: "max_rate", `{"paused":"yes"}`: "paused", `{"enabled":false}`: "enabled", `{"url":"x"}`: "url",
		} {
			if faults := r.do("PUT", path, r.a.token, body).refused(400, "validation_error"); faults[field] == "" {
				t.Errorf("%s: %v", body, faults)
			}
		}
		id := webhooks.DestinationID(0)
		_, _ = fmt.Sscan(path[strings.LastIndex(path, "/")+1:], &id)
		_, err := r.store.UpdateDestination(t.Context(), r.a.client.ID, id, func(d *webhooks.Destination) error {
			d.DisabledAt, d.Failures = time.Now(), 20
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		disabled := r.do("GET", path, r.a.token, "").want(200).body
		r.do("PUT", path, r.a.token, disabled).want(200)
		if a := r.do("GET", path, r.a.token, "").want(200); !strings.Contains(a.body, `"state":"disabled"`) {
			t.Error("read and put back it is enabled: " + a.body)
		}
		if a := r.do("PUT", path, r.a.token, `{"enabled":true}`).want(200); !strings.Contains(a.body, `"state":"active"`) || !strings.Contains(a.body, `"failures":0`) {
			t.Error(a.body)
		}
	})
}

func TestATestEvent(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		var sent []webhooks.Work
		r.server = New(Options{Store: r.store, CheckURL: webhooks.Guard{}.CheckURL, SendEvent: func(_ context.Context, w webhooks.Work) webhooks.Try {
			sent = append(sent, w)
			return webhooks.Try{At: time.Now(), Status: 204}
		}})
		r.deadEvent(r.queue(r.a, `{"name":"q"}`), "https://receiver.example.com/hook")
		path := r.a.path("/webhooks/destinations/") + r.do("GET", r.a.path("/webhooks/destinations/"), r.a.token, "").want(200).firstID() + "/test"
		r.do("POST", path, r.a.token, "").want(200)
		a := r.do("POST", path, r.a.token, `{"url":"https://receiver.example.com/other"}`).want(200)
		if !strings.Contains(a.body, `"status":204`) || len(sent) != 2 || sent[0].Delivery.URL != "https://receiver.example.com:443/" ||
			sent[1].Delivery.URL != "https://receiver.example.com/other" || len(sent[1].Secrets) != 1 ||
			!strings.Contains(string(sent[1].Delivery.Body), `"type":"webhook.test"`) {
			t.Errorf("%s, sent %+v", a.body, sent)
		}
		for _, url := range []string{"https://elsewhere.example.com/", "receiver", "ftp://receiver.example.com:443/", "https://u:p@receiver.example.com/"} {
			if faults := r.do("POST", path, r.a.token, fmt.Sprintf(`{"url":%q}`, url)).refused(400, "validation_error"); faults["url"] == "" {
				t.Errorf("%s: %v", url, faults)
			}
		}
		if len(sent) != 2 {
			t.Error("a refused test was sent")
		}
	})
}

func TestAKeyedResendSendsOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		r.deadEvent(queue, "https://receiver.example.com/hook")
		r.deadEvent(queue, "https://other.example.com/hook")
		for i, want := range []int{2, 0} {
			a := r.keyed(r.a.path("/webhooks/resend"), r.a.token, "k", `{"filter":{"state":["dead","delivered"]}}`).want(201)
			if !strings.Contains(a.body, `"count":2`) || (a.header.Get(headerReplayed) != "") != (i > 0) {
				t.Errorf("answer %d: %s", i+1, a.body)
			}
			if n := r.settle(webhooks.Try{At: time.Now(), Status: 200}); n != want {
				t.Errorf("after answer %d %d were sent, want %d", i+1, n, want)
			}
		}
		one := r.a.path("/webhooks/deliveries/") + r.do("GET", r.a.path("/webhooks/deliveries/"), r.a.token, "").want(200).firstID()
		for _, want := range []int{1, 0} {
			r.keyed(one+"/resend", r.a.token, "one", "").want(201)
			if n := r.settle(webhooks.Try{At: time.Now(), Status: 200}); n != want {
				t.Errorf("%d were sent, want %d", n, want)
			}
		}
	})
}
