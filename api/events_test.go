package api

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// heardEvent is an event as a listener reads it.
type heardEvent struct{ id, name, data string }

// listening is an open answer of …/events.
type listening struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Reader
	leave  func()
}

// listen opens the events of a queue on a server that runs at base.
func listen(t *testing.T, base, path, token, last string) *listening {
	t.Helper()
	ctx, leave := context.WithTimeout(t.Context(), time.Minute)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("answered %s, %v", answer.Status, answer.Header)
	}
	l := &listening{t: t, answer: answer, lines: bufio.NewReader(answer.Body), leave: leave}
	t.Cleanup(l.close)
	return l
}

func (l *listening) close() {
	l.leave()
	_ = l.answer.Body.Close()
}

// next reads an event; ok is false at the end of the answer.
func (l *listening) next() (e heardEvent, ok bool) {
	l.t.Helper()
	for {
		line, err := l.lines.ReadString('\n')
		if err != nil {
			return e, false
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				return e, true
			}
		}
	}
}

// want reads an event of a name.
func (l *listening) want(name string) heardEvent {
	l.t.Helper()
	e, ok := l.next()
	if !ok || e.name != name {
		l.t.Fatalf("read %+v, %v; want %s", e, ok, name)
	}
	return e
}

// node serves a server of its own on a store, until it is stopped.
func node(t *testing.T, s *store.Store) (base string, stop func()) {
	t.Helper()
	server := New(Options{Store: s, DefaultRegion: "GB"})
	ctx, cancel := context.WithCancel(context.Background())
	var streaming sync.WaitGroup
	streaming.Go(func() { server.Stream(ctx) })
	listener := httptest.NewServer(server)
	stop = sync.OnceFunc(func() {
		cancel()
		streaming.Wait()
		listener.Close() // waits for the answers, which have ended
	})
	t.Cleanup(stop)
	return listener.URL, stop
}

// A listener on one node is told of what another one writes, over
// reconnections and a new start of its node, and comes to what is stored.
func TestListenersMissNothing(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		s := storetest.Open(t, storetest.SQLiteURL(t))
		followEverything(t, s, s)
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		followEverything(t, storetest.Open(t, url), storetest.Open(t, url))
	})
}

