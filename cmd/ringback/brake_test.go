package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/api"
	"ringback/dialer"
	"ringback/dialer/sim"
	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

var update = flag.Bool("update", false, "write the transcript of docs/outage.md")

// outageStory is the document with the transcript, and what stands round it.
const (
	outageStory = "../../docs/outage.md"
	storyBegins = "```text\n"
	storyEnds   = "```\n"
)

// The carrier refuses every call for two minutes: the brake opens, probes,
// pauses for longer, probes again and closes, and the API tells of it as
// docs/outage.md shows.
func TestTheBrakeThroughAnOutage(t *testing.T) {
	var told string
	synctest.Test(t, func(t *testing.T) { told = outage(t) })
	document, err := os.ReadFile(outageStory)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(document), storyBegins)
	shown, after, ok := strings.Cut(rest, storyEnds)
	switch {
	case !ok:
		t.Fatalf("%s has no transcript", outageStory)
	case shown == told:
	case *update:
		if err := os.WriteFile(outageStory, []byte(before+storyBegins+told+storyEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s shows another transcript (-update writes it). This one is\n%s", outageStory, told)
	}
}

// rehearsal is a node in virtual time, with a client that watches it.
type rehearsal struct {
	*testing.T
	server *api.Server
	began  time.Time
	base   string // of the client's paths
	token  string
	text   strings.Builder
}

// outage plays the story and returns what was told.
func outage(t *testing.T) string {
	s := newRehearsal(t, sim.Options{
		AnswerPercent: 100, Ring: time.Second, Talk: 10 * time.Second, Outage: sim.Outage{After: 2 * time.Minute, For: 2 * time.Minute},
	})
	extension := s.post("/extension/", `{"name":"callbacks"}`)
	queue := s.post("/task_scheduler/", `{"name":"campaign","status":"on","concurrent_task_limit":20,"start_rate":1,
		"asr_min_percent":60,"asr_window_s":60,"asr_min_attempts":20,"asr_pause_s":30}`)
	one := fmt.Sprintf(`{"a_number":"+390655510001","b_number":"+390655510002","extension_id":%v}`, extension["id"])
	path := fmt.Sprintf("/task_scheduler/%v", queue["id"])
	s.send("POST", path+"/tasks/", `{"tasks":[`+strings.Repeat(one+",", 399)+one+`]}`)
	s.began = time.Now()
	gates := ""
	for _, scene := range []struct {
		at   time.Duration
		what string
	}{
		{110 * time.Second, "All is well: a start a second, and all are answered."},
		{135 * time.Second, "The carrier refuses every call since 2:00. What was answered before is still in the window."},
		{160 * time.Second, "The ratio fell under 60 %: nothing starts for 30 seconds. What is up goes on."},
		{200 * time.Second, "A probe failed: the next pause is twice as long."},
		{300 * time.Second, "Another one, a moment before the carrier was well again."},
		{355*time.Second + 500*time.Millisecond, "The pause is over: two probes, a tenth of the limit, are up."},
		{400 * time.Second, "They were answered: the brake is closed, and its window begins from nothing."},
	} {
		time.Sleep(time.Until(s.began.Add(scene.at + 250*time.Millisecond)))
		synctest.Wait()
		gates += s.look(path, scene.what) + " "
	}
	if want := "  asr asr asr asr  "; gates != want {
		s.Errorf("held by %q, want %q\n%s", gates, want, &s.text)
	}
	return s.text.String()
}

// look tells how a queue is now, and returns the gate that holds it.
func (s *rehearsal) look(path, what string) string {
	s.tell("# %s", what)
	q := s.send("GET", path, "").object(s.T)
	s.tell("GET …%s", path)
	counts := map[string]any{}
	for status, n := range q["counts"].(map[string]any) {
		if n != 0.0 {
			counts[status] = n
		}
	}
	s.tell("    hold        %s", inJSON(q["hold"]))
	s.tell("    counts      %s", inJSON(counts))
	status := "scheduled"
	if q["hold"] != nil {
		status = "delayed_asr"
	}
	list := s.send("GET", path+"/tasks/?per_page=1&status="+status, "")
	s.tell("GET …%s/tasks/?per_page=1&status=%s    (X-Total-Count: %s)", path, status, list.Header().Get("X-Total-Count"))
	var tasks []map[string]any
	if err := json.Unmarshal(list.Body.Bytes(), &tasks); err != nil || len(tasks) != 1 {
		s.Fatalf("%d tasks, %v", len(tasks), err)
	}
	s.tell("    blocked_by  %s", inJSON(tasks[0]["blocked_by"]))
	minute := time.Now().UTC().Truncate(time.Minute).Add(-time.Minute).Format(time.DateTime)
	stats := s.send("GET", path+"/stats?from="+url.QueryEscape(minute), "").object(s.T)
	s.tell("GET …%s/stats?from=%s", path, url.QueryEscape(minute))
	a := stats["leg_a"].(map[string]any)
	s.tell("    leg_a       bids %v, answers %v, ner %s", a["bids"], a["answers"], inJSON(a["ner"]))
	s.tell("")
	hold, _ := q["hold"].(map[string]any)
	gate, _ := hold["gate"].(string)
	return gate
}

// tell adds a line; a remark has the time since the beginning before it.
func (s *rehearsal) tell(format string, args ...any) {
	if strings.HasPrefix(format, "#") {
		since := time.Since(s.began).Truncate(time.Second)
		fmt.Fprintf(&s.text, "%d:%02d ", since/time.Minute, since%time.Minute/time.Second)
	}
	fmt.Fprintf(&s.text, format+"\n", args...)
}

func inJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // a value that was decoded
	return strings.TrimSpace(b.String())
}

