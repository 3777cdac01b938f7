package scheduler

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// desk takes dial strings and numbers that begin with +; extension 7 calls as
// 100 and extension 8 is blocked.
func desk() Intake {
	return Intake{
		Client: "c", Queue: 3, Now: began,
		Number: func(given string) (string, error) {
			if strings.HasPrefix(given, "+") || strings.HasPrefix(given, "0") {
				return "+" + strings.TrimLeft(given, "+0"), nil
			}
			if strings.Trim(given, "0123456789*#") != "" {
				return "", errors.New("must be a number")
			}
			return "", nil
		},
		URL: func(url string) error {
			if !strings.HasPrefix(url, "http://x/") {
				return errors.New("must be an http or https URL")
			}
			return nil
		},
		Extension: func(id ExtensionID) (Extension, bool) {
			return Extension{ID: id, ANI: "100", Blocked: id == 8}, id == 7 || id == 8
		},
		Sound: func(id string) bool { return id == "hello" || id == "wait" },
	}
}

func draft() Draft { return Draft{ANumber: "101", BNumber: "102", ExtensionID: 7} }

// list is n strings.
func list(n int, s string) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = s
	}
	return l
}

func TestClientSettings(t *testing.T) {
	in := desk()
	id := ExtensionID(7)
	in.Settings = Settings{DefaultExtensionID: &id, AllowedCallerIDs: []string{"200", "+39055"}}
	for claim, tc := range map[string]struct {
		change func(*Draft)
		want   string
	}{
		"the default extension calls":                   {func(d *Draft) { d.ExtensionID = 0 }, ""},
		"a named one goes before it":                    {func(d *Draft) { d.ExtensionID = 8 }, "ExtensionID is blocked"},
		"an allowed caller number is taken":             {func(d *Draft) { d.Params.SrcANI = "200" }, ""},
		"however it is written":                         {func(d *Draft) { d.Params.DstANI = "039055" }, ""},
		"the extension's own is taken beside it":        {func(d *Draft) { d.Params.SrcANI = "100" }, ""},
		"another is not":                                {func(d *Draft) { d.Params.SrcANI = "201" }, "Params.SrcANI is not a caller number of extension 7"},
		"what is no number is not":                      {func(d *Draft) { d.Params.SrcANI = "x" }, "Params.SrcANI is not a caller number of extension 7"},
		"nor is another of those listed for an attempt": {func(d *Draft) { d.Params.AttemptSrcANI = []string{"200", "+1"} }, "AttemptSrcANI[1] is not a caller number of extension 7"},
	} {
		t.Run(claim, func(t *testing.T) {
			var faults Faults
			d := draft()
			tc.change(&d)
			task := in.NewTask(d, "", &faults)
			got := ""
			if err := faults.Err(); err != nil {
				got = err.Error()
			}
			if got != tc.want || tc.want == "" && task.ExtensionID != 7 {
				t.Errorf("%q, want %q; extension %d", got, tc.want, task.ExtensionID)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	var faults Faults
	got := desk().NewTask(draft(), "", &faults)
	want := Task{
		ClientID: "c", QueueID: 3, ExtensionID: 7, ANumber: "101", BNumber: "102",
		TryCount: 1, TryPause: 60, TryCountCaller: 0, TryPauseCaller: 60,
		Status: Scheduled, StartAt: began, ReadyAt: began, CreatedAt: began, UpdatedAt: began,
		Params: Params{WaitForPickup: 30, CallDuration: 7200},
	}
	if !reflect.DeepEqual(got, want) || faults.Err() != nil {
		t.Errorf("got %+v\nwant %+v\nfaults %v", got, want, faults)
	}
}

func TestLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) } // characters, not bytes
	n := func(i int) *int { return &i }
	vars := func(names int, name, value string) map[string]string {
		m := map[string]string{name: value}
		for i := range names - 1 {
			m[fmt.Sprint(i)] = ""
		}
		return m
	}
	for claim, tc := range map[string]struct {
		change func(*Draft)
		want   string // "field message; …"; "" if it is taken
	}{
		"a name of 255 is taken":                          {func(d *Draft) { d.Name = long(255) }, ""},
		"a name of 256 is not":                            {func(d *Draft) { d.Name = long(256) }, "Name must be at most 255 characters long"},
		"an external id of 128 is taken":                  {func(d *Draft) { d.ExternalID = long(128) }, ""},
		"an external id of 129 is not":                    {func(d *Draft) { d.ExternalID = long(129) }, "ExternalID must be at most 128 characters long"},
		"A is required":                                   {func(d *Draft) { d.ANumber = "" }, "ANumber is required"},
		"B is required":                                   {func(d *Draft) { d.BNumber = "" }, "BNumber is required"},
		"A must be a number":                              {func(d *Draft) { d.ANumber = "x" }, "ANumber must be a number"},
		"B must be a number":                              {func(d *Draft) { d.BNumber = "x" }, "BNumber must be a number"},
		"an extension is required":                        {func(d *Draft) { d.ExtensionID = 0 }, "ExtensionID is required"},
		"an unknown extension is not taken":               {func(d *Draft) { d.ExtensionID = 9 }, "ExtensionID is not an extension of this client"},
		"a blocked extension is not taken":                {func(d *Draft) { d.ExtensionID = 8 }, "ExtensionID is blocked"},
		"without an extension no caller number is judged": {func(d *Draft) { d.ExtensionID, d.Params.SrcANI = 0, "1" }, "ExtensionID is required"},
		"nor with an unknown one":                         {func(d *Draft) { d.ExtensionID, d.Params.SrcANI = 9, "1" }, "ExtensionID is not an extension of this client"},
		"one try is taken":                                {func(d *Draft) { d.TryCount = n(1) }, ""},
		"50 tries are taken":                              {func(d *Draft) { d.TryCount = n(50) }, ""},
		"no try is not":                                   {func(d *Draft) { d.TryCount = n(0) }, "TryCount must be between 1 and 50"},
		"51 tries are not":                                {func(d *Draft) { d.TryCount = n(51) }, "TryCount must be between 1 and 50"},
		"no pause is taken":                               {func(d *Draft) { d.TryPause = n(0) }, ""},
		"ten days' pause is taken":                        {func(d *Draft) { d.TryPause = n(864000) }, ""},
		"a longer pause is not":                           {func(d *Draft) { d.TryPause = n(864001) }, "TryPause must be between 0 and 864000"},
		"a negative pause is not":                         {func(d *Draft) { d.TryPause = n(-1) }, "TryPause must be between 0 and 864000"},
		"no caller tries are taken":                       {func(d *Draft) { d.TryCountCaller = n(0) }, ""},
		"50 caller tries are taken":                       {func(d *Draft) { d.TryCountCaller = n(50) }, ""},
		"51 caller tries are not":                         {func(d *Draft) { d.TryCountCaller = n(51) }, "TryCountCaller must be between 0 and 50"},
		"negative caller tries are not":                   {func(d *Draft) { d.TryCountCaller = n(-1) }, "TryCountCaller must be between 0 and 50"},
		"ten days' caller pause is taken":                 {func(d *Draft) { d.TryPauseCaller = n(864000) }, ""},
		"a longer caller pause is not":                    {func(d *Draft) { d.TryPauseCaller = n(864001) }, "TryPauseCaller must be between 0 and 864000"},
		"a URL of 2048 is taken":                          {func(d *Draft) { d.URLAfter = "http://x/" + long(2039) }, ""},
		"a URL of 2049 is not":                            {func(d *Draft) { d.URLAfter = "http://x/" + long(2040) }, "URLAfter must be at most 2048 characters long"},
		"every URL is checked": {
			func(d *Draft) { d.URLBefore, d.URLBeforeAgain, d.URLSuccess, d.URLAfter = "a", "b", "c", "d" },
			"URLBefore must be an http or https URL; URLBeforeAgain must be an http or https URL; URLSuccess must be an http or https URL; URLAfter must be an http or https URL",
		},
		"100 variables are taken":             {func(d *Draft) { d.Variables = vars(100, "k", "v") }, ""},
		"101 variables are not":               {func(d *Draft) { d.Variables = vars(101, "k", "v") }, "Variables must be at most 100"},
		"a value of 200 is taken":             {func(d *Draft) { d.Variables = vars(1, "k", long(200)) }, ""},
		"a value of 201 is not":               {func(d *Draft) { d.Variables = vars(1, "k", long(201)) }, `Variables."k" must be at most 200 characters long`},
		"a variable's name of 200 is taken":   {func(d *Draft) { d.Variables = vars(1, long(200), "v") }, ""},
		"a variable's name of 201 is not":     {func(d *Draft) { d.Variables = vars(1, long(201), "v") }, "Variables must have names of 1 to 200 characters"},
		"a variable needs a name":             {func(d *Draft) { d.Variables = vars(1, "", "v") }, "Variables must have names of 1 to 200 characters"},
		"a deadline after now is taken":       {func(d *Draft) { d.Deadline = began.Add(1) }, ""},
		"a deadline of now is not":            {func(d *Draft) { d.Deadline = began }, "Deadline must be after the start of the task"},
		"a deadline before the start is not":  {func(d *Draft) { d.StartAt, d.Deadline = began.Add(9), began.Add(8) }, "Deadline must be after the start of the task"},
		"a past start counts as now":          {func(d *Draft) { d.StartAt, d.Deadline = began.Add(-9), began.Add(-8) }, "Deadline must be after the start of the task"},
		"5 seconds of ringing are taken":      {func(d *Draft) { d.Params.WaitForPickup = n(5) }, ""},
		"120 seconds of ringing are taken":    {func(d *Draft) { d.Params.WaitForPickup = n(120) }, ""},
		"4 seconds of ringing are not":        {func(d *Draft) { d.Params.WaitForPickup = n(4) }, "Params.WaitForPickup must be between 5 and 120"},
		"121 seconds of ringing are not":      {func(d *Draft) { d.Params.WaitForPickup = n(121) }, "Params.WaitForPickup must be between 5 and 120"},
		"a second of talk is taken":           {func(d *Draft) { d.Params.CallDuration = n(1) }, ""},
		"a day of talk is taken":              {func(d *Draft) { d.Params.CallDuration = n(86400) }, ""},
		"no talk is not":                      {func(d *Draft) { d.Params.CallDuration = n(0) }, "Params.CallDuration must be between 1 and 86400"},
		"more than a day of talk is not":      {func(d *Draft) { d.Params.CallDuration = n(86401) }, "Params.CallDuration must be between 1 and 86400"},
		"a caller's name of 255 is taken":     {func(d *Draft) { d.Params.CallerIDName = long(255) }, ""},
		"a caller's name of 256 is not":       {func(d *Draft) { d.Params.CallerIDName = long(256) }, "Params.CallerIDName must be at most 255 characters long"},
		"a caller's name is one line":         {func(d *Draft) { d.Params.CallerIDName = "x\r\nTo: y" }, "Params.CallerIDName must not contain control characters"},
		"the extension's own number is taken": {func(d *Draft) { d.Params = DraftParams{CallerIDNumber: "100", SrcANI: "100", DstANI: "100"} }, ""},
		"another's caller numbers are not": {
			func(d *Draft) { d.Params = DraftParams{CallerIDNumber: "1", SrcANI: "2", DstANI: "3"} },
			"Params.CallerIDNumber is not a caller number of extension 7; Params.SrcANI is not a caller number of extension 7; Params.DstANI is not a caller number of extension 7",
		},
		"nor are they per attempt": {
			func(d *Draft) {
				d.Params = DraftParams{AttemptSrcANI: []string{"100", "1"}, AttemptDstANI: []string{"2"}}
			},
			"AttemptSrcANI[1] is not a caller number of extension 7; AttemptDstANI[0] is not a caller number of extension 7",
		},
		"50 numbers per attempt are taken": {func(d *Draft) { d.Params.AttemptSrcANI = list(50, "100") }, ""},
		"51 numbers per attempt are not": {
			func(d *Draft) { d.Params.AttemptSrcANI, d.Params.AttemptDstANI = list(51, "100"), list(51, "100") },
			"AttemptSrcANI must be at most 50 numbers; AttemptDstANI must be at most 50 numbers",
		},
		"sounds that are there are taken": {func(d *Draft) { d.Params.AnnounceSoundID, d.Params.DstAnnounceSoundID = "hello", "wait" }, ""},
		"others are not": {
			func(d *Draft) { d.Params.AnnounceSoundID, d.Params.DstAnnounceSoundID = "hullo", "../wait" },
			"Params.AnnounceSoundID is not the id of a sound; Params.DstAnnounceSoundID is not the id of a sound",
		},
		"every digit is taken":                   {func(d *Draft) { d.Params.DstDTMF = "w0123456789p*#ABCD" }, ""},
		"64 digits are taken":                    {func(d *Draft) { d.Params.DstDTMF = strings.Repeat("1", 64) }, ""},
		"65 digits are not":                      {func(d *Draft) { d.Params.DstDTMF = strings.Repeat("1", 65) }, "Params.DstDTMF must be at most 64 digits and pauses"},
		"what no telephone has a key for is not": {func(d *Draft) { d.Params.DstDTMF = "1,2" }, "Params.DstDTMF must be digits (0-9, *, #, A-D) and pauses (w for half a second, p for two)"},
		"10 numbers beside A are taken":          {func(d *Draft) { d.Params.ExtendedA = list(10, "103") }, ""},
		"11 numbers beside A are not":            {func(d *Draft) { d.Params.ExtendedA = list(11, "103") }, "Params.ExtendedA must be at most 10 numbers"},
		"each of them must be one":               {func(d *Draft) { d.Params.ExtendedA = []string{"103", "x", ""} }, "Params.ExtendedA[1] must be a number; Params.ExtendedA[2] is required"},
		"every fault is told at once": {
			func(d *Draft) { *d = Draft{TryCount: n(0), Params: DraftParams{WaitForPickup: n(1)}} },
			"ANumber is required; BNumber is required; TryCount must be between 1 and 50; ExtensionID is required; Params.WaitForPickup must be between 5 and 120",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			for path, in := range map[string]string{"": tc.want, "Tasks[3].": below("Tasks[3].", tc.want)} {
				d := draft()
				tc.change(&d)
				var faults Faults
				desk().NewTask(d, path, &faults)
				got := (&Error{Faults: faults}).Error()
				if got != in {
					t.Errorf("\n got %q\nwant %q", got, in)
				}
			}
		})
	}
}

