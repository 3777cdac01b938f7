package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// otherValues are values that members of requests can be changed to. A member
// of several resources is one of the resource, after its last word.
var otherValues = map[string]any{
	"name": "other", "comment": "other", "status": "on", "concurrent_task_limit": 7.0, "start_rate": 2.5, "asr_min_percent": 40.0,
	"asr_basis": "asr", "asr_window_s": 900.0, "asr_min_attempts": 40.0, "asr_pause_s": 400.0, "priority": 9.0, "before_wait_ms": 500.0,
	"timezone": "Europe/Rome", "conditions": []any{map[string]any{
		"start_dow": 0.0, "end_dow": 0.0, "start_mday": 0.0, "end_mday": 0.0, "start_time": "09:00:00", "end_time": "18:00:00", "month": 0.0, "start_datetime": "", "end_datetime": "",
	}},
	"label": "other", "type": "phone", "extension status": "blocked", "caller_id_name": "Other", "ani": "+442079460999", "concurrent_call_limit": 3.0, "trunk": "pbx",
	"a_number": "103", "b_number": "104", "try_count": 4.0, "try_again_pause": "70", "try_count_caller": 2.0, "try_again_pause_caller": 80.0,
	"url_before": "https://example.com/b", "url_before_again": "https://example.com/a", "url_success": "https://example.com/s", "url_after": "https://example.com/f",
	"start_time_utc": "2035-02-03 04:05:06", "deadline_utc": "2035-12-31 23:59:59", "external_id": "other", "variables": map[string]any{"k": "v"},
	"attempts_src_ani_numbers": []any{"OWN"}, "attempts_dst_ani_numbers": []any{"OWN"},
	"callback_params": map[string]any{
		"caller_id_name": "Shop", "caller_id_number": "OWN", "extended_a_numbers": []any{"105"}, "src_ani": "OWN", "dst_ani": "OWN", "wait_for_pickup": 20.0,
		"call_duration": 60.0, "announce_sound_id": "hello", "dst_announce_sound_id": "hello", "dst_dtmf": "1", "allow_public_transfer": true,
	},
	"paused": true, "enabled": true, "max_in_flight": 5.0, "max_rate": 2.0,
	"Address": "1 High Street", "CompanyName": "Other", "Email": "other@example.com", "Username": "another", "Firstname": "Zoë", "Lastname": "Other",
	"LanguageID": "14588e9f-1d88-4fba-b1b8-2fea9d02ce29", "MobilePhone": "+39 333 1234567", "TimeZone": "Europe/Paris", "TimeZoneInJavaFormat": "Asia/Tokyo",
	"WebSite": "https://www.example.com", "Name": "other",
	"TaskID": string(scheduler.JobPurgeHistory), "Frequency": "WEEKLY", "StartDate": "2035-02-03T04:05:06.0000000+00:00", "FinishDate": "2036-02-03T04:05:06.0000000+00:00",
	"Parameters": `{"days":40}`, "ContentType": "application/json", "Notification": "WEBHOOK", "NotificationUrl": "https://receiver.example.com/task",
	"DefaultRegion": "IT", "WebhookFormat": "form", "MaxConcurrentCalls": 9.0, "RequestsPerHour": 1000.0, "AllowedCallerIDs": []any{"+442079460001"},
}

// TestPutBack reads every resource that can be changed, changes one member of
// what it read, and puts the whole back: that one is changed, and nothing else.
func TestPutBack(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		w := newWorld(r)
		for _, name := range documentedRoutes(t) {
			pattern, isPut := strings.CutPrefix(name, "PUT ")
			if !isPut {
				continue
			}
			all := members(jsonBody(operation(t, name)))
			for _, member := range slices.Sorted(maps.Keys(all)) {
				if !all[member].ReadOnly && !all[member].WriteOnly {
					t.Run(pattern+" "+member, func(t *testing.T) {
						r.t = t
						w.putBack(t, pattern, member)
					})
				}
			}
		}
	})
}

func (w world) putBack(t *testing.T, pattern, member string) {
	r := w.r
	path, value := w.path(pattern), w.other(t, pattern, member)
	before := r.detail(path, "GET", "")
	if member == "status" && before[member] == value {
		value = "off"
	}
	want := maps.Clone(before)
	want[member] = value
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	r.detail(path, "PUT", string(body))
	after := r.detail(path, "GET", "")
	if got := fmt.Sprint(after[member]); got != fmt.Sprint(value) {
		t.Errorf("it is %s, not %v", got, value)
	}
	for name := range before {
		follows := slices.Contains(followers[member], name) || slices.Contains([]string{"update_date_utc", "DateModified", "LastModifiedBy"}, name)
		if name != member && !follows && fmt.Sprint(after[name]) != fmt.Sprint(before[name]) {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
}

// followers are answered members that change with another.
var followers = map[string][]string{
	"a_number": {"a_number_e164"}, "b_number": {"b_number_e164"}, "start_time_utc": {"next_try_utc", "blocked_by"}, "paused": {"state"},
	"status": {"hold"}, "concurrent_task_limit": {"hold"}, "asr_min_percent": {"hold"}, "asr_basis": {"hold"}, "asr_window_s": {"hold"}, "asr_min_attempts": {"hold"}, "asr_pause_s": {"hold"},
	"Enabled": {"Status", "NextRunOn"}, "StartDate": {"NextRunOn"}, "Frequency": {"NextRunOn"}, "TimeZone": {"TimeZoneInJavaFormat"}, "TimeZoneInJavaFormat": {"TimeZone"}, "interval_id": {"hold"}, "start_rate": {"hold"}, "priority": {"hold"},
}

// other is the value that a member is changed to.
func (w world) other(t *testing.T, pattern, member string) any {
	t.Helper()
	var value any
	switch resource := pattern[:strings.LastIndexByte(pattern, '/')]; {
	case member == "extension_id", member == "DefaultExtensionID":
		another := w.r.do("POST", w.r.a.path("/extension"), w.r.user, `{"ani":"`+w.r.a.extension.ANI+`"}`).want(201)
		return number(another.id())
	case member == "UserID":
		return string(storetest.UserID) // it has no other
	case member == "Enabled":
		return strings.HasSuffix(resource, "/clients") // others need this one
	case member == "interval_id":
		return number(w.interval)
	case member == "status" && strings.HasSuffix(resource, "/extension"):
		value = otherValues["extension status"]
	default:
		value = otherValues[member]
	}
	if value == nil {
		t.Fatalf("there is no other value of %s: add one to otherValues", member)
	}
	text, _ := json.Marshal(value)
	_ = json.Unmarshal([]byte(strings.ReplaceAll(string(text), "OWN", w.r.a.extension.ANI)), &value)
	return value
}

// number is the id of a row as it is decoded.
func number(id string) float64 {
	var n float64
	_, _ = fmt.Sscan(id, &n)
	return n
}

// detail asks for a resource with a user's token and returns it.
func (r *rig) detail(path, method, body string) map[string]any {
	r.t.Helper()
	told := r.do(method, path, r.user, body).want(200).object()
	if isAdmin(path) {
		told = told["ResponseData"].(map[string]any)["Detail"].(map[string]any)
	}
	return told
}
