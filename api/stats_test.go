package api

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
)

func TestStats(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		empty := r.do("GET", queue+"/stats", r.a.token, "").want(200).object()
		if rate := empty["success_rate"].(map[string]any); rate["percent"] != nil || rate["low_percent"] != 0.0 || rate["high_percent"] != 100.0 {
			t.Errorf("of nothing: %v", rate)
		}
		if a := empty["leg_a"].(map[string]any); a["acd_s"] != nil || a["pdd_ms_p50"] != nil {
			t.Errorf("of nothing: %v", a)
		}
		for range 3 {
			r.callOnce(queue) // busy, rang after 250 ms
		}
		r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201)
		up := r.claim()[0].Transition
		leg := func(role scheduler.Role, talk time.Duration) scheduler.Leg {
			return scheduler.Leg{Role: role, Try: 1, StartedAt: up.At, AnsweredAt: up.At, EndedAt: up.At.Add(talk), Disposition: scheduler.Answered, By: scheduler.ByPeer}
		}
		r.apply(up.Task.End(scheduler.Outcome{
			BridgedAt: up.At, EndedAt: up.At, Legs: []scheduler.Leg{leg(scheduler.LegA, 9500*time.Millisecond), leg(scheduler.LegB, 4*time.Second)},
		}, up.At))
		got := r.do("GET", queue+"/stats/", r.a.token, "").want(200).object()
		a, b := got["leg_a"].(map[string]any), got["leg_b"].(map[string]any)
		for field, want := range map[string]any{
			"attempts": 4.0, "connected": 1.0, "abandoned": 0.0, "tasks_finished": 4.0, "tasks_succeeded": 1.0,
			"success_rate": map[string]any{"percent": 25.0, "low_percent": 4.56, "high_percent": 69.94, "sample": 4.0},
		} {
			if !reflect.DeepEqual(got[field], want) {
				t.Errorf("%s is %v, want %v", field, got[field], want)
			}
		}
		for field, want := range map[string]any{"bids": 4.0, "seizures": 4.0, "answers": 1.0, "losing_forks": 0.0, "acd_s": 9.5, "pdd_sample": 3.0} {
			if a[field] != want {
				t.Errorf("A's %s is %v, want %v", field, a[field], want)
			}
		}
		if a["asr"].(map[string]any)["percent"] != 25.0 || a["ner"].(map[string]any)["percent"] != 100.0 || b["acd_s"] != 4.0 || b["bids"] != 1.0 {
			t.Errorf("A came to %v, B to %v", a, b)
		}
		if ms := a["pdd_ms_p95"].(float64); ms < 239 || ms > 261 {
			t.Errorf("the post-dial delay is %v ms", ms)
		}
		early := r.do("GET", queue+"/stats?from=2020-01-01+10:20:30&to=2020-01-01+10:21:01", r.a.token, "").want(200).object()
		if early["attempts"] != 0.0 || early["from_utc"] != "2020-01-01 10:20:00" || early["to_utc"] != "2020-01-01 10:22:00" {
			t.Errorf("of another time: %v", early)
		}
		for query, field := range map[string]string{
			"from=2026-01-02+00:00:00&to=2026-01-01+00:00:00": "from",
			"from=2024-01-01+00:00:00&to=2026-01-01+00:00:00": "from",
			"from=yesterday": "from", "to=7": "to", "until=x": "until",
		} {
			if faults := r.do("GET", queue+"/stats?"+query, r.a.token, "").refused(400, "validation_error"); len(faults) != 1 || faults[field] == "" {
				t.Errorf("%s: faults %v", query, faults)
			}
		}
		r.do("GET", r.b.path(queue[strings.Index(queue, "/task_scheduler"):])+"/stats", r.b.token, "").refused(404, "not_found")
	})
}