func followEverything(t *testing.T, here, there *store.Store) {
	r := newRig(t, there)
	queue := r.queue(r.a, `{"name":"q","status":"on"}`)
	id, _ := strconv.ParseInt(queue[strings.LastIndex(queue, "/")+1:], 10, 64)
	queueID := scheduler.QueueID(id)
	since := time.Now().UTC().Truncate(time.Microsecond)

	heard := &hearer{tasks: map[string]string{}}
	base, stop := node(t, here)
	first := listen(t, base, queue, r.a.token, "")
	heard.last = first.want("hold").id
	first.close()
	var writing sync.WaitGroup
	r.join()
	for i := range 3 {
		writing.Go(func() { r.writeAtRandom(rand.New(rand.NewPCG(3, uint64(i))), queueID) })
	}
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()

	for round, done := 0, false; !done || heard.last != jsonNumber(float64(r.head(queueID))); round++ {
		select {
		case <-written:
			done = true
		default:
		}
		if round%5 == 4 {
			stop()
			base, stop = node(t, here)
		}
		heard.some(listen(t, base, queue, r.a.token, heard.last), 1+round*7%40, func() bool {
			return done && heard.last == jsonNumber(float64(r.head(queueID)))
		})
	}
	for id, data := range heard.tasks {
		if stored := r.do("GET", queue+"/tasks/"+id, r.a.token, "").want(200).body; row(t, stored) != row(t, data) {
			t.Errorf("heard last\n%s of\n%s", data, stored)
		}
	}
	changed, err := there.Tasks(t.Context(), r.a.client.ID, queueID, scheduler.TaskFilter{UpdatedSince: since}, scheduler.Page{Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, task := range changed.Rows {
		listed = append(listed, jsonNumber(float64(task.ID)))
	}
	if got := slices.Sorted(maps.Keys(heard.tasks)); !slices.Equal(got, slices.Sorted(slices.Values(listed))) || len(got) < 100 {
		t.Errorf("heard of %d tasks %v, and updated_since lists %d %v", len(got), got, len(listed), listed)
	}
}

// row is what is stored of a task: what holds it is derived, and passes.
func row(t *testing.T, body string) string {
	t.Helper()
	var task map[string]any
	if err := json.Unmarshal([]byte(body), &task); err != nil {
		t.Fatal(err)
	}
	delete(task, "blocked_by")
	stored, _ := json.Marshal(task)
	return string(stored)
}

// head is the number of a queue's latest change.
func (r *rig) head(queue scheduler.QueueID) int64 {
	r.t.Helper()
	heads, err := r.store.Heads(context.Background(), []scheduler.QueueID{queue})
	if err != nil {
		r.t.Fatal(err)
	}
	return heads[queue]
}

// hearer remembers what it was told.
type hearer struct {
	last  string
	tasks map[string]string
}

// some hears up to n events that have an id.
func (h *hearer) some(l *listening, n int, enough func() bool) {
	l.t.Helper()
	defer l.close()
	for ; n > 0 && !enough(); n-- {
		e, ok := l.next()
		if !ok {
			return
		}
		if e.name == "reset" {
			l.t.Fatal("was told to begin anew")
		}
		if e.name == "task" {
			var task struct {
				ID json.Number `json:"id"`
			}
			if err := json.Unmarshal([]byte(e.data), &task); err != nil {
				l.t.Fatal(err)
			}
			h.tasks[task.ID.String()] = e.data
		}
		if e.id == "" {
			continue
		}
		was, _ := parseCursor(h.last)
		is, fine := parseCursor(e.id)
		if !fine || h.last != "" && (is.seq < was.seq || is.seq == was.seq && was.task == 0 && is.task != 0) {
			l.t.Errorf("event %s came after %s", e.id, h.last)
		}
		h.last = e.id
	}
}

// writeAtRandom changes tasks in every way that there is.
func (r *rig) writeAtRandom(rnd *rand.Rand, queue scheduler.QueueID) {
	ctx, client := context.Background(), r.a.client.ID
	for range 40 {
		var err error
		now := time.Now().UTC().Truncate(time.Microsecond)
		switch rnd.IntN(5) {
		case 0:
			tasks := make([]scheduler.Task, 1+rnd.IntN(20))
			for i := range tasks {
				tasks[i] = storetest.Task(r.a.extension, now)
				tasks[i].TryCount = 2
			}
			_, err = r.store.AddTasks(ctx, client, queue, tasks)
		case 1, 2:
			var claimed scheduler.Claimed
			if claimed, err = r.store.Claim(ctx, r.owner, now, 5); err != nil {
				break
			}
			trs := make([]scheduler.Transition, len(claimed.Started))
			for i, s := range claimed.Started {
				trs[i] = s.Transition.Task.Release(now)
				if rnd.IntN(2) == 0 {
					trs[i] = s.Transition.Task.Lose(now)
				}
			}
			_, err = r.store.Apply(ctx, r.owner, trs)
		case 3:
			var some scheduler.List[scheduler.Task]
			some, err = r.store.Tasks(ctx, client, queue, scheduler.TaskFilter{}, scheduler.Page{Size: 5, Descending: true})
			for _, task := range some.Rows {
				_, err = r.store.UpdateTask(ctx, client, queue, task.ID, func(t *scheduler.Task) error { t.Name = "renamed"; return nil })
			}
		case 4:
			var some scheduler.List[scheduler.Task]
			some, err = r.store.Tasks(ctx, client, queue, scheduler.TaskFilter{}, scheduler.Page{Size: 3})
			for _, task := range some.Rows {
				err = r.store.CancelTask(ctx, client, queue, task.ID, true, now)
			}
		}
		if err != nil && scheduler.KindOf(err) != scheduler.Conflict {
			r.t.Error(err)
			return
		}
	}
}

// A batch that is longer than what is read at one time is told whole, also to
// who leaves in the middle of it.
func TestListenersComeBackWithinABatch(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		base, _ := node(t, r.store)
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		start := listen(t, base, queue, r.a.token, "").want("hold")
		const n = 2*excerptTasks + 50
		one := strings.TrimSuffix(strings.TrimPrefix(oneTask(r.a, ""), `{"tasks":[`), `]}`)
		r.do("POST", queue+"/tasks", r.a.token, `{"tasks":[`+strings.Repeat(one+",", n-1)+one+`]}`).want(201)
		heard := map[string]bool{}
		for last := start.id; len(heard) < n; {
			l := listen(t, base, queue, r.a.token, last)
			if l.want("hold").id != "" {
				t.Fatal("what holds the queue now stands at no place in its changes")
			}
			for range 37 {
				if len(heard) == n {
					break
				}
				e := l.want("task")
				if heard[e.data] {
					t.Fatalf("told twice: %s", e.data)
				}
				heard[e.data], last = true, e.id
			}
			l.close()
		}
	})
}

