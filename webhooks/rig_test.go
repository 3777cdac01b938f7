package webhooks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

// rig is an outbox on a real store, receivers of the test's own, and a
// notifier between them.
type rig struct {
	*testing.T
	s     *store.Store
	cl    scheduler.Client
	ext   scheduler.Extension
	queue scheduler.Queue
	owner scheduler.Owner
	net   *network
	seen  observed
	o     webhooks.Options
	began time.Time
}

// network is a transport whose receivers are functions.
type network struct {
	answer func(*http.Request, post) (status int, header http.Header)
	mu     sync.Mutex
	posts  []post
	flying map[string]int // requests in flight, by host and in all ("")
	most   map[string]int
}

// post is a request that arrived.
type post struct {
	At     time.Time
	Host   string
	Header http.Header
	Body   []byte
	Event  wireEvent
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	p := post{At: time.Now(), Host: r.URL.Host, Header: r.Header, Body: body}
	if err := json.Unmarshal(body, &p.Event); err != nil {
		return nil, err
	}
	n.fly(p.Host, 1)
	defer n.fly(p.Host, -1)
	n.mu.Lock()
	n.posts = append(n.posts, p)
	n.mu.Unlock()
	status, header := http.StatusOK, http.Header{}
	if n.answer != nil {
		status, header = n.answer(r, p)
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte("noted"))), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

func (n *network) fly(host string, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range []string{host, ""} {
		n.flying[key] += by
		n.most[key] = max(n.most[key], n.flying[key])
	}
}

// arrived returns what arrived so far.
func (n *network) arrived() []post {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]post{}, n.posts...)
}

// hang waits until the request is given up.
func hang(r *http.Request, _ post) (status int, header http.Header) {
	<-r.Context().Done()
	return 0, nil
}

func always(status int) func(*http.Request, post) (int, http.Header) {
	return func(*http.Request, post) (int, http.Header) { return status, http.Header{} }
}

// observed counts what the observer is told.
type observed struct {
	mu       sync.Mutex
	tried    map[scheduler.DeliveryState]int
	overtook int
	turned   []webhooks.DestinationState
}

func (o *observed) Tried(_ scheduler.EventKind, state scheduler.DeliveryState, _ webhooks.Try) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tried[state]++
}

func (o *observed) Overtook(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.overtook += n
}

func (o *observed) Turned(to webhooks.DestinationState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.turned = append(o.turned, to)
}

func (o *observed) counts() (tried map[scheduler.DeliveryState]int, overtook int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	tried = map[scheduler.DeliveryState]int{}
	for state, n := range o.tried {
		tried[state] = n
	}
	return tried, o.overtook
}

func newRig(t *testing.T, s *store.Store) *rig {
	t.Helper()
	cl := storetest.Client(t, s)
	owner, _, _, err := s.Join(t.Context(), "node", time.Now(), 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		T: t, s: s, cl: cl, ext: storetest.Extension(t, s, cl), queue: storetest.Queue(t, s, cl, 0), owner: owner,
		net:   &network{flying: map[string]int{}, most: map[string]int{}},
		seen:  observed{tried: map[scheduler.DeliveryState]int{}},
		began: time.Now(),
	}
	r.o = webhooks.Options{
		Outbox: s, Observer: &r.seen, Transport: r.net, Log: slog.New(slog.DiscardHandler),
	}
	return r
}

// both runs a test that makes databases of its own on both kinds; with -short on
// SQLite alone, as a bubble has nothing for the race detector on the other.
func both(t *testing.T, test func(t *testing.T, empty func(testing.TB) string)) {
	t.Helper()
	if testing.Short() {
		test(t, storetest.SQLiteURL)
		return
	}
	storetest.EachKind(t, test)
}

// virtual runs a test in virtual time, on both databases.
func virtual(t *testing.T, test func(r *rig)) {
	t.Helper()
	both(t, func(t *testing.T, empty func(testing.TB) string) {
		url := empty(t)
		synctest.Test(t, func(t *testing.T) { test(newRig(t, storetest.Open(t, url))) })
	})
}

