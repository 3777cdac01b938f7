package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ringback/api"
	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// backRoom is an account in Rome with a client, a queue, and nodes that run what
// recurs.
type backRoom struct {
	*testing.T
	s      *store.Store
	cl     scheduler.Client
	ext    scheduler.Extension
	queue  scheduler.Queue
	server *api.Server
	node   int // lives of it so far
}

func newBackRoom(t *testing.T, s *store.Store) *backRoom {
	t.Helper()
	now := time.Now().UTC()
	err := s.EnsureMaster(t.Context(),
		scheduler.Account{ID: storetest.MasterID, CompanyName: "Roma", Email: "reports@roma.example", TimeZone: "Europe/Rome", CreatedAt: now},
		scheduler.User{ID: storetest.UserID, AccountID: storetest.MasterID, Username: "admin", PasswordHash: "none", CreatedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	cl := storetest.Client(t, s)
	return &backRoom{
		T: t, s: s, cl: cl, ext: storetest.Extension(t, s, cl), queue: storetest.Queue(t, s, cl, 0),
		server: api.New(api.Options{Store: s, CheckURL: webhooks.Guard{}.CheckURL, Log: slog.New(slog.DiscardHandler), DefaultRegion: "IT", Mails: true}),
	}
}

// runner is the next life of its node, which does what runs come to.
func (o *backRoom) runner(runs scheduler.Runs) *scheduler.Runner {
	o.Helper()
	o.node++
	owner := scheduler.Owner{Node: "n1", Epoch: int64(o.node)}
	if err := o.s.FreeRuns(o.Context(), owner); err != nil {
		o.Fatal(err)
	}
	return scheduler.NewRunner(scheduler.RunnerOptions{
		Runs: runs, Performer: o.server, Owner: func() scheduler.Owner { return owner }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
}

// register stores a recurring task that begins at a time in Rome.
func (o *backRoom) register(job scheduler.JobID, f scheduler.Frequency, start time.Time, params string) scheduler.AccountTask {
	o.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	task := scheduler.AccountTask{
		ID: scheduler.AccountTaskID(scheduler.NewGUID(now)), AccountID: storetest.MasterID, ClientID: o.cl.ID, Job: job, Enabled: true,
		Frequency: f, StartAt: start, Parameters: params, ContentType: "application/json", Notification: scheduler.NotifyEmail,
		CreatedAt: now, ModifiedAt: now, ModifiedBy: "admin",
	}
	task, missed := task.Schedule(now, start.Location())
	if err := o.s.AddAccountTask(o.Context(), task, missed); err != nil {
		o.Fatal(err)
	}
	return task
}

func (o *backRoom) tasks() []scheduler.Task {
	o.Helper()
	found, err := o.s.Tasks(o.Context(), o.cl.ID, o.queue.ID, scheduler.TaskFilter{}, scheduler.Page{Number: 1, Size: 1000})
	if err != nil {
		o.Fatal(err)
	}
	return found.Rows
}

// in runs a test at a time of virtual time.
func in(t *testing.T, begin time.Time, test func(o *backRoom)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(begin))
		test(newBackRoom(t, storetest.Open(t, storetest.SQLiteURL(t))))
	})
}

func rome(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// during ticks every ten minutes until a time.
func (o *backRoom) during(r *scheduler.Runner, until time.Time) {
	for time.Now().Before(until) {
		r.Tick(o.Context())
		r.Wait()
		time.Sleep(10 * time.Minute)
	}
}

// killed is a store whose node is killed at some moments of a run.
type killed struct {
	scheduler.Runs
	after bool         // the commit: its answer is lost
	at    map[int]bool // by the number of the end
	ends  *int
}

var errKilled = errors.New("the node is gone")

func (k killed) FinishRun(ctx context.Context, w scheduler.RunWork, o scheduler.RunOutcome, now time.Time) (bool, error) {
	*k.ends++
	if !k.at[*k.ends] {
		return k.Runs.FinishRun(ctx, w, o, now)
	}
	if k.after {
		if _, err := k.Runs.FinishRun(ctx, w, o, now); err != nil {
			return false, err
		}
	}
	return false, errKilled
}

// Two months of days, the change of the clocks among them; the node is killed at
// the moment of some runs, before and after its commit.
func TestTwoMonthsOfDailyBatches(t *testing.T) {
	zone := rome(t)
	start := time.Date(2026, 3, 1, 2, 30, 0, 0, zone)
	in(t, start.Add(-time.Hour), func(o *backRoom) {
		task := o.register(scheduler.JobPostTasks, scheduler.Daily, start, fmt.Sprintf(
			`{"scheduler_id": %d, "tasks": [{"a_number": "101", "b_number": "102", "extension_id": %d, "start_time_utc": "09:00:00", "external_id": "morning"},
			{"a_number": "103", "b_number": "104", "extension_id": %d, "start_time_utc": 60}]}`, o.queue.ID, o.ext.ID, o.ext.ID))
		const days = 61
		ends := 0
		for i := range days {
			runs := killed{Runs: o.s, ends: &ends, after: i%2 == 0, at: map[int]bool{}}
			if i%10 == 5 || i%10 == 6 {
				runs.at[ends+1] = true
			}
			o.during(o.runner(runs), start.AddDate(0, 0, i).Add(15*time.Minute))
			if runs.at[ends] { // and its next life is there two minutes later
				time.Sleep(2 * time.Minute)
				o.during(o.runner(o.s), time.Now().Add(time.Minute))
			}
		}
		var want []string
		for i := range days {
			day := time.Date(2026, 3, 1+i, 0, 0, 0, 0, zone)
			at := day.Add(9 * time.Hour)
			if day.Month() == 3 && day.Day() == 29 {
				at = day.Add(8 * time.Hour) // an hour of it is left out
			}
			want = append(want, "morning-"+day.Format(time.DateOnly)+" "+at.UTC().Format(time.DateTime))
		}
		var got []string
		sixty := 0
		for _, posted := range o.tasks() {
			if posted.ExternalID == "" {
				sixty++
				if d := posted.StartAt.Sub(posted.CreatedAt); d != time.Minute {
					o.Errorf("a start in sixty seconds is in %s", d)
				}
				continue
			}
			got = append(got, posted.ExternalID+" "+posted.StartAt.Format(time.DateTime))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || sixty != days {
			o.Errorf("posted %d and %d\ngot  %s\nwant %s", len(got), sixty, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
		found, err := o.s.AccountTaskRuns(o.Context(), task.ID, scheduler.Page{Number: 1, Size: 1000})
		if err != nil || len(found.Rows) != days {
			o.Fatalf("%d runs, want %d, %v", len(found.Rows), days, err)
		}
		again := 0
		for i, r := range found.Rows {
			due := time.Date(2026, 3, 1+i, 2, 30, 0, 0, zone)
			if due.In(zone).Format(time.DateOnly) == "2026-03-29" {
				due = time.Date(2026, 3, 29, 3, 0, 0, 0, zone)
			}
			if r.State != scheduler.RunSucceeded || !r.ScheduledFor.Equal(due) {
				o.Errorf("run %d was %s, for %s, want %s", i, r.State, r.ScheduledFor.In(zone), due)
			}
			if r.Tries > 1 {
				again++
			}
		}
		if again == 0 {
			o.Error("no run was begun again after its node was killed")
		}
	})
}

func TestSwitchedOffAtNight(t *testing.T) {
	zone := rome(t)
	friday := time.Date(2026, 3, 27, 12, 0, 0, 0, zone)
	in(t, friday, func(o *backRoom) {
		params := `{"scheduler_id": %d, "status": %q}`
		o.register(scheduler.JobSwitchScheduler, scheduler.Daily, time.Date(2026, 3, 27, 20, 0, 0, 0, zone), fmt.Sprintf(params, o.queue.ID, "off"))
		o.register(scheduler.JobSwitchScheduler, scheduler.Daily, time.Date(2026, 3, 28, 8, 0, 0, 0, zone), fmt.Sprintf(params, o.queue.ID, "on"))
		r := o.runner(o.s)
		for now := friday; now.Before(friday.AddDate(0, 0, 4)); now = time.Now() {
			r.Tick(o.Context())
			r.Wait()
			q, err := o.s.Queue(o.Context(), o.cl.ID, o.queue.ID)
			if err != nil {
				o.Fatal(err)
			}
			if hour := now.In(zone).Hour(); q.On != (hour >= 8 && hour < 20) {
				o.Errorf("at %s it is on: %v", now.In(zone), q.On)
			}
			time.Sleep(20 * time.Minute)
		}
	})
}

// postOffice is an SMTP server that keeps what it is handed.
type postOffice struct {
	mu     sync.Mutex
	broken bool // refuses everything for now
	came   [][]byte
	asked  int
}

func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &counter{p: p}, nil }

type counter struct {
	p      *postOffice
	authed bool
}

func (c *counter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *counter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "ringback" || password != "a secret" {
			return errors.New("no")
		}
		c.authed = true
		return nil
	}), nil
}

func (c *counter) Mail(string, *smtp.MailOptions) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.asked++
	switch {
	case !c.authed:
		return smtp.ErrAuthRequired
	case c.p.broken:
		return &smtp.SMTPError{Code: 451, Message: "come again"}
	}
	return nil
}
func (c *counter) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (c *counter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.came = append(c.p.came, text)
	return err
}
func (c *counter) Reset()        {}
func (c *counter) Logout() error { return nil }

// open starts the post office on a port of its own, with STARTTLS.
func (p *postOffice) open(t *testing.T) (port int, trust *tls.Config) {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certified.Close)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(p)
	server.Domain, server.TLSConfig, server.ErrorLog = "localhost", &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}, silent{}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	trust = certified.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.ServerName = "example.com" // of the test certificate
	return listener.Addr().(*net.TCPAddr).Port, trust
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// parts returns the parts of a message by their media types.
func parts(t *testing.T, header func(string) string, body io.Reader, into map[string]string) {
	t.Helper()
	media, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(media, "multipart/") {
		text, err := io.ReadAll(decoded(header("Content-Transfer-Encoding"), body))
		if err != nil {
			t.Fatal(err)
		}
		into[media] = string(text)
		return
	}
	for r := multipart.NewReader(body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		parts(t, part.Header.Get, part, into)
	}
}

