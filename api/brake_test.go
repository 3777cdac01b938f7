package api

import (
	"strings"
	"testing"

	"ringback/scheduler"
	"ringback/webhooks"
)

// TestBrake lets the network of a queue fail, and looks at what is told of it.
func TestBrake(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q","status":"on","concurrent_task_limit":6,"asr_min_percent":"60","asr_basis":"ner",
			"asr_window_s":"120","asr_min_attempts":3,"asr_pause_s":600}`)
		q := r.do("GET", queue, r.a.token, "").want(200).object()
		for field, want := range map[string]any{
			"asr_min_percent": 60.0, "asr_basis": "ner", "asr_window_s": 120.0, "asr_min_attempts": 3.0, "asr_pause_s": 600.0, "hold": nil,
		} {
			if q[field] != want {
				t.Errorf("%s is %v, want %v", field, q[field], want)
			}
		}
		for range 4 {
			r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"due"`)).want(201)
		}
		started := r.claim()
		r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"waits"`)).want(201)
		for _, s := range started[:3] {
			r.apply(s.Transition.Task.End(scheduler.Outcome{EndedAt: s.Transition.At, Legs: []scheduler.Leg{{
				Role: scheduler.LegA, Try: 1, StartedAt: s.Transition.At, EndedAt: s.Transition.At, Disposition: scheduler.Congestion, SIP: 503,
			}}}, s.Transition.At))
		}
		shown := func(status string, gates string) {
			t.Helper()
			list := r.do("GET", queue+"/tasks/?name=waits&status="+status, r.a.token, "").want(200)
			if total := list.header.Get("X-Total-Count"); total != "1" {
				t.Fatalf("%s tasks are %s", total, status)
			}
			var told []string
			for _, gate := range list.objects()[0]["blocked_by"].([]any) {
				told = append(told, gate.(map[string]any)["gate"].(string))
			}
			if list.objects()[0]["status"] != status || strings.Join(told, " ") != gates {
				t.Errorf("it is %v, blocked by %v", list.objects()[0]["status"], told)
			}
			counts := r.do("GET", queue, r.a.token, "").want(200).object()["counts"].(map[string]any)
			if counts[status] != 1.0 {
				t.Errorf("counts %v", counts)
			}
		}
		shown("delayed_asr", "asr")
		hold := r.do("GET", queue, r.a.token, "").want(200).object()["hold"].(map[string]any)
		if hold["gate"] != "asr" || hold["until_utc"] == "" || hold["detail"] != "NER 0 % of 3 attempts in 2 min, needs 60 %" {
			t.Errorf("held by %v", hold)
		}
		if len(r.claim()) != 0 {
			t.Error("a task started past the brake")
		}
		r.do("PUT", queue, r.a.token, `{"concurrent_task_limit":1}`).want(200)
		shown("delayed_asr", "asr concurrent")
		reset := r.do("POST", queue+"/asr_reset", r.a.token, "").want(200).object()
		if reset["hold"] != nil || reset["asr_min_percent"] != 60.0 {
			t.Errorf("after the reset: %v", reset)
		}
		shown("delayed_concurrent_task", "concurrent")
		r.do("POST", queue+"/asr_reset", r.b.token, "").refused(404, "client_not_found")
		r.do("POST", r.b.path(queue[strings.Index(queue, "/task_scheduler"):])+"/asr_reset", r.b.token, "").refused(404, "not_found")
		if q := r.do("PUT", queue, r.a.token, `{"asr_min_percent":null,"asr_basis":"asr"}`).want(200).object(); q["asr_min_percent"] != nil || q["asr_basis"] != "asr" {
			t.Errorf("became %v", q)
		}
	})
}

// TestHolding: what holds the node stands behind what holds the queue.
func TestHolding(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.server = New(Options{Store: r.store, CheckURL: webhooks.Guard{}.CheckURL, Holding: func() []scheduler.Hold {
			return []scheduler.Hold{{Gate: scheduler.GateWorkers, Detail: "this node has 1 of 1 calls in progress"}}
		}})
		queue := r.queue(r.a, `{"name":"q","status":"off"}`)
		told := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201).objects()[0]
		gates := told["blocked_by"].([]any)
		if len(gates) != 2 || gates[0].(map[string]any)["gate"] != "scheduler_off" || gates[1].(map[string]any)["gate"] != "workers" {
			t.Errorf("blocked by %v", gates)
		}
	})
}
