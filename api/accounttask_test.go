package api

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// as sends a request of the admin API with a user's token.
func (r *rig) as(method, path, contentType, accept, body string) reply {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", accept)
	req.Header.Set("Authorization", "Bearer "+r.user)
	return r.send(req)
}

// The documented samples, as they stand.
const (
	sampleJSON    = `{ "TaskID": "5f2ab0f5-95be-40d5-834f-d6353ea0a8be", "Frequency": 0, "StartDate": "2025-01-18T05:09:04.0954022+00:00", "FinishDate": "2025-01-18T05:09:04.096411+00:00", "Parameters": "sample string 3", "ContentType": "sample string 4", "Notification": 0 }`
	sampleXML     = `<AccountTaskRequest xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"> <TaskID>5f2ab0f5-95be-40d5-834f-d6353ea0a8be</TaskID> <Frequency>NONE</Frequency> <StartDate>2025-01-18T05:09:04.0954022+00:00</StartDate> <FinishDate>2025-01-18T05:09:04.096411+00:00</FinishDate> <Parameters>sample string 3</Parameters> <ContentType>sample string 4</ContentType> <Notification>NONE</Notification> </AccountTaskRequest>`
	samplePut     = `{ "Enabled": true, "TaskID": "7798c127-7f74-40c6-9bd4-caf4be84ca89", "Frequency": 0, "StartDate": "2026-06-04T03:45:03.2545297+00:00", "FinishDate": "2026-06-04T03:45:03.2545297+00:00", "Parameters": "sample string 3", "ContentType": "sample string 4", "Notification": 0 }`
	samplePutXML  = `<AccountTaskUpdateRequest xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"> <TaskID>7798c127-7f74-40c6-9bd4-caf4be84ca89</TaskID> <Frequency>NONE</Frequency> <StartDate>2026-06-04T03:45:03.2545297+00:00</StartDate> <FinishDate>2026-06-04T03:45:03.2545297+00:00</FinishDate> <Parameters>sample string 3</Parameters> <ContentType>sample string 4</ContentType> <Notification>NONE</Notification> <Enabled>true</Enabled> </AccountTaskUpdateRequest>`
	sampleForm    = `TaskID=5f2ab0f5-95be-40d5-834f-d6353ea0a8be&Frequency=NONE&StartDate=2025-01-18T05%3A09%3A04.0954022%2B00%3A00&FinishDate=2025-01-18T05%3A09%3A04.096411%2B00%3A00&Parameters=sample+string+3&ContentType=sample+string+4&Notification=0`
	purgeJSON     = `{\"days\": 30}`
	purgeXML      = `&lt;Parameters&gt;&lt;days&gt;30&lt;/days&gt;&lt;/Parameters&gt;`
	accountsTasks = "/api/v2/admin/tasks/account"
)

var sampleID = regexp.MustCompile(`5f2ab0f5-95be-40d5-834f-d6353ea0a8be|7798c127-7f74-40c6-9bd4-caf4be84ca89`)

// replaced is a sample with the values that have to be replaced.
func replaced(sample, parameters, contentType string) string {
	sample = sampleID.ReplaceAllString(sample, string(scheduler.JobPurgeHistory))
	sample = strings.NewReplacer("sample string 3", parameters, "sample+string+3", parameters).Replace(sample)
	return strings.NewReplacer("sample string 4", contentType, "sample+string+4", contentType).Replace(sample)
}

