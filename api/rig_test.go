package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// The master account's user.
const (
	adminName     = "admin"
	adminPassword = "correct horse battery"
	clientSecret  = "a secret of some length"
)

// Hashes are slow on purpose: one each for all tests.
var (
	adminHash  = HashPassword(adminPassword)
	clientHash = HashPassword(clientSecret)
)

// rig is a server on a real store, with two clients of one account.
type rig struct {
	t      *testing.T
	store  *store.Store
	server *Server
	log    *bytes.Buffer
	user   string // the user's token
	a, b   party
	owner  scheduler.Owner // once it has joined
	worlds int             // made so far
}

// party is a client with its token and an extension.
type party struct {
	client    scheduler.Client
	token     string
	extension scheduler.Extension
}

func (p party) path(rest string) string { return "/client/" + string(p.client.ID) + rest }

func newRig(t *testing.T, s *store.Store) *rig {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := s.EnsureMaster(t.Context(),
		scheduler.Account{ID: storetest.MasterID, CompanyName: "Master", Email: "master@example.com", TimeZone: "UTC", CreatedAt: now},
		scheduler.User{ID: storetest.UserID, AccountID: storetest.MasterID, Username: adminName, PasswordHash: adminHash, CreatedAt: now})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: s, log: &bytes.Buffer{}}
	r.server = New(Options{
		Store: s, CheckURL: webhooks.Guard{}.CheckURL, SendEvent: refused, DefaultRegion: "GB", Trunks: []string{"carrier", "pbx"}, Sound: func(id string) bool { return id == "hello" }, Log: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	user := storetest.UserID
	r.user = r.token(scheduler.Token{UserID: &user})
	r.a, r.b = r.party(), r.party()
	t.Cleanup(func() {
		if r.log.Len() > 0 {
			t.Errorf("the server logged: %s", r.log)
		}
	})
	return r
}

// party makes a client with an extension.
func (r *rig) party() party {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	c := scheduler.Client{
		ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: storetest.MasterID, UserID: storetest.UserID,
		Name: "client", SecretHash: clientHash, CreatedAt: now,
	}
	if err := r.store.AddClient(r.t.Context(), c, webhooks.NewSecret(now)); err != nil {
		r.t.Fatal(err)
	}
	return party{client: c, token: r.token(scheduler.Token{ClientID: &c.ID}), extension: storetest.Extension(r.t, r.store, c)}
}

// partyWith makes a client with a secret and returns its id.
func (r *rig) partyWith(secret string) scheduler.ClientID {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	c := scheduler.Client{
		ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: storetest.MasterID, UserID: storetest.UserID,
		Name: "client", SecretHash: HashPassword(secret), CreatedAt: now,
	}
	if err := r.store.AddClient(r.t.Context(), c, webhooks.NewSecret(now)); err != nil {
		r.t.Fatal(err)
	}
	return c.ID
}

// tokenOfA is a token of client a, to be handed out.
func tokenOfA(r *rig) scheduler.Token { return scheduler.Token{ClientID: &r.a.client.ID} }

// token keeps an access token and returns it.
func (r *rig) token(t scheduler.Token) string {
	r.t.Helper()
	issued, err := tokens{tokens: r.store, now: time.Now}.hand(r.t.Context(), t)
	if err != nil {
		r.t.Fatal(err)
	}
	return issued.AccessToken
}

// reply is an answer of the server.
type reply struct {
	t      *testing.T
	code   int
	header http.Header
	body   string
}

// do sends a request; body is sent as JSON.
func (r *rig) do(method, path, token, body string) reply {
	r.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(context.Background(), method, path, reader)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return r.send(req)
}

func (r *rig) send(req *http.Request) reply {
	r.t.Helper()
	w := recorded(r.t, r.server, req)
	return reply{t: r.t, code: w.Code, header: w.Header(), body: w.Body.String()}
}

// leaver is a caller that has enough of an answer that goes on with the first
// part of it.
type leaver struct {
	*httptest.ResponseRecorder
	leave func()
}

// Flush implements http.Flusher.
func (l leaver) Flush() { l.leave() }

// want fails the test unless the answer has the code.
func (a reply) want(code int) reply {
	a.t.Helper()
	if a.code != code {
		a.t.Fatalf("answered %d, want %d: %s", a.code, code, a.body)
	}
	return a
}

// object returns the answer's JSON object.
func (a reply) object() map[string]any { return decoded[map[string]any](a) }

// objects returns the answer's JSON array of objects.
func (a reply) objects() []map[string]any { return decoded[[]map[string]any](a) }

func decoded[T any](a reply) T {
	a.t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

// refused fails the test unless the answer is a problem with the status, and
// returns its faults by field.
func (a reply) refused(code int, status string) map[string]string {
	a.t.Helper()
	a.want(code)
	got := decoded[refusal](a)
	if got.Status != status || got.Message == "" {
		a.t.Fatalf("refused with %q, want %q: %s", got.Status, status, a.body)
	}
	faults := map[string]string{}
	for _, f := range got.Errors {
		faults[f.Field] = f.Message
	}
	return faults
}

// id returns the id of the answer's resource.
func (a reply) id() string {
	a.t.Helper()
	n, ok := a.object()["id"].(float64)
	if !ok {
		a.t.Fatalf("no id: %s", a.body)
	}
	return jsonNumber(n)
}

func jsonNumber(n float64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// queue makes a queue of a party and returns its path.
func (r *rig) queue(p party, body string) string {
	r.t.Helper()
	return p.path("/task_scheduler/" + r.do("POST", p.path("/task_scheduler/"), p.token, body).want(201).id())
}

// each runs a test on a rig on SQLite and on PostgreSQL.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	storetest.Each(t, func(t *testing.T, s *store.Store) { test(t, newRig(t, s)) })
}
