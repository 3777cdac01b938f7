package webhooks_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/scheduler"
	"ringback/webhooks"
)

// wireEvent is the event as it is documented.
type wireEvent struct {
	ID        string   `json:"id"`
	Type      string   `json:"type"`
	Timestamp string   `json:"timestamp"`
	Sequence  int      `json:"sequence"`
	Data      wireData `json:"data"`
}

type wireData struct {
	ClientID      string            `json:"client_id"`
	SchedulerID   int64             `json:"scheduler_id"`
	TaskID        int64             `json:"task_id"`
	ExternalID    string            `json:"external_id"`
	Name          string            `json:"name"`
	Status        string            `json:"status"`
	Attempt       int               `json:"attempt"`
	TryCount      int               `json:"try_count"`
	FinishResult  string            `json:"finish_result"`
	FinishComment string            `json:"finish_comment"`
	CDR           string            `json:"cdr"`
	ANumber       string            `json:"a_number"`
	BNumber       string            `json:"b_number"`
	ExtensionID   int64             `json:"extension_id"`
	Variables     map[string]string `json:"variables"`
}

// sample is an event with every field set.
func sample() scheduler.Event {
	return scheduler.Event{
		Kind: scheduler.EventBefore, At: time.Date(2026, 1, 2, 4, 4, 5, 678_999_999, time.FixedZone("", 3600)), Sequence: 1,
		URL: "https://example.com/hook",
		Task: scheduler.Task{
			ID: 41, ClientID: "0190c0de-0000-7000-8000-000000000001", QueueID: 3, ExtensionID: 7, ExternalID: "x-1", Name: "Rossi",
			ANumber: "+390612345678", BNumber: "101", TryCount: 3, Status: scheduler.Executed, Attempts: 1,
			CallID: "0190c0de00007000800000000000cafe", Variables: map[string]string{"b": "2", "a": "1"},
		},
	}
}

func TestTheBodyIsTheDocumentedOne(t *testing.T) {
	const want = `{"id":"evt_1","type":"task.before","timestamp":"2026-01-02T03:04:05.678Z","sequence":1,` +
		`"data":{"client_id":"0190c0de-0000-7000-8000-000000000001","scheduler_id":3,"task_id":41,"external_id":"x-1",` +
		`"name":"Rossi","status":"executed","attempt":1,"try_count":3,"finish_result":"","finish_comment":"",` +
		`"cdr":"0190c0de00007000800000000000cafe","a_number":"+390612345678","b_number":"101","extension_id":7,` +
		`"variables":{"a":"1","b":"2"}}}`
	if got := string(webhooks.Body(sample(), "evt_1")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTheBodyIsWhatEncodingJSONWrites(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.Kind = rapid.SampledFrom([]scheduler.EventKind{
			scheduler.EventBefore, scheduler.EventBeforeAgain, scheduler.EventSuccess, scheduler.EventAfter}).Draw(t, "kind")
		e.At = time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "at"))
		e.Sequence = rapid.IntRange(1, 1<<30).Draw(t, "sequence")
		e.Task.ID = scheduler.TaskID(rapid.Int64().Draw(t, "task"))
		e.Task.Status = rapid.SampledFrom([]scheduler.Status{scheduler.Executed, scheduler.Finished}).Draw(t, "status")
		e.Task.Result = rapid.SampledFrom([]scheduler.Result{"", scheduler.Success, scheduler.Failure}).Draw(t, "result")
		for _, field := range []*string{&e.Task.ExternalID, &e.Task.Name, &e.Task.Comment, &e.Task.ANumber, &e.Task.BNumber} {
			*field = text.Draw(t, "text")
		}
		e.Task.Variables = rapid.MapOf(text, text).Draw(t, "variables")
		id := webhooks.NewEventID()
		d := e.Task
		want, err := json.Marshal(wireEvent{
			ID: id, Type: "task." + string(e.Kind), Timestamp: e.At.UTC().Format("2006-01-02T15:04:05.000Z"), Sequence: e.Sequence,
			Data: wireData{
				ClientID: string(d.ClientID), SchedulerID: int64(d.QueueID), TaskID: int64(d.ID), ExternalID: d.ExternalID, Name: d.Name,
				Status: string(d.Status), Attempt: d.Attempts, TryCount: d.TryCount, FinishResult: string(d.Result), FinishComment: d.Comment,
				CDR: string(d.CallID), ANumber: d.ANumber, BNumber: d.BNumber, ExtensionID: int64(d.ExtensionID), Variables: d.Variables,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := webhooks.Body(e, id); string(got) != string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestATaskWithoutVariablesHasAnEmptyObject(t *testing.T) {
	e := sample()
	e.Task.Variables = nil
	var got wireEvent
	if err := json.Unmarshal(webhooks.Body(e, "evt_1"), &got); err != nil || got.Data.Variables == nil {
		t.Errorf("variables are %v, %v", got.Data.Variables, err)
	}
}

func TestEventIDsAreDistinctAndSpellable(t *testing.T) {
	form := regexp.MustCompile(`^evt_[a-z2-7]{26}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := webhooks.NewEventID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("event id %q", id)
		}
		seen[id] = true
	}
}

func TestABodyCostsFewAllocations(t *testing.T) {
	e := sample()
	if n := testing.AllocsPerRun(100, func() { webhooks.Body(e, "evt_1") }); n > 3 {
		t.Errorf("a body costs %v allocations", n)
	}
}

func BenchmarkBody(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	for b.Loop() {
		webhooks.Body(e, "evt_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	}
}

func TestAFormTellsWhatTheBodyTells(t *testing.T) {
	e := sample()
	e.Task.Variables = map[string]string{"a": "1 & 2=3", "ключ": "значение"}
	form, err := url.ParseQuery(string(webhooks.FormBody(e, "evt_1")))
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(webhooks.Body(e, "evt_1"), &body); err != nil {
		t.Fatal(err)
	}
	want := url.Values{}
	for name, value := range body {
		if name != "data" && name != "sequence" {
			name = "event_" + name
		}
		if name != "data" {
			want.Set(name, fmt.Sprint(value))
		}
	}
	for name, value := range body["data"].(map[string]any) {
		if name != "variables" {
			want.Set(name, fmt.Sprint(value))
		}
	}
	for name, value := range e.Task.Variables {
		want.Set("variables["+name+"]", value)
	}
	if !reflect.DeepEqual(form, want) {
		t.Errorf("the form is %v, want %v", form, want)
	}
}