var (
	unlikeGUIDs = regexp.MustCompile(`01[0-9a-f]{6}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	unlikeDates = regexp.MustCompile(`(Date(?:Created|Modified)"?[:>]"?)[-0-9T:.+]+`)
)

// golden compares an answer, without what differs from run to run, with its file.
func (a reply) golden(name string) {
	a.t.Helper()
	got := unlikeDates.ReplaceAllString(unlikeGUIDs.ReplaceAllString(a.body, "GUID"), "${1}DATE")
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		a.t.Fatal(err)
	}
	if got != string(want) {
		a.t.Errorf("%s\ngot  %s\nwant %s", name, got, want)
	}
}

// adminID returns the ID of the Detail.
func (a reply) adminID() string {
	a.t.Helper()
	return decoded[struct {
		ResponseData struct{ Detail struct{ ID string } }
	}](a).ResponseData.Detail.ID
}

func TestDocumentedSamplesOfRecurringTasks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		postgres := strings.HasSuffix(t.Name(), "postgres")
		made := r.as("POST", accountsTasks, "application/json", "", replaced(sampleJSON, purgeJSON, "application/json")).want(200)
		made.golden("account_task.json")
		r.as("POST", accountsTasks, "text/xml", "", replaced(sampleXML, purgeXML, "application/xml")).want(200).golden("account_task.xml")
		r.as("POST", "/API/V1/Admin/Tasks/Account", "application/json", "application/xml", replaced(sampleJSON, purgeJSON, "application/json")).want(200).golden("account_task_of_json.xml")
		put := "/api/v1/admin/tasks/account/" + made.adminID()
		r.as("PUT", put, "application/json", "", replaced(samplePut, purgeJSON, "application/json")).want(200).golden("account_task_put.json")
		r.as("PUT", put, "application/xml", "", replaced(samplePutXML, purgeXML, "application/xml")).want(200).golden("account_task_put.xml")
		for media, sample := range map[string]string{"application/json": sampleJSON, "application/xml": sampleXML, "application/x-www-form-urlencoded": sampleForm} {
			refused := r.as("POST", accountsTasks, media, "application/json", sample).want(400)
			for _, field := range []string{"TaskID", "Parameters", "ContentType"} {
				if !strings.Contains(refused.body, field+" ") {
					t.Errorf("%s: %s is not named: %s", media, field, refused.body)
				}
			}
			for _, field := range []string{"Frequency", "StartDate", "FinishDate", "Notification"} {
				if strings.Contains(refused.body, field+" ") {
					t.Errorf("%s: %s is named: %s", media, field, refused.body)
				}
			}
		}
		if found := r.as("GET", accountsTasks, "", "", "").want(200); found.header.Get("X-Total-Count") != "3" {
			t.Errorf("%s are stored, on postgres %v", found.header.Get("X-Total-Count"), postgres)
		}
	})
}

// The same request in three formats makes the same row, and is answered the same.
func TestRecurringTaskInThreeFormats(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := storedQueue(r)
		params := fmt.Sprintf(`{"scheduler_id": %d, "status": "off"}`, queue)
		quoted, _ := json.Marshal(params)
		asked := map[string]string{
			"application/json": fmt.Sprintf(`{"TaskID": %q, "frequency": "daily", "StartDate": "2030-03-01T20:00:00", "Parameters": %s, "ContentType": "application/json", "Notification": ["WEBHOOK"], "NotificationUrl": "https://hooks.example/r"}`, scheduler.JobSwitchScheduler, quoted),
			"application/xml":  fmt.Sprintf(`<AccountTaskRequest><NotificationUrl>https://hooks.example/r</NotificationUrl><Notification>2</Notification><ContentType>application/json</ContentType><Parameters><![CDATA[%s]]></Parameters><StartDate>2030-03-01T20:00:00</StartDate><Frequency>2</Frequency><TaskID>%s</TaskID></AccountTaskRequest>`, params, strings.ToUpper(string(scheduler.JobSwitchScheduler))),
			"application/x-www-form-urlencoded": "TaskID=" + string(scheduler.JobSwitchScheduler) + "&Frequency=Daily&StartDate=2030-03-01T20:00:00Z&ContentType=application/json&Notification=webhook&NotificationUrl=https://hooks.example/r&Parameters=" +
				strings.NewReplacer(" ", "+", "{", "%7B", "}", "%7D", `"`, "%22").Replace(params),
		}
		answers := map[string]bool{}
		for _, media := range slices.Sorted(maps.Keys(asked)) {
			made := r.as("POST", accountsTasks, media, "application/json", asked[media]).want(200)
			answers[unlikeDates.ReplaceAllString(unlikeGUIDs.ReplaceAllString(made.body, "GUID"), "${1}DATE")] = true
			var row scheduler.AccountTask
			found, err := r.store.AccountTask(t.Context(), r.a.client.AccountID, scheduler.AccountTaskID(made.adminID()))
			if err != nil {
				t.Fatal(err)
			}
			row = found
			if row.Frequency != scheduler.Daily || row.Notification != scheduler.NotifyWebhook || row.Parameters != params || row.Job != scheduler.JobSwitchScheduler ||
				!row.NextAt.Equal(time.Date(2030, 3, 1, 20, 0, 0, 0, time.UTC)) || row.ClientID != r.b.client.ID {
				t.Errorf("%s made %+v", media, row)
			}
		}
		if len(answers) != 1 {
			t.Errorf("there are %d answers: %v", len(answers), answers)
		}
	})
}