func TestListenersHearOfHolds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		base, _ := node(t, r.store)
		queue := r.queue(r.a, `{"name":"q"}`)
		l := listen(t, base, queue, r.a.token, "")
		for _, step := range []struct{ status, gate string }{{"", "scheduler_off"}, {"on", ""}, {"off", "scheduler_off"}} {
			if step.status != "" {
				r.do("PUT", queue, r.a.token, `{"status":"`+step.status+`"}`).want(200)
			}
			var hold holdAnswer
			if e := l.want("hold"); json.Unmarshal([]byte(e.data), &hold) != nil || string(hold.Gate) != step.gate || e.id == "" {
				t.Errorf("after %q: %+v", step.status, e)
			}
		}
		r.do("DELETE", queue, r.a.token, "").want(204)
		if e, ok := l.next(); ok {
			t.Errorf("after its end a scheduler tells %+v", e)
		}
	})
}

func TestListenersBeginAnew(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		base, _ := node(t, r.store)
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, "")).want(201) // nobody listens
		listen(t, base, queue, r.a.token, "").want("hold")
		for range 3 {
			r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, "")).want(201)
		}
		ahead := listen(t, base, queue, r.a.token, "5")
		ahead.want("hold")
		if e := ahead.want("reset"); e.id != "4" {
			t.Errorf("who is ahead begins anew with %+v", e)
		}
		early := listen(t, base, queue, r.a.token, "0")
		early.want("hold")
		if e := early.want("reset"); e.id != "4" {
			t.Errorf("who was there before anybody listened begins anew with %+v", e)
		}
		kept := listen(t, base, queue, r.a.token, "1")
		kept.want("hold")
		if e := kept.want("task"); e.id != "2" {
			t.Errorf("who was there since is told %+v", e)
		}
		if _, err := r.store.Tidy(t.Context(), time.Now().Add(scheduler.ChangesKeep+time.Hour)); err != nil {
			t.Fatal(err)
		}
		r.a.token = r.token(tokenOfA(r)) // the housekeeping forgot the other
		other, _ := node(t, r.store)     // which has read nothing yet
		late := listen(t, other, queue, r.a.token, "2")
		late.want("hold")
		if e := late.want("reset"); e.id != "4" {
			t.Errorf("who comes too late begins anew with %+v", e)
		}
		r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, "")).want(201)
		if e := late.want("task"); e.id != "5" {
			t.Errorf("and goes on with %+v", e)
		}
	})
}

func TestListenRefuses(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		for _, last := range []string{"x", "-1", "1.", "1.0", "1.2.3", "1 ", "99999999999999999999"} {
			req := httptest.NewRequestWithContext(t.Context(), "GET", queue+"/events", nil)
			req.Header.Set("Authorization", "Bearer "+r.a.token)
			req.Header.Set("Last-Event-ID", last)
			if a := r.send(req); !strings.Contains(a.refused(400, "validation_error")["message"]+a.body, "Last-Event-ID") {
				t.Errorf("%q: %s", last, a.body)
			}
		}
		r.do("GET", queue+"/events?x=1", r.a.token, "").refused(400, "validation_error")
		for range clientListeners {
			if _, err := r.server.hub.join(r.a.client.ID, 1); err != nil {
				t.Fatal(err)
			}
		}
		if a := r.do("GET", queue+"/events", r.a.token, ""); a.refused(429, "rate_limit_exceeded") == nil || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "event_listeners") {
			t.Errorf("one listener too many: %v %s", a.header, a.body)
		}
		r.do("GET", r.queue(r.b, `{"name":"q"}`)+"/events", r.b.token, "").want(200)
	})
}
