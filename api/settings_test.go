package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringback/scheduler"
)

// settingsOf is the path of the settings of a client.
func settingsOf(p party) string {
	return "/api/v1/admin/clients/" + string(p.client.ID) + "/settings"
}

func TestSettings(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		was := detail[map[string]any](r.do("GET", settingsOf(r.a), r.user, ""))
		want := map[string]any{
			"DefaultRegion": "", "DefaultExtensionID": nil, "WebhookFormat": "json", "MaxConcurrentCalls": nil, "RequestsPerHour": 36000.0, "AllowedCallerIDs": []any{},
		}
		if fmt.Sprint(was) != fmt.Sprint(want) {
			t.Errorf("a new client has %v, want %v", was, want)
		}
		t.Run("change, each without the others, and read and put back", func(t *testing.T) {
			r.t = t
			put := func(body string) map[string]any {
				return detail[map[string]any](r.do("PUT", settingsOf(r.a), r.user, body))
			}
			put(`{"defaultregion":"it","AllowedCallerIDs":["02 1234567","+442079460000"]}`)
			put(fmt.Sprintf(`{"DefaultExtensionID":"%d","Unknown":1}`, r.a.extension.ID))
			a := r.do("GET", settingsOf(r.a), r.user, "")
			set := detail[map[string]any](a)
			if set["DefaultRegion"] != "IT" || set["DefaultExtensionID"] != float64(r.a.extension.ID) || len(set["AllowedCallerIDs"].([]any)) != 2 {
				t.Errorf("it is %v", set)
			}
			whole := string(mustEncode(t, set))
			if again := put(whole); fmt.Sprint(again) != fmt.Sprint(set) {
				t.Errorf("put back it is %v", again)
			}
			if again := put(`{"DefaultRegion":null,"DefaultExtensionID":null,"AllowedCallerIDs":null}`); fmt.Sprint(again) != fmt.Sprint(want) {
				t.Errorf("unset it is %v", again)
			}
		})
		t.Run("are a user's alone", func(t *testing.T) {
			r.t = t
			r.do("GET", settingsOf(r.a), r.a.token, "").failed(403, "ACCESS_DENIED")
			r.do("PUT", settingsOf(r.a), r.a.token, `{"DefaultRegion":"IT"}`).failed(403, "ACCESS_DENIED")
		})
		t.Run("of nobody are not found", func(t *testing.T) {
			r.t = t
			for _, id := range []string{"7", "00000000-0000-7000-8000-000000000000"} {
				r.do("PUT", "/api/v1/admin/clients/"+id+"/settings", r.user, `{}`).failed(404, "CLIENT_NOT_FOUND")
			}
		})
		t.Run("the calls at one time", func(t *testing.T) {
			r.t = t
			if set := detail[map[string]any](r.do("PUT", settingsOf(r.a), r.user, `{"MaxConcurrentCalls":"3"}`)); set["MaxConcurrentCalls"] != 3.0 {
				t.Errorf("it is %v", set)
			}
			if set := detail[map[string]any](r.do("PUT", settingsOf(r.a), r.user, `{"WebhookFormat":"form"}`)); set["WebhookFormat"] != "form" {
				t.Errorf("it is %v", set)
			}
			if set := detail[map[string]any](r.do("PUT", settingsOf(r.a), r.user, `{"WebhookFormat":null}`)); set["WebhookFormat"] != "json" {
				t.Errorf("it is %v", set)
			}
			if set := detail[map[string]any](r.do("PUT", settingsOf(r.a), r.user, `{"MaxConcurrentCalls":null}`)); set["MaxConcurrentCalls"] != nil {
				t.Errorf("it is %v", set)
			}
		})
		for body, want := range map[string]string{
			`{"MaxConcurrentCalls":0}`:                                 "MaxConcurrentCalls must be at least 1: to start nothing, switch the schedulers off",
			`{"DefaultRegion":"XX"}`:                                   "DefaultRegion must be a region",
			`{"WebhookFormat":"xml"}`:                                  "WebhookFormat must be json or form",
			`{"RequestsPerHour":0}`:                                    "RequestsPerHour must be between 1 and 100000000",
			`{"DefaultRegion":1}`:                                      "DefaultRegion must be a string",
			fmt.Sprintf(`{"DefaultExtensionID":%d}`, r.b.extension.ID): "DefaultExtensionID is not an extension of this client",
			`{"AllowedCallerIDs":["12345","x"]}`:                       "AllowedCallerIDs[1] must be a phone number",
			`{"AllowedCallerIDs":"12345"}`:                             "AllowedCallerIDs must be a list",
			`{"AllowedCallerIDs":[` + strings.Repeat(`"12345",`, 1000) + `"12345"]}`: "AllowedCallerIDs must be at most 1000 numbers",
		} {
			r.t = t
			if reason := r.do("PUT", settingsOf(r.a), r.user, body).failed(400, "VALIDATION_FAILED"); !strings.Contains(reason, want) {
				t.Errorf("%.60s is refused with %q, want %q", body, reason, want)
			}
		}
	})
}