// storedQueue makes a queue of the newest client.
func storedQueue(r *rig) scheduler.QueueID {
	q, err := r.store.AddQueue(r.t.Context(), scheduler.Queue{ClientID: r.b.client.ID, Name: "nights", On: true, CreatedAt: time.Now()})
	if err != nil {
		r.t.Fatal(err)
	}
	return q.ID
}

func TestRecurringTasksThatAreRefused(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := storedQueue(r)
		foreign, err := r.store.AddQueue(t.Context(), scheduler.Queue{ClientID: r.a.client.ID, Name: "foreign", CreatedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		ext := r.b.extension.ID
		for name, c := range map[string]struct {
			job    scheduler.JobID
			change map[string]any
			params string
			media  string // "": application/json
			want   string // part of the reason
		}{
			"a frequency that is none":            {change: map[string]any{"Frequency": 99}, want: "Frequency must be one of"},
			"a frequency that is no name":         {change: map[string]any{"Frequency": "SOMETIMES"}, want: "Frequency must be one of"},
			"a finish before the start":           {change: map[string]any{"StartDate": "2030-01-02T00:00:00Z", "FinishDate": "2030-01-01T00:00:00Z"}, want: "FinishDate must not be before StartDate"},
			"a start in another age":              {change: map[string]any{"StartDate": "0017-01-02T00:00:00Z"}, want: "StartDate must be in the years"},
			"a task that is none":                 {change: map[string]any{"TaskID": "01900000-0000-7000-8000-000000000000"}, want: "TaskID is not in the catalogue"},
			"a GUID that is none":                 {change: map[string]any{"TaskID": "nonsense"}, want: "TaskID must be a GUID"},
			"no parameters":                       {change: map[string]any{"Parameters": nil}, want: "Parameters is required"},
			"a webhook to nowhere":                {change: map[string]any{"Notification": 2}, want: "NotificationUrl is required"},
			"a webhook inward":                    {change: map[string]any{"Notification": 2, "NotificationUrl": "http://127.0.0.1/"}, want: "NotificationUrl "},
			"an e-mail without a server":          {change: map[string]any{"Notification": "EMAIL"}, want: "RINGBACK_SMTP_URL"},
			"a content type that is none":         {change: map[string]any{"ContentType": "text/plain"}, want: "ContentType must be application/xml or application/json"},
			"broken JSON":                         {params: `{"days": 30`, want: "Parameters is not well-formed"},
			"a name twice":                        {params: `{"days": 30, "days": 31}`, want: `Parameters gives "days" twice`},
			"broken XML":                          {media: "application/xml", params: `<p><days>30</days>`, want: "Parameters is not well-formed"},
			"JSON that says it is XML":            {media: "application/xml", params: `{"days": 30}`, want: "Parameters is not well-formed"},
			"a document type":                     {media: "application/xml", params: `<!DOCTYPE p [<!ENTITY a "b">]><p><days>&a;</days></p>`, want: "Parameters must not have a document type"},
			"an element twice":                    {media: "application/xml", params: `<p><days>30</days><days>31</days></p>`, want: "Parameters gives days twice"},
			"nested XML":                          {media: "application/xml", params: strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100), want: "Parameters is nested too deeply"},
			"days that are text":                  {params: `{"days": "many"}`, want: "Parameters days: "},
			"days with a point":                   {params: `{"days": 30.0}`, want: "Parameters days: must be an integer"},
			"days with a point in XML":            {media: "application/xml", params: `<p><days>30.0</days></p>`, want: "Parameters days: must be an integer"},
			"days with an exponent":               {params: `{"days": 3e1}`, want: "Parameters days: must be an integer"},
			"days beyond 64 bits":                 {params: `{"days": 9223372036854775808}`, want: "Parameters days: must be an integer"},
			"a scheduler with a point":            {job: scheduler.JobSwitchScheduler, params: `{"scheduler_id": 1.0, "status": "on"}`, want: "Parameters scheduler_id: must be an integer"},
			"an exponent in a list":               {job: scheduler.JobCallReport, params: `{"scheduler_ids": [1, 1e99]}`, want: "Parameters scheduler_ids[1]: must be an integer"},
			"an exponent in a list in XML":        {job: scheduler.JobCallReport, media: "application/xml", params: `<p><scheduler_ids><id>1e99</id></scheduler_ids></p>`, want: "Parameters scheduler_ids[0]: must be an integer"},
			"an exponent in a task":               {job: scheduler.JobPostTasks, params: `{"scheduler_id": 1, "tasks": [{"a_number": "101", "b_number": "102", "try_count": 1e0}]}`, want: "Parameters tasks[0].try_count: must be an integer"},
			"too long a list":                     {job: scheduler.JobCallReport, params: `{"scheduler_ids": [1` + strings.Repeat(", 1e99", 1000) + `]}`, want: "Parameters scheduler_ids: must have at most 1000 items"},
			"too long a list of a task":           {job: scheduler.JobPostTasks, params: `{"scheduler_id": 1, "tasks": [{"a_number": "101", "b_number": "102", "callback_params": {"extended_a_numbers": [1` + strings.Repeat(", 1", 10) + `]}}]}`, want: "extended_a_numbers: must have at most 10 items"},
			"too many variables":                  {job: scheduler.JobPostTasks, params: `{"scheduler_id": 1, "tasks": [{"a_number": "101", "b_number": "102", "variables": {"v": 1` + manyMembers(100) + `}}]}`, want: "Parameters tasks[0].variables: must have at most 100 members"},
			"more names than are told":            {params: `{"days": 30` + manyMembers(500_000/len(`, "m100000": 0`)) + `}`, want: "and 90 more"},
			"a client that is no GUID":            {params: `{"days": 30, "client_id": "` + strings.Repeat("x", 1<<20) + `"}`, want: "…"},
			"too many days":                       {params: `{"days": 99999}`, want: "Parameters days: "},
			"a name that is unknown":              {params: `{"days": 30, "weeks": 1}`, want: "weeks: is not a known name"},
			"a client of somebody else":           {params: `{"days": 30, "client_id": "01900000-0000-7000-8000-000000000009"}`, want: "client_id: is not a client"},
			"a status that is none":               {job: scheduler.JobSwitchScheduler, params: fmt.Sprintf(`{"scheduler_id": %d, "status": "maybe"}`, queue), want: "Parameters status: "},
			"a foreign scheduler":                 {job: scheduler.JobSwitchScheduler, params: fmt.Sprintf(`{"scheduler_id": %d, "status": "on"}`, foreign.ID), want: "has no task scheduler"},
			"a foreign scheduler in a report":     {job: scheduler.JobCallReport, params: fmt.Sprintf(`{"scheduler_ids": [%d, %d]}`, queue, foreign.ID), want: "has no task scheduler"},
			"a task with faults":                  {job: scheduler.JobPostTasks, params: fmt.Sprintf(`{"scheduler_id": %d, "tasks": [{"a_number": "101", "b_number": "102", "extension_id": %d, "try_count": 99}]}`, queue, ext), want: "Parameters tasks[0].try_count must be between 1 and 50"},
			"an absolute start of what recurs":    {job: scheduler.JobPostTasks, params: fmt.Sprintf(`{"scheduler_id": %d, "tasks": [{"a_number": "101", "b_number": "102", "extension_id": %d, "start_time_utc": "2030-01-01 10:00:00"}]}`, queue, ext), want: "tasks[0].start_time_utc must be seconds from the run"},
			"an absolute deadline of what recurs": {job: scheduler.JobPostTasks, params: fmt.Sprintf(`{"scheduler_id": %d, "tasks": [{"a_number": "101", "b_number": "102", "extension_id": %d, "deadline_utc": "2030-01-01 10:00:00"}]}`, queue, ext), want: "tasks[0].deadline_utc must not be given"},
			"a task with an unknown name":         {job: scheduler.JobPostTasks, params: fmt.Sprintf(`{"scheduler_id": %d, "tasks": [{"a_number": "101", "b_number": "102", "colour": "red"}]}`, queue), want: "colour"},
		} {
			body := map[string]any{"TaskID": scheduler.JobPurgeHistory, "Frequency": 2, "Parameters": `{"days": 30}`, "ContentType": "application/json"}
			if c.job != "" {
				body["TaskID"] = c.job
			}
			if c.params != "" {
				body["Parameters"] = c.params
			}
			if c.media != "" {
				body["ContentType"] = c.media
			}
			maps.Copy(body, c.change)
			text, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			refused := r.as("POST", accountsTasks, "application/json", "application/json", string(text)).want(400)
			told := decoded[envelope](refused)
			if len(told.Error.ErrorReason) > 4000 {
				t.Errorf("%s: the reason has %d bytes", name, len(told.Error.ErrorReason))
			}
			if told.Error.ErrorCode != "VALIDATION_FAILED" || !strings.Contains(told.Error.ErrorReason, c.want) {
				t.Errorf("%s: %s: %s", name, told.Error.ErrorCode, told.Error.ErrorReason)
			}
		}
		if found := r.as("GET", accountsTasks, "", "", "").want(200); found.header.Get("X-Total-Count") != "0" {
			t.Errorf("%s were stored", found.header.Get("X-Total-Count"))
		}
		r.as("POST", accountsTasks, "text/csv", "", "a,b").want(415)
		r.as("GET", accountsTasks+"/01900000-0000-7000-8000-000000000009", "", "", "").want(404)
		r.as("GET", accountsTasks+"/nonsense", "", "", "").want(404)
		r.as("POST", accountsTasks+"/run?id=01900000-0000-7000-8000-000000000009", "", "", "").want(404)
		r.as("POST", accountsTasks+"/run", "", "", "").want(400)
	})
}