// pure is virtual for what no database takes part in: on SQLite alone.
func pure(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, storetest.Open(t, storetest.SQLiteURL(t)))) })
}

// urls are where a task wants to hear of what.
type urls struct{ before, success, after string }

// start begins an attempt of a task for each of the URLs, and returns them.
func (r *rig) start(hooks ...urls) []scheduler.Task {
	r.Helper()
	tasks := make([]scheduler.Task, len(hooks))
	for i, u := range hooks {
		tasks[i] = storetest.Task(r.ext, time.Now())
		tasks[i].URLBefore, tasks[i].URLSuccess, tasks[i].URLAfter = u.before, u.success, u.after
	}
	if _, err := r.s.AddTasks(r.Context(), r.cl.ID, r.queue.ID, tasks); err != nil {
		r.Fatal(err)
	}
	var started []scheduler.Task
	for len(started) < len(hooks) {
		claimed, err := r.s.Claim(r.Context(), r.owner, time.Now(), len(hooks))
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range claimed.Started {
			started = append(started, c.Transition.Task)
		}
	}
	return started
}

// finish ends the attempts of tasks: A and B were connected.
func (r *rig) finish(tasks ...scheduler.Task) {
	r.Helper()
	now := time.Now()
	leg := func(role scheduler.Role) scheduler.Leg {
		return scheduler.Leg{Role: role, Try: 1, StartedAt: now, AnsweredAt: now, EndedAt: now, Disposition: scheduler.Answered, Q850: 16}
	}
	var trs []scheduler.Transition
	for _, task := range tasks {
		trs = append(trs, task.End(scheduler.Outcome{
			BridgedAt: now, EndedAt: now, Legs: []scheduler.Leg{leg(scheduler.LegA), leg(scheduler.LegB)},
		}, now))
	}
	if _, err := r.s.Apply(r.Context(), r.owner, trs); err != nil {
		r.Fatal(err)
	}
}

// owe owes one after-event to each URL.
func (r *rig) owe(hooks ...string) {
	r.Helper()
	all := make([]urls, len(hooks))
	for i, u := range hooks {
		all[i].after = u
	}
	r.finish(r.start(all...)...)
}

// run runs a notifier until the returned function stops it and waits.
func (r *rig) run() (n *webhooks.Notifier, stop func()) {
	n = webhooks.New(r.o)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.Run(ctx) })
	return n, func() { cancel(); running.Wait() }
}

// during runs a notifier for a time.
func (r *rig) during(d time.Duration) {
	r.Helper()
	_, stop := r.run()
	<-time.After(d)
	stop()
}

// owed returns how many deliveries did not end yet.
func (r *rig) owed() int {
	r.Helper()
	owed, err := r.s.Deliveries(r.Context(), r.cl.ID,
		webhooks.Filter{States: []scheduler.DeliveryState{scheduler.DeliveryReady, scheduler.DeliveryHeld}}, scheduler.Page{Number: 1, Size: 1})
	if err != nil {
		r.Fatal(err)
	}
	return owed.Total
}

// left returns how many deliveries will still be tried or are held.
func (r *rig) left() int {
	r.Helper()
	far := time.Now().Add(1000 * time.Hour)
	if _, err := r.s.SweepDeliveries(r.Context(), far); err != nil {
		r.Fatal(err)
	}
	work, _, err := r.s.ClaimDeliveries(r.Context(), webhooks.Claim{Now: far, Room: 10000, PerOrigin: 10000})
	if err != nil {
		r.Fatal(err)
	}
	return len(work)
}

// readPost reads a request as a receiver does.
func readPost(t *testing.T, r *http.Request) post {
	t.Helper()
	p := post{At: time.Now(), Host: r.Host, Header: r.Header}
	var err error
	if p.Body, err = io.ReadAll(r.Body); err == nil {
		err = json.Unmarshal(p.Body, &p.Event)
	}
	if err != nil {
		t.Error(err)
	}
	return p
}