// TestSettingsAtIntake: tasks are read as the settings of their client say,
// with any token.
func TestSettingsAtIntake(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		post := func(token, task string) reply {
			return r.do("POST", queue+"/tasks/", token, `{"tasks":[{"b_number":"102",`+task+`}]}`)
		}
		if faults := post(r.a.token, `"a_number":"101"`).refused(400, "validation_error"); faults["tasks[0].extension_id"] == "" {
			t.Errorf("without a default extension the faults are %v", faults)
		}
		own := fmt.Sprintf(`"extension_id":%d,`, r.a.extension.ID)
		other := `"a_number":"101","callback_params":{"src_ani":"+442079460001"}`
		post(r.a.token, own+other).refused(400, "caller_id_not_allowed")
		r.do("PUT", settingsOf(r.a), r.user,
			fmt.Sprintf(`{"DefaultRegion":"IT","DefaultExtensionID":%d,"AllowedCallerIDs":["02 1234567","+44 20 7946 0001"]}`, r.a.extension.ID)).want(200)
		for whose, token := range map[string]string{"its own": r.a.token, "a user's": r.user} {
			task := post(token, `"a_number":"02 7654321"`).want(201).objects()[0]
			if task["a_number_e164"] != "+39027654321" || task["extension_id"] != float64(r.a.extension.ID) {
				t.Errorf("with %s token it is %v", whose, task)
			}
		}
		post(r.a.token, other).want(201)
		post(r.a.token, `"a_number":"101","attempts_dst_ani_numbers":["+39021234567","02 1234567","`+r.a.extension.ANI+`"]`).want(201)
		post(r.a.token, `"a_number":"101","callback_params":{"src_ani":"+442079460002"}`).refused(400, "caller_id_not_allowed")
		if task := r.do("POST", r.queue(r.b, `{"name":"q"}`)+"/tasks/", r.b.token,
			fmt.Sprintf(`{"tasks":[{"a_number":"020 7946 0001","b_number":"102","extension_id":%d}]}`, r.b.extension.ID)).want(201).objects()[0]; task["a_number_e164"] != "+442079460001" {
			t.Errorf("another client's is %v", task)
		}
		ext := r.a.path("/extension/" + fmt.Sprint(r.a.extension.ID))
		r.do("DELETE", ext, r.a.token, "").want(204)
		if set := detail[map[string]any](r.do("GET", settingsOf(r.a), r.user, "")); set["DefaultExtensionID"] != nil {
			t.Errorf("with the default extension deleted it is %v", set)
		}
		if faults := post(r.a.token, `"a_number":"101"`).refused(400, "validation_error"); faults["tasks[0].extension_id"] != "is required" {
			t.Errorf("with the default extension deleted the faults are %v", faults)
		}
	})
}

func mustEncode(t *testing.T, v any) []byte {
	t.Helper()
	encoded, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// A sub-account's user does not reach the settings of its parent's clients.
func TestSettingsReach(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		stranger := scheduler.AccountID(scheduler.NewGUID(date2026))
		_, err := r.store.UpdateSettings(t.Context(), stranger, r.a.client.ID, func(s *scheduler.Settings) error {
			s.DefaultRegion = "IT"
			return nil
		})
		if scheduler.KindOf(err) != scheduler.NotFound {
			t.Errorf("another account's: %v", err)
		}
		if set := detail[map[string]any](r.do("GET", settingsOf(r.a), r.user, "")); set["DefaultRegion"] != "" {
			t.Errorf("it changed to %v", set)
		}
	})
}

// TestLimitsHold: what a limit holds says so, and nothing else does.
func TestLimitsHold(t *testing.T) {
	for gate, set := range map[string]func(r *rig){
		"extension_limit": func(r *rig) {
			r.do("PUT", r.a.path("/extension/"+fmt.Sprint(r.a.extension.ID)), r.user, `{"concurrent_call_limit":1}`).want(200)
		},
		"client_limit": func(r *rig) { r.do("PUT", settingsOf(r.a), r.user, `{"MaxConcurrentCalls":1}`).want(200) },
	} {
		t.Run(gate, func(t *testing.T) {
			each(t, func(t *testing.T, r *rig) {
				set(r)
				queue := r.queue(r.a, `{"name":"q","status":"on"}`)
				r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201)
				second := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, "")).want(201).objects()[0]
				started := r.claim()
				if len(started) != 1 {
					t.Fatalf("%d started", len(started))
				}
				blocked := func(want ...string) {
					t.Helper()
					task := r.do("GET", queue+"/task/"+jsonNumber(second["id"].(float64)), r.a.token, "").object()
					var gates []string
					for _, b := range task["blocked_by"].([]any) {
						if b.(map[string]any)["until_utc"] == "" { // else it is free, and looked at again then
							gates = append(gates, fmt.Sprint(b.(map[string]any)["gate"]))
						}
					}
					if task["status"] != "scheduled" || !slices.Equal(gates, want) {
						t.Errorf("the second task is %s, blocked by %q, want %q", task["status"], gates, want)
					}
				}
				blocked(gate) // whether or not a claim has looked
				list := r.do("GET", r.a.path("/task_scheduler/"), r.a.token, "").objects()
				for _, q := range []map[string]any{r.do("GET", queue, r.a.token, "").object(), list[len(list)-1]} {
					if hold, _ := q["hold"].(map[string]any); hold["gate"] != gate || hold["until_utc"] != "" {
						t.Errorf("the scheduler is held by %v", q["hold"])
					}
				}
				r.do("PUT", queue, r.a.token, `{"status":"off"}`).want(200)
				blocked("scheduler_off", gate)
				r.do("PUT", queue, r.a.token, `{"status":"on"}`).want(200)
				r.apply(started[0].Transition.Task.Lose(started[0].Transition.At))
				blocked()
			})
		})
	}
}
