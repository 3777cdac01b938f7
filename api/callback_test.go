package api

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
)

// lines is a dialer whose calls last until they are cut, or the test is over.
type lines struct{ dialled chan scheduler.Call }

func (l lines) Room() int { return 100 }

func (l lines) Dial(ctx context.Context, c scheduler.Call, _ func(time.Time)) scheduler.Outcome {
	l.dialled <- c
	<-ctx.Done()
	return scheduler.Outcome{Cut: scheduler.CutAPI, EndedAt: time.Now(), Legs: []scheduler.Leg{{
		Role: scheduler.LegA, Try: 1, Number: c.A[0].Dial(), StartedAt: time.Now(), EndedAt: time.Now(), Disposition: scheduler.Cancelled, By: scheduler.ByUs,
	}}}
}

// dispatch gives the server a node that calls; what is dialled arrives at the
// channel. When the test ends, so do the calls.
func (r *rig) dispatch() (*scheduler.Dispatcher, chan scheduler.Call) {
	r.t.Helper()
	log := slog.New(slog.DiscardHandler)
	lease, clock, dialled := scheduler.NewLease(), &scheduler.Clock{}, make(chan scheduler.Call, 100)
	recorder := scheduler.NewRecorder(scheduler.RecorderOptions{Results: r.store, Lease: lease, Now: clock.Now, Log: log})
	d := scheduler.NewDispatcher(scheduler.DispatcherOptions{
		Tasks: r.store, Callbacks: r.store, Recorder: recorder, Dialer: lines{dialled}, Lease: lease, Workers: 3, Now: clock.Now,
		Stray: time.Minute, Log: log,
	})
	node := scheduler.NewNode(scheduler.NodeOptions{
		Name: "caller", Length: time.Hour, Nodes: r.store, Lease: lease, Clock: clock, Time: r.store.Time,
		Left: func([]scheduler.Task) {}, Log: log,
	})
	if _, err := node.Join(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		recorder.Run(context.Background())
		close(done)
	}()
	r.t.Cleanup(func() {
		d.Cut(scheduler.CutShutdown)
		d.Drain(context.Background())
		recorder.Close()
		<-done
	})
	o := r.server.o
	o.Caller = d
	r.server = New(o)
	return d, dialled
}

func (p party) callback() string { return fmt.Sprintf("/extension/%d/callback/", p.extension.ID) }

func TestCallback(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		_, dialled := r.dispatch()
		body := `{"src_num":["+442079460001","101","+442079460001"],"dst_num":"020 7946 0002","extended_a_numbers":["102"],"caller_id_name":"Shop",
			"src_ani":"` + r.a.extension.ANI + `","wait_for_pickup":"20","call_duration":60,"dst_dtmf":"1w2","allow_public_transfer":true}`
		a := r.do("POST", r.a.callback(), r.a.token, body).want(201)
		made := a.object()
		id := made["call_id"].(string)
		if made["call_api_id"] != a.header.Get("X-Request-Id") || a.header.Get("X-Ringback-Ignored") != "allow_public_transfer" {
			t.Errorf("answered %v, %s", a.header, a.body)
		}
		call := <-dialled
		if len(call.A) != 3 || call.A[0].E164 != "+442079460001" || call.A[2].Given != "102" || call.B.E164 != "+442079460002" || call.Ring != 20*time.Second ||
			call.MaxDuration != time.Minute || call.CallerA.Number != r.a.extension.ANI || call.DigitsB == "" || call.Task != 0 || string(call.ID) != id {
			t.Errorf("dialled %+v", call)
		}
		told := r.do("GET", r.a.path("/call_history/"+strings.ToUpper(id)), r.a.token, "").want(200).object()
		if told["task_id"] != 0.0 || told["scheduler_id"] != 0.0 || told["extension_id"] != float64(r.a.extension.ID) || told["hangup_time_gmt"] != nil ||
			told["duration"] != nil || told["from_username"] != "+442079460001" || told["init_time_gmt"] == nil || told["result"] != "" {
			t.Errorf("in the history it is %v", told)
		}
		if list := r.do("GET", r.a.path("/call_history/"), r.a.token, "").want(200).object()["call_history"].([]any); len(list) != 1 {
			t.Errorf("the history is %v", list)
		}
		r.do("POST", "/api/ver1.0"+r.a.callback(), r.user, `{"src_num":["101"],"dst_num":"102"}`).want(201)
		r.do("PUT", r.a.path("/extension/"+fmt.Sprint(r.a.extension.ID)), r.user, `{"concurrent_call_limit":2}`).want(200)
		over := r.do("POST", r.a.callback(), r.a.token, `{"src_num":["101"],"dst_num":"102"}`)
		over.refused(429, "rate_limit_exceeded")
		if !strings.Contains(over.body, "extension_limit: 2 of 2 calls") {
			t.Errorf("over the limit it says %s", over.body)
		}
		r.do("POST", r.b.callback(), r.b.token, `{"src_num":["101"],"dst_num":"102"}`).want(201)
		over = r.do("POST", r.b.callback(), r.b.token, `{"src_num":["101"],"dst_num":"102"}`)
		if over.refused(429, "rate_limit_exceeded"); !strings.Contains(over.body, "workers: ") {
			t.Errorf("over the workers it says %s", over.body)
		}
	})
}

func TestCallbackIsRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		d, _ := r.dispatch()
		numbers := `"src_num":["101"],"dst_num":"102"`
		for body, want := range map[string]string{
			`{"dst_num":"102"}`:                                                       "src_num is required",
			`{"src_num":[],"dst_num":"102"}`:                                          "src_num is required",
			`{"src_num":["101"]}`:                                                     "dst_num is required",
			`{"src_num":"101","dst_num":"102"}`:                                       "src_num must be a list",
			`{"src_num":["x"],"dst_num":"102"}`:                                       "src_num must be a phone number",
			`{"src_num":["101","102","x"],"dst_num":"103"}`:                           "src_num[2] must be a phone number",
			`{"src_num":["101"],"dst_num":"y"}`:                                       "dst_num must be a phone number",
			`{` + numbers + `,"extended_a_numbers":["x"]}`:                            "extended_a_numbers[0] must be a phone number",
			`{` + numbers + `,"wait_for_pickup":4}`:                                   "wait_for_pickup must be between 5 and 120",
			`{` + numbers + `,"src_ani":"+15550100100"}`:                              "src_ani is not a caller number",
			`{` + numbers + `,"announce_sound_id":"nobody's"}`:                        "announce_sound_id",
			`{` + numbers + `,"url_after":"https://example.com"}`:                     "url_after is not a known name",
			`{"src_num":["101"` + strings.Repeat(`,"101"`, 11) + `],"dst_num":"102"}`: "src_num must be at most",
		} {
			if a := r.do("POST", r.a.callback(), r.a.token, body).want(400); !strings.Contains(a.object()["message"].(string), want) {
				t.Errorf("%s is refused with %s, want %s", body, a.body, want)
			}
		}
		r.do("POST", r.a.callback(), r.b.token, `{`+numbers+`}`).refused(404, "not_found")
		r.do("POST", "/extension/999/callback", r.user, `{`+numbers+`}`).refused(404, "not_found")
		r.do("POST", "/extension/x/callback", r.user, `{`+numbers+`}`).refused(404, "not_found")
		r.do("PUT", r.a.path("/extension/"+fmt.Sprint(r.a.extension.ID)), r.a.token, `{"status":"blocked"}`).want(200)
		r.do("POST", r.a.callback(), r.a.token, `{`+numbers+`}`).refused(400, "validation_error")
		o := r.server.o
		o.Holding = func() []scheduler.Hold {
			return []scheduler.Hold{{Gate: scheduler.GateDialer, Detail: "no trunk is up"}}
		}
		r.server = New(o)
		r.do("POST", r.b.callback(), r.b.token, `{`+numbers+`}`).refused(409, "conflict")
		if d.InProgress() != 0 {
			t.Errorf("%d calls are under way", d.InProgress())
		}
	})
}

func TestLiveCalls(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		d, dialled := r.dispatch()
		r.store.OnHangUp(d.HangUp)
		id := r.do("POST", r.a.callback(), r.a.token, `{"src_num":["101"],"dst_num":"102"}`).want(201).object()["call_id"].(string)
		<-dialled
		list := r.do("GET", r.a.path("/call/"), r.a.token, "").want(200)
		if calls := list.objects(); len(calls) != 1 || calls[0]["call_uuid"] != id || calls[0]["hangup_time_gmt"] != nil || list.header.Get("X-Total-Count") != "1" {
			t.Errorf("under way are %s", list.body)
		}
		path := r.a.path("/call/" + strings.ToUpper(id))
		if call := r.do("GET", path, r.user, "").want(200).object(); call["call_uuid"] != id || call["bridged_time_gmt"] != nil {
			t.Errorf("it is %v", call)
		}
		foreign := strings.Replace(path, string(r.a.client.ID), string(r.b.client.ID), 1)
		for _, method := range []string{"GET", "DELETE"} {
			r.do(method, foreign, r.b.token, "").refused(404, "not_found")
			r.do(method, r.a.path("/call/7"), r.a.token, "").refused(404, "not_found")
		}
		r.do("DELETE", path, r.a.token, "").want(204)
		for r.do("GET", path, r.a.token, "").code == 200 && t.Context().Err() == nil {
			continue // its end is being written
		}
		if calls := r.do("GET", r.a.path("/call/"), r.a.token, "").want(200).objects(); len(calls) != 0 {
			t.Errorf("under way are still %v", calls)
		}
		over := r.do("GET", r.a.path("/call_history/"+id), r.a.token, "").want(200).object()
		if over["hangup_disposition"] != "internal_cancel" || over["hangup_time_gmt"] == nil {
			t.Errorf("it ended as %v", over)
		}
		r.do("DELETE", path, r.a.token, "").refused(404, "not_found")
	})
}