// manyMembers are so many members of an object, after another one.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `, "m%d": 0`, i)
	}
	return b.String()
}

// What a run writes into a task depends on the time that it is for, not on when it
// is done.
func TestTasksOfARecurringRun(t *testing.T) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		frequency    scheduler.Frequency
		run          string // by the clock in UTC
		member, give string
		want         string
	}{
		"a time later that day":         {scheduler.Daily, "2026-01-05 18:00:00", "start_time_utc", "19:30:00", "2026-01-05 18:30:00"},
		"a time of the next day":        {scheduler.Daily, "2026-01-05 18:31:00", "start_time_utc", "19:30:00", "2026-01-06 18:30:00"},
		"a time of what does not recur": {scheduler.FrequencyNone, "2026-01-05 18:00:00", "start_time_utc", "19:30:00", "2026-01-05 18:30:00"},
		"seconds":                       {scheduler.Daily, "2026-01-05 18:00:00", "start_time_utc", "60", "60"},
		"an external id of a day":       {scheduler.Daily, "2026-01-05 23:30:00", "external_id", "x", "x-2026-01-06"},
		"an external id of a gap":       {scheduler.Hourly, "2026-03-29 01:00:00", "external_id", "x", "x-2026-03-29T03:00"}, // 02:30 does not exist
		"an external id after the gap":  {scheduler.Hourly, "2026-03-29 01:30:00", "external_id", "x", "x-2026-03-29T03:30"},
	} {
		run, err := parseDate(c.run)
		if err != nil {
			t.Fatal(err)
		}
		j := job{zone: rome, work: scheduler.RunWork{Task: scheduler.AccountTask{Frequency: c.frequency}, Run: scheduler.AccountTaskRun{ScheduledFor: run}}}
		task := map[string]any{c.member: c.give}
		if wrong := j.settle(task); task[c.member] != c.want || len(wrong) > 0 {
			t.Errorf("%s: %v, want %s; %v", name, task[c.member], c.want, wrong)
		}
	}
}