// told is an answer of the API.
type told struct{ *httptest.ResponseRecorder }

func (a told) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(a.Body.Bytes(), &o); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return o
}

// send asks the API as the client.
func (s *rehearsal) send(method, path, body string) told {
	s.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, s.base+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+s.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	if w.Code > 299 {
		s.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return told{w}
}

func (s *rehearsal) post(path, body string) map[string]any {
	s.Helper()
	return s.send("POST", path, body).object(s.T)
}

// newRehearsal starts a node, as serve does, over a simulated carrier.
func newRehearsal(t *testing.T, carrier sim.Options) *rehearsal {
	db := storetest.Open(t, storetest.SQLiteURL(t))
	driver, err := sim.New(carrier)
	if err != nil {
		t.Fatal(err)
	}
	clock, lease, log := &scheduler.Clock{}, scheduler.NewLease(), slog.New(slog.DiscardHandler)
	engine, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "sim", Driver: driver, Simulated: true}}, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	recorder := scheduler.NewRecorder(scheduler.RecorderOptions{Results: db, Lease: lease, Now: clock.Now, Log: log})
	dispatcher := scheduler.NewDispatcher(scheduler.DispatcherOptions{
		Tasks: db, Recorder: recorder, Dialer: engine, Lease: lease, Workers: 100, Now: clock.Now,
		Stray: 2 * store.StatementTimeout, Log: log, Observer: newMetrics(),
	})
	node := scheduler.NewNode(scheduler.NodeOptions{
		Name: "n1", Length: time.Minute, Nodes: db, Lease: lease, Clock: clock, Time: db.Time, Left: func([]scheduler.Task) {}, Log: log,
	})
	if _, err := node.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.OnTasks(dispatcher.Wake)
	ctx, stop := context.WithCancel(context.Background())
	var loops, recording sync.WaitGroup
	recording.Go(func() { recorder.Run(context.Background()) })
	loops.Go(func() { node.Run(ctx) })
	loops.Go(func() { dispatcher.Run(ctx) })
	loops.Go(func() { eachMinute(ctx, func() { tidy(ctx, db, clock, log) }) })
	t.Cleanup(func() {
		stop()
		loops.Wait()
		dispatcher.Cut(scheduler.CutShutdown)
		dispatcher.Drain(context.Background())
		recorder.Close()
		recording.Wait()
		if err := driver.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &rehearsal{T: t, server: api.New(api.Options{Store: db, CheckURL: webhooks.Guard{}.CheckURL, Now: clock.Now, Log: log}), began: time.Now()}
	s.token = signIn(t, db, s.server)
	s.base = "/client/" + string(storetest.Client(t, db).ID)
	return s
}

func eachMinute(ctx context.Context, do func()) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// signIn makes a user of the master account who can, and returns a token.
func signIn(t *testing.T, db *store.Store, server *api.Server) string {
	t.Helper()
	user := scheduler.User{
		ID: storetest.UserID, AccountID: storetest.MasterID, Username: adminName,
		PasswordHash: api.HashPassword(adminPassword), CreatedAt: time.Now(),
	}
	if err := db.EnsureMaster(t.Context(), scheduler.Account{ID: storetest.MasterID, TimeZone: "UTC", CreatedAt: time.Now()}, user); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {adminPassword}}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	token, _ := told{w}.object(t)["access_token"].(string)
	if token == "" {
		t.Fatalf("no token: %d %s", w.Code, w.Body)
	}
	return token
}
