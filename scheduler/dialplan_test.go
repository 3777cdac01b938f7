package scheduler

import (
	"reflect"
	"testing"
	"time"
)

func TestCall(t *testing.T) {
	ext := Extension{ID: 7, CallerIDName: "Desk", ANI: "100"}
	task := fresh()
	task.ANumberE164 = "+101"
	task.Params = Params{ExtendedA: []Number{{Given: "103"}}, WaitForPickup: 20, CallDuration: 60,
		AnnounceSoundID: "hello", DstAnnounceSoundID: "wait", DstDTMF: "1w2"}
	task = task.Start(began, "call1", "n1", 5).Task
	want := Call{
		ID: "call1", Client: "c", Queue: 3, Task: 41, Attempt: 1,
		A: []Number{{Given: "101", E164: "+101"}, {Given: "103"}}, B: Number{Given: "102"},
		CallerA: CallerID{"Desk", "100"}, CallerB: CallerID{"Desk", "100"},
		Ring: 20 * time.Second, MaxDuration: time.Minute, Variables: map[string]string{"k": "v"},
		AnnounceA: "hello", AnnounceBoth: "wait", DigitsB: "1w2",
	}
	if got := task.Call(ext); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := dialling().Call(ext); got.Ring != 30*time.Second || got.MaxDuration != 2*time.Hour {
		t.Errorf("without parameters it rings %v and lasts %v", got.Ring, got.MaxDuration)
	}
	if a, b := want.A[0].Dial(), want.B.Dial(); a != "+101" || b != "102" {
		t.Errorf("dials %s and %s", a, b)
	}
}

func TestCallerNumbers(t *testing.T) {
	full := Params{
		CallerIDNumber: "1", SrcANI: "2", DstANI: "3",
		AttemptSrcANI: []string{"4", "5"}, AttemptDstANI: []string{"6", "7", "8"},
	}
	but := func(f func(*Params)) Params {
		p := full
		f(&p)
		return p
	}
	for claim, tc := range map[string]struct {
		params  Params
		attempt int
		a, b    string
	}{
		"the extension's is the last resort":      {Params{}, 1, "100", "100"},
		"the task's own comes before":             {Params{CallerIDNumber: "1"}, 1, "1", "1"},
		"a number for a side comes before that":   {Params{CallerIDNumber: "1", SrcANI: "2"}, 1, "2", "1"},
		"each side has its own":                   {but(func(p *Params) { p.AttemptSrcANI, p.AttemptDstANI = nil, nil }), 1, "2", "3"},
		"the attempt's comes first":               {full, 1, "4", "6"},
		"the second attempt has the second":       {full, 2, "5", "7"},
		"the last one stays":                      {full, 3, "5", "8"},
		"and stays":                               {full, 50, "5", "8"},
		"an empty one leaves it to the next best": {but(func(p *Params) { p.AttemptSrcANI = []string{""} }), 1, "2", "6"},
	} {
		t.Run(claim, func(t *testing.T) {
			task := Task{Params: tc.params, Attempts: tc.attempt}
			got := task.Call(Extension{ANI: "100"})
			if got.CallerA.Number != tc.a || got.CallerB.Number != tc.b {
				t.Errorf("A is shown %s, B %s; want %s and %s", got.CallerA.Number, got.CallerB.Number, tc.a, tc.b)
			}
		})
	}
	named := Task{Params: Params{CallerIDName: "Shop"}}.Call(Extension{CallerIDName: "Desk"})
	if named.CallerA.Name != "Shop" || named.CallerB.Name != "Shop" {
		t.Errorf("the names are %+v and %+v", named.CallerA, named.CallerB)
	}
}

func TestOffset(t *testing.T) {
	for claim, tc := range map[string]struct {
		page Page
		want int
	}{
		"the first page":            {Page{Number: 1, Size: 50}, 0},
		"the third page":            {Page{Number: 3, Size: 50}, 100},
		"no page is the first":      {Page{Size: 50}, 0},
		"a cursor wins over a page": {Page{Number: 3, Size: 50, After: 7}, 0},
	} {
		if got := tc.page.Offset(); got != tc.want {
			t.Errorf("%s begins after %d rows, want %d", claim, got, tc.want)
		}
	}
}