// purged is whose history up to when is forgotten.
type purged struct {
	client scheduler.ClientID
	before time.Time
}

func (p *purged) PurgeHistory(_ context.Context, client scheduler.ClientID, before time.Time) (calls, tasks int, err error) {
	p.client, p.before = client, before
	return 3, 4, nil
}

func TestAPurgeIsOfWhatIsOlder(t *testing.T) {
	var p purged
	var o scheduler.RunOutcome
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	work := scheduler.RunWork{Client: scheduler.Client{ID: "its client"}}
	err := jobs{now: func() time.Time { return now }, purger: &p}.purge(t.Context(), job{work: work, params: map[string]any{"days": json.Number("30")}}, &o)
	if want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC); err != nil || p.client != "its client" || !p.before.Equal(want) {
		t.Errorf("of %s up to %s, want %s, %v", p.client, p.before, want, err)
	}
	if o.Detail != "forgot 3 calls and 4 finished tasks that ended more than 30 days ago" {
		t.Error(o.Detail)
	}
}

// A purge that does not know of how many days forgets nothing.
func TestAPurgeOfNoDays(t *testing.T) {
	for _, days := range []json.Number{"", "0", "-1", "30.0"} {
		var o scheduler.RunOutcome
		err := jobs{now: time.Now}.purge(t.Context(), job{params: map[string]any{"days": days}}, &o) // it has no store
		if scheduler.KindOf(err) != scheduler.Invalid {
			t.Errorf("of %q days: %v", days, err)
		}
	}
}