// below puts every fault under a path.
func below(path, faults string) string {
	if faults == "" {
		return ""
	}
	return path + strings.ReplaceAll(faults, "; ", "; "+path)
}

func TestWhatIsTaken(t *testing.T) {
	d := draft()
	d.Name, d.ExternalID, d.ANumber = "n", "e", "+49301"
	d.StartAt, d.Deadline = began.Add(time.Hour), began.Add(2*time.Hour)
	d.Variables = map[string]string{"k": "v"}
	d.URLBefore, d.URLBeforeAgain, d.URLSuccess, d.URLAfter = "http://x/1", "http://x/2", "http://x/3", "http://x/4"
	d.Params = DraftParams{
		CallerIDName: "N", CallerIDNumber: "100", SrcANI: "100", DstANI: "100",
		// A twice, B, one number in two spellings.
		ExtendedA:     []string{"103", "+49301", "0049301", "102", "+49302", "0049302", "103", "104"},
		AttemptSrcANI: []string{"100"}, AttemptDstANI: []string{"", "100"},
		AnnounceSoundID: "hello", DstAnnounceSoundID: "wait", DstDTMF: "1w2",
	}
	var faults Faults
	got := desk().NewTask(d, "", &faults)
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	want := Task{
		ClientID: "c", QueueID: 3, ExtensionID: 7, ExternalID: "e", Name: "n",
		ANumber: "+49301", ANumberE164: "+49301", BNumber: "102", TryCount: 1, TryPause: 60, TryPauseCaller: 60,
		URLBefore: "http://x/1", URLBeforeAgain: "http://x/2", URLSuccess: "http://x/3", URLAfter: "http://x/4",
		StartAt: d.StartAt, ReadyAt: d.StartAt, Deadline: d.Deadline, Variables: d.Variables, Status: Scheduled,
		CreatedAt: began, UpdatedAt: began,
		Params: Params{
			CallerIDName: "N", CallerIDNumber: "100", SrcANI: "100", DstANI: "100", WaitForPickup: 30, CallDuration: 7200,
			ExtendedA:     []Number{{Given: "103"}, {Given: "+49302", E164: "+49302"}, {Given: "104"}},
			AttemptSrcANI: []string{"100"}, AttemptDstANI: []string{"", "100"},
			AnnounceSoundID: "hello", DstAnnounceSoundID: "wait", DstDTMF: "1w2",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	again := desk().NewTask(got.Draft(), "", &faults)
	if !reflect.DeepEqual(again, got) || faults.Err() != nil {
		t.Errorf("read and put back: %+v, faults %v", again, faults)
	}
}

// A task is taken only within its limits, whatever was asked.
func FuzzNewTask(f *testing.F) {
	f.Add("n", "101", "102", 1, 60, 0, "http://x/", "k", "v", "103", int64(0), int64(1))
	f.Add("\x00", "x", "", -1, 1<<40, 51, "x", "", "\xff", "101", int64(-1), int64(-9))
	f.Fuzz(func(t *testing.T, name, a, b string, tries, pause, caller int, url, key, value, extended string, start, deadline int64) {
		var faults Faults
		got := desk().NewTask(Draft{
			Name: name, ANumber: a, BNumber: b, ExtensionID: 7, TryCount: &tries, TryPause: &pause, TryCountCaller: &caller, URLAfter: url,
			Variables: map[string]string{key: value}, StartAt: began.Add(time.Duration(start)), Deadline: began.Add(time.Duration(deadline)),
			Params: DraftParams{ExtendedA: []string{extended, extended, a, b}, CallerIDName: name},
		}, "", &faults)
		if faults.Err() != nil {
			return
		}
		if got.TryCount < 1 || got.TryCount > 50 || got.TryPause < 0 || got.TryPause > 864000 || got.TryCountCaller < 0 || got.TryCountCaller > 50 ||
			got.ANumber == "" || got.BNumber == "" || len([]rune(got.Name)) > 255 || len([]rune(value)) > 200 || len(url) > 4*2048 ||
			got.StartAt.Before(began) || !got.Deadline.After(got.StartAt) || len(got.Params.ExtendedA) > 1 {
			t.Errorf("taken: %+v", got)
		}
		checkRow(t, Transition{Task: got, At: began, From: Guard{Status: Scheduled}})
		told(got.Start(began, "call", "n1", 1).Task.End(aBusy, began)) // it can live
	})
}
