package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"ringback/scheduler"
)

// Parameters mean the same in JSON and in XML.
func TestParametersInXML(t *testing.T) {
	for name, c := range map[string]struct {
		job       scheduler.JobID
		json, xml string
	}{
		"scalars": {scheduler.JobPurgeHistory, `{"days": 30}`, `<?xml version="1.0" encoding="utf-16"?><x xmlns="urn:any"><days> 30 </days></x>`},
		"nothing": {scheduler.JobCallReport, `{}`, `<Parameters/>`},
		"lists":   {scheduler.JobCallReport, `{"scheduler_ids": [3, 4], "hours": 1}`, `<p><scheduler_ids><id>3</id><id>4</id></scheduler_ids><hours>1</hours></p>`},
		"objects": {scheduler.JobPostTasks,
			`{"scheduler_id": 3, "tasks": [{"a_number": "101", "b_number": "102", "try_count": "2", "variables": {"vip": "yes"}, "callback_params": {"extended_a_numbers": ["103"]}}, {"a_number": "104", "b_number": "105", "name": " x "}]}`,
			`<p><scheduler_id>3</scheduler_id><tasks><task><a_number>101</a_number><b_number>102</b_number><try_count>2</try_count><variables><vip>yes</vip></variables>
			<callback_params><extended_a_numbers><n>103</n></extended_a_numbers></callback_params></task><task><a_number>104</a_number><b_number>105</b_number><name> x </name></task></tasks></p>`},
	} {
		want, wrong := readParameters(c.job, "application/json", c.json)
		if len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
		got, wrong := readParameters(c.job, "application/xml", c.xml)
		if fmt.Sprint(got) != fmt.Sprint(want) || len(wrong) > 0 {
			t.Errorf("%s: %v, want %v; %v", name, got, want, wrong)
		}
	}
}

// FuzzParameters: no Parameters are too much for their readers. What is refused is
// told in a few sentences of a reasonable length; what is taken in XML means what
// its JSON means, and JSON means what it says.
func FuzzParameters(f *testing.F) {
	for job, seed := range []string{
		`{"scheduler_id": 3, "tasks": [{"a_number": "101", "b_number": "102", "try_count": "2", "variables": {"vip": 1e999999}, "callback_params": {"extended_a_numbers": ["103"]}}]}`,
		`{"scheduler_id": 1, "status": "on", "client_id": "01900000-0000-7000-8000-000000000009"}`,
		`{"scheduler_ids": [3, 4], "hours": 24}`, `{"days": 30}`, `{"days": 3e1, "days": 30.0}`, "\ufeff{\"days\": \"\\ud800\"}",
	} {
		f.Add(uint8(job), false, seed)
	}
	for job, seed := range []string{
		`<p><scheduler_id>3</scheduler_id><tasks><task><a_number>101</a_number><b_number>102</b_number><try_count>2</try_count><variables><vip>yes</vip></variables>
			<callback_params><extended_a_numbers><n>103</n></extended_a_numbers></callback_params></task></tasks></p>`,
		`<?xml version="1.0" encoding="utf-16"?><Parameters xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><scheduler_id>1</scheduler_id><status>off</status><client_id xsi:nil="true"/></Parameters>`,
		`<p><scheduler_ids><id> 3 </id><!-- four --><id>4</id></scheduler_ids><hours><![CDATA[24]]></hours></p>`, `<p xmlns="urn:any" days="30"><days>30</days></p>`,
		`<!DOCTYPE p [<!ENTITY a "b">]><p><days>&a;</days></p>`, "\xff\xfe<\x00p\x00/\x00>\x00", "<days>30</days>x<a/>", `<p><days>1<x/></days></p>`,
	} {
		f.Add(uint8(job), true, seed)
	}
	f.Fuzz(func(t *testing.T, n uint8, inXML bool, text string) {
		job, media := scheduler.Catalogue[int(n)%len(scheduler.Catalogue)].ID, mediaJSON
		if inXML {
			media = mediaXML
		}
		got, wrong := readParameters(job, media, text)
		if len(wrong) > 0 {
			if got != nil || len(wrong) > maxFaults+1 {
				t.Fatalf("%d faults beside %v", len(wrong), got)
			}
			for _, w := range wrong {
				if w == "" || !utf8.ValidString(w) || len(w) > 2000 {
					t.Fatalf("it is told %q", w)
				}
			}
			return
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		again, wrong := readParameters(job, mediaJSON, string(written))
		if len(wrong) > 0 || fmt.Sprint(again) != fmt.Sprint(got) {
			t.Fatalf("%s is %v, and in JSON %v, %v", text, got, again, wrong)
		}
		if said := map[string]any{}; !inXML {
			d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
			d.UseNumber()
			if err := d.Decode(&said); err != nil || fmt.Sprint(said) != fmt.Sprint(got) {
				t.Fatalf("%s is %v, and not %v, %v", text, got, said, err)
			}
		}
	})
}