// An e-mail needs a server and an address.
func TestWhoCanBeMailed(t *testing.T) {
	for claim, tc := range map[string]struct {
		mails bool
		email string
		want  string
	}{
		"both are there": {true, "a@example.com", ""},
		"no server":      {false, "a@example.com", "Notification cannot be EMAIL: the service has no mail server (RINGBACK_SMTP_URL)"},
		"no address":     {true, "", "Notification cannot be EMAIL: the account has no e-mail address"},
	} {
		d := &decoder{}
		accountTasks{mails: tc.mails}.checkNotification(d, scheduler.AccountTask{Notification: scheduler.NotifyEmail}, scheduler.Account{Email: tc.email})
		got := ""
		if err := d.faults.Err(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %q", claim, got)
		}
	}
}

func TestLifeOfARecurringTask(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		if cat := r.as("GET", "/api/v2/admin/tasks", "", "application/xml", "").want(200); strings.Count(cat.body, "<TaskID>") != 4 {
			t.Errorf("the catalogue: %s", cat.body)
		}
		r.as("GET", "/api/v1/admin/tasks", "", "", "").want(200)
		body := fmt.Sprintf(`{"TaskID": %q, "Frequency": "DAILY", "StartDate": "2030-01-01T00:00:00Z", "FinishDate": "2031-01-01T00:00:00Z", "Parameters": "{\"days\": 30}", "ContentType": "application/json", "Notification": 2, "NotificationUrl": "https://hooks.example/r"}`, scheduler.JobPurgeHistory)
		path := accountsTasks + "/" + r.as("POST", accountsTasks, "application/json", "", body).want(200).adminID()
		type detail struct {
			ResponseData struct{ Detail accountTaskAnswer }
		}
		put := func(members string) accountTaskAnswer {
			t.Helper()
			body := fmt.Sprintf(`{"TaskID": %q, "Frequency": 2, "Parameters": "{\"days\": 31}", "ContentType": "application/json"%s}`, scheduler.JobPurgeHistory, members)
			return decoded[detail](r.as("PUT", path, "application/json", "", body).want(200)).ResponseData.Detail
		}
		if got := put(""); got.StartDate == nil || got.FinishDate == nil || got.Notification != "WEBHOOK" || got.Parameters != `{"days": 31}` || got.Status != "ACTIVE" || !got.Enabled {
			t.Errorf("what is absent does not stay: %+v", got)
		}
		if got := put(`, "FinishDate": null, "Notification": null, "NotificationUrl": null, "Enabled": null`); got.FinishDate != nil || got.Notification != "NONE" || got.NotificationUrl != "" || !got.Enabled {
			t.Errorf("null does not clear: %+v", got)
		}
		if got := put(`, "Enabled": false`); got.Status != "DISABLED" || got.NextRunOn != nil {
			t.Errorf("disabled: %+v", got)
		}
		run := accountsTasks + "/run?id=" + strings.TrimPrefix(path, accountsTasks+"/")
		r.as("POST", run, "", "", "").want(200)
		if told := decoded[envelope](r.as("POST", run, "", "", "").want(409)); told.Error.ErrorCode != "CONFLICT" {
			t.Errorf("run twice: %+v", told)
		}
		if got := decoded[detail](r.as("GET", path, "", "", "").want(200)).ResponseData.Detail; got.Status != "RUNNING" || got.LastRunBy != adminName || got.LastRunOn == nil {
			t.Errorf("while it runs: %+v", got)
		}
		runs := decoded[struct{ ResponseData struct{ Detail []runAnswer } }](r.as("GET", path+"/runs", "", "", "").want(200)).ResponseData.Detail
		if len(runs) != 1 || runs[0].Result != "RUNNING" || runs[0].RunBy != adminName {
			t.Errorf("the runs: %+v", runs)
		}
		r.as("DELETE", path, "", "", "").want(200)
		r.as("GET", path, "", "", "").want(404)
	})
}