// The report of a day is mailed; read back from the mail server its figures are
// those of the statistics, and its list has every call.
func TestCallReportByMail(t *testing.T) {
	s := storetest.Open(t, storetest.SQLiteURL(t))
	o := newBackRoom(t, s)
	post := &postOffice{broken: true}
	port, trust := post.open(t)
	owner, _, _, err := s.Join(t.Context(), "caller", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	var tasks []scheduler.Task
	for range 20 {
		tasks = append(tasks, storetest.Task(o.ext, now))
	}
	if _, err := s.AddTasks(t.Context(), o.cl.ID, o.queue.ID, tasks); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), owner, now.Add(time.Millisecond), 100)
	if err != nil || len(claimed.Started) != 20 {
		t.Fatalf("%d started, %v", len(claimed.Started), err)
	}
	var trs []scheduler.Transition
	for i, st := range claimed.Started {
		leg := func(role scheduler.Role, d scheduler.Disposition) scheduler.Leg {
			l := scheduler.Leg{Role: role, Try: 1, StartedAt: now, RangAt: now.Add(800 * time.Millisecond), EndedAt: now.Add(10 * time.Second), Disposition: d}
			if d == scheduler.Answered {
				l.AnsweredAt = now.Add(2 * time.Second)
			}
			return l
		}
		end := scheduler.Outcome{EndedAt: now.Add(10 * time.Second), Legs: []scheduler.Leg{leg(scheduler.LegA, scheduler.UserBusy)}}
		if i%4 != 0 {
			end.BridgedAt = now.Add(3 * time.Second)
			end.Legs = []scheduler.Leg{leg(scheduler.LegA, scheduler.Answered), leg(scheduler.LegB, scheduler.Answered)}
		}
		trs = append(trs, st.Transition.Task.End(end, now.Add(10*time.Second)))
	}
	if _, err := s.Apply(t.Context(), owner, trs); err != nil {
		t.Fatal(err)
	}

	observed := newMetrics()
	later := now.Add(time.Hour) // when the report is made
	task := o.register(scheduler.JobCallReport, scheduler.FrequencyNone, later, `{}`)
	runner := scheduler.NewRunner(scheduler.RunnerOptions{
		Runs: s, Performer: o.server, Owner: func() scheduler.Owner { return owner }, Now: func() time.Time { return later }, Log: slog.New(slog.DiscardHandler),
		Observer: observed,
	})
	runner.Tick(t.Context())
	runner.Wait()
	found, err := s.AccountTaskRuns(t.Context(), task.ID, scheduler.Page{Number: 1, Size: 10})
	if err != nil || len(found.Rows) != 1 || found.Rows[0].State != scheduler.RunSucceeded {
		t.Fatalf("the run: %+v, %v", found.Rows, err)
	}
	at := later
	mailer := webhooks.NewMailer(webhooks.MailerOptions{Outbox: s, Observer: observed, Now: func() time.Time { return at }, Log: slog.New(slog.DiscardHandler), Server: webhooks.MailServer{
		Host: "127.0.0.1", Port: port, Username: "ringback", Password: "a secret", From: "ringback@example.com", TLS: "starttls", Config: trust,
	}})
	mailer.Tick(t.Context()) // the server says: later
	mailer.Tick(t.Context()) // and is left alone
	post.broken = false
	at = at.Add(time.Minute)
	mailer.Tick(t.Context())
	at = at.Add(24 * time.Hour)
	mailer.Tick(t.Context())
	if len(post.came) != 1 || post.asked != 2 {
		t.Fatalf("%d messages came in %d tries, want one in two", len(post.came), post.asked)
	}
	counted := httptest.NewRecorder()
	observed.handler().ServeHTTP(counted, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{`ringback_runs_total{outcome="succeeded",task="CALL_REPORT"} 1`, `ringback_mails_total{outcome="retry"} 1`, `ringback_mails_total{outcome="sent"} 1`} {
		if !strings.Contains(counted.Body.String(), line) {
			t.Errorf("the metrics do not say %s", line)
		}
	}
	msg, err := mail.ReadMessage(bytes.NewReader(post.came[0]))
	if err != nil {
		t.Fatal(err)
	}
	if to := msg.Header.Get("To"); to != "<reports@roma.example>" || !strings.Contains(msg.Header.Get("Message-Id"), string(task.ID)) {
		t.Errorf("to %s, %s", to, msg.Header.Get("Message-Id"))
	}
	if agent := msg.Header.Get("User-Agent") + msg.Header.Get("X-Mailer"); agent != "" {
		t.Errorf("it tells that %s made it", agent)
	}
	told := map[string]string{}
	parts(t, msg.Header.Get, msg.Body, told)
	from, to := scheduler.MinuteOf(later.Add(-24*time.Hour)), scheduler.MinuteOf(later)
	stats, err := s.Stats(t.Context(), o.cl.ID, o.queue.ID, from, to)
	if err != nil {
		t.Fatal(err)
	}
	ratio := func(good, of int) string { return fmt.Sprintf("%.2f %% of %d", 100*float64(good)/float64(of), of) }
	for name, want := range map[string]string{
		"tasks finished": fmt.Sprint(stats.Finished), "attempts": fmt.Sprint(stats.Attempts), "connected": fmt.Sprint(stats.Connected),
		"success": ratio(stats.Succeeded, stats.Finished), "ASR A": ratio(stats.A.Answers, stats.A.Seizures), "NER A": ratio(stats.A.Effective, stats.A.Judged),
		"ACD A": fmt.Sprint(stats.A.ACD().Seconds()) + " s", "ASR B": ratio(stats.B.Answers, stats.B.Seizures),
		"PDD A, median": fmt.Sprint(stats.A.PDD.Quantile(0.5).Milliseconds()) + " ms", "bridged": "15", "busy": "5", "rejected": "0",
	} {
		line := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(name) + ` +(.*?)\r?$`).FindStringSubmatch(told["text/plain"])
		if line == nil || line[1] != want {
			t.Errorf("%s is told as %q, want %q", name, line, want)
		}
		if cell := ">" + name + "</td>"; !strings.Contains(told["text/html"], cell) && !strings.Contains(told["text/html"], ">"+name+"</text>") {
			t.Errorf("%s is not in the page", name)
		}
	}
	if stats.Attempts != 20 || stats.Connected != 15 || !strings.Contains(told["text/html"], "<svg") {
		t.Errorf("the statistics are of %d calls, the page %s", stats.Attempts, told["text/html"])
	}
	lines, err := csv.NewReader(strings.NewReader(told["text/csv"])).ReadAll()
	if err != nil || len(lines) != 21 || lines[0][0] != "call_uuid" {
		t.Errorf("the list has %d lines, %v", len(lines), err)
	}
}

// decoded undoes a transfer encoding (RFC 2045).
func decoded(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	}
	return r
}