// The dates of a task are by the clock of its account, whoever changes it.
func TestDatesAreInTheZoneOfTheTasksAccount(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		below := r.household(storetest.MasterID) // in Europe/Rome; who is above it in UTC
		dated := strings.Replace(goodAccountTask, `"2035-01-02T03:04:05Z"`, `"2035-01-02T20:00:00","FinishDate":"2035-02-02T20:00:00"`, 1)
		got := detail0(r.do("PUT", accountsTasks+"/"+below.task, r.user, dated).want(200))
		for member, want := range map[string]string{
			"StartDate": "2035-01-02T19:00:00.0000000+00:00", "FinishDate": "2035-02-02T19:00:00.0000000+00:00", "NextRunOn": "2035-01-02T19:00:00.0000000+00:00",
		} {
			if got[member] != want {
				t.Errorf("%s is %v, want %s", member, got[member], want)
			}
		}
	})
}

func TestAnAccountNeedsAClientForTasks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		_, err := jobs{clients: r.store}.client(t.Context(), "01900000-0000-7000-8000-00000000000f", nil)
		if e, ok := err.(*scheduler.Error); !ok || e.Status != "client_required" || e.Kind != scheduler.Invalid { //nolint:errorlint // it is not wrapped
			t.Errorf("without a client: %v", err)
		}
	})
}

// A run for who is disabled fails and says why; a new task gets another client.
func TestADisabledClientRunsNothing(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		able := func(id scheduler.ClientID, at time.Time) {
			t.Helper()
			if _, err := r.store.UpdateClient(t.Context(), storetest.MasterID, id, func(c *scheduler.Client) error { c.DisabledAt = at; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		able(r.b.client.ID, time.Now().UTC().Truncate(time.Microsecond)) // the newest
		got, err := r.server.jobs.client(t.Context(), storetest.MasterID, nil)
		if err != nil || got.ID != r.a.client.ID {
			t.Errorf("the newest that is enabled: %s, %v", got.ID, err)
		}
		if _, err := r.server.jobs.client(t.Context(), storetest.MasterID, map[string]any{"client_id": string(r.b.client.ID)}); scheduler.KindOf(err) != scheduler.Invalid {
			t.Errorf("a disabled one that is named: %v", err)
		}
		work := scheduler.RunWork{Task: scheduler.AccountTask{Job: scheduler.JobPurgeHistory, Parameters: `{"days": 30}`, ContentType: "application/json"}}
		work.Account.TimeZone, work.Client = "UTC", r.a.client
		if _, err := r.server.Perform(t.Context(), work); err != nil {
			t.Fatal(err)
		}
		ofClient, ofAccount := work, work
		ofClient.Client.DisabledAt, ofAccount.Account.DisabledAt = time.Now(), time.Now()
		for whose, work := range map[string]scheduler.RunWork{"client": ofClient, "account": ofAccount} {
			if _, err := r.server.Perform(t.Context(), work); scheduler.KindOf(err) != scheduler.Conflict || !strings.Contains(err.Error(), whose) {
				t.Errorf("a run of a disabled %s: %v", whose, err)
			}
		}
	})
}
