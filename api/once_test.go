package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// keyed sends a POST with an Idempotency-Key.
func (r *rig) keyed(path, token, key, body string) reply {
	r.t.Helper()
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set(headerIdempotency, key)
	return r.send(req)
}

func TestARequestIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		for list, body := range map[string]string{
			queue + "/tasks/":           `{"tasks":[` + strings.Trim(strings.TrimPrefix(oneTask(r.a, ""), `{"tasks":[`), "]}") + `},` + strings.Trim(strings.TrimPrefix(oneTask(r.a, ""), `{"tasks":[`), "]}") + `}]}`,
			r.a.path("/task_scheduler"): `{"name":"once"}`,
			r.a.path("/interval"):       alwaysOpen,
			r.a.path("/extension"):      `{"name":"once"}`,
		} {
			first := r.keyed(list, r.a.token, "k "+list, body).want(201)
			count := r.do("GET", list, r.a.token, "").header.Get("X-Total-Count")
			again := r.keyed(list, r.a.token, "k "+list, body).want(201)
			if again.header.Get(headerReplayed) != "true" || first.header.Get(headerReplayed) != "" || again.body != first.body {
				t.Errorf("%s answers\n%s, then\n%s", list, first.body, again.body)
			}
			r.keyed(list, r.a.token, "k "+list, body+" ").refused(409, "conflict")
			if got := r.do("GET", list, r.a.token, "").header.Get("X-Total-Count"); got != count {
				t.Errorf("%s has %s, had %s", list, got, count)
			}
			r.keyed(list, r.user, "k "+list, body).want(201) // another caller's key
			if got := r.do("GET", list, r.a.token, "").header.Get("X-Total-Count"); got == count {
				t.Errorf("%s: a key is shared by two callers", list)
			}
		}
	})
}

// TestEveryPOSTIsDoneOnce walks over the server's own table: every POST obeys a
// key, but those that hand out tokens and secrets.
func TestEveryPOSTIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		_, dialled := r.dispatch()
		for _, route := range r.server.table() {
			if route.Method != http.MethodPost || strings.HasPrefix(route.Path, "/api/ver1.0") || slices.Contains(open, route.Method+" "+route.Path) || strings.HasSuffix(route.Path, "/webhooks/secrets") || strings.HasSuffix(route.Path, "/tasks/account/run") {
				continue // of these, the last one has its id in the query
			}
			t.Run(route.Path, func(t *testing.T) {
				r.t = t
				w := newWorld(r)
				path, body, token := w.path(route.Path), w.body(route), r.a.token
				if strings.HasSuffix(route.Path, "/accounts/:id") { // a client's token makes accounts right below its own
					path = strings.Replace(path, string(w.account.holder.Account.ID), string(storetest.MasterID), 1)
				}
				before := w.snapshot()
				first := r.keyed(path, token, route.Path, body)
				if first.code < 200 || first.code > 299 || first.header.Get(headerReplayed) != "" {
					t.Fatalf("answered %d: %s", first.code, first.body)
				}
				made := w.snapshot()
				again := r.keyed(path, token, route.Path, body).want(first.code)
				if again.header.Get(headerReplayed) != "true" {
					t.Errorf("answered %v", again.header)
				}
				if w.snapshot() != made {
					t.Error("it was done again")
				}
				if test := strings.HasSuffix(path, "/test"); test == (made != before) {
					t.Error("it was not done")
				}
				if (strings.HasSuffix(path, "/test") || strings.HasSuffix(path, "/callback") || strings.HasSuffix(path, "/bulk")) && again.body != first.body {
					t.Errorf("answered\n%s, then\n%s", first.body, again.body)
				}
				r.keyed(path, token, route.Path, body+" ").refusedInEither(409)
			})
		}
		if n := len(dialled); n != 1 {
			t.Errorf("%d calls were made for a request that was sent twice", n)
		}
	})
}

// refusedInEither fails the test unless the answer is a conflict in the dialect of
// its path.
func (a reply) refusedInEither(code int) {
	a.t.Helper()
	if a.want(code); !strings.Contains(strings.ToLower(a.body), `"conflict"`) {
		a.t.Errorf("refused with %s", a.body)
	}
}

func TestARefusedRequestIsNotKept(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		list := r.a.path("/interval")
		for range 2 {
			if a := r.keyed(list, r.a.token, "k", `{"name":"no conditions"}`); a.code != 400 || a.header.Get(headerReplayed) != "" {
				t.Errorf("answered %d", a.code)
			}
		}
		r.keyed(list, r.a.token, "k", alwaysOpen).want(201)
		for _, key := range []string{strings.Repeat("k", 256), "ключ"} {
			r.keyed(list, r.a.token, key, alwaysOpen).refused(400, "validation_error")
		}
	})
}

func TestOneOfManyAtOnceIsDone(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		body := oneTask(r.a, "")
		var mu sync.Mutex
		answers := map[string]int{}
		var sent sync.WaitGroup
		for range 50 {
			sent.Go(func() {
				a := r.keyed(queue+"/tasks/", r.a.token, "k", body)
				what := fmt.Sprint(a.code)
				if a.code == 409 && strings.Contains(a.body, "idempotency_in_progress") && a.header.Get(headerRetryAfter) != "" {
					what = "in progress"
				}
				if a.code == 201 && !strings.HasPrefix(a.body, `[{"id":`) {
					what = "201 without the task: " + a.body
				}
				mu.Lock()
				defer mu.Unlock()
				answers[what]++
			})
		}
		sent.Wait()
		if answers["201"] == 0 || answers["201"]+answers["in progress"] != 50 {
			t.Errorf("answered %v", answers)
		}
		if n := r.do("GET", queue+"/tasks/", r.a.token, "").header.Get("X-Total-Count"); n != "1" {
			t.Errorf("there are %s tasks", n)
		}
	})
}

// TestAKilledRequestIsDoneOnce: a process may end before the commit, then the
// key's lease runs out; or after it, then all is kept.
func TestAKilledRequestIsDoneOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		now := r.server.o.Now()
		first := scheduler.Once{Caller: "c", Key: "k", Hash: []byte("h"), Token: "first"}
		begin := func(token string, at int) (scheduler.Once, bool) {
			o := first
			o.Token = token
			kept, ok, err := r.store.BeginOnce(t.Context(), o, now.Add(time.Duration(at)*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			return kept, ok
		}
		if _, ok := begin("first", 0); !ok {
			t.Fatal("a new key is taken")
		}
		if kept, ok := begin("second", 59); ok || kept.Done {
			t.Error("a key is given away while its lease lasts")
		}
		if _, ok := begin("second", 61); !ok {
			t.Fatal("a key is kept for ever")
		}
		var id scheduler.QueueID
		_, _ = fmt.Sscan(queue[strings.LastIndex(queue, "/")+1:], &id)
		add := func(o scheduler.Once) error {
			_, err := r.store.AddTasks(scheduler.WithOnce(t.Context(), &o), r.a.client.ID, id, []scheduler.Task{storetest.Task(r.a.extension, now)})
			return err
		}
		if err := add(first); scheduler.KindOf(err) != scheduler.Conflict {
			t.Errorf("the former holder of a key made something: %v", err)
		}
		second := first
		second.Token = "second"
		if err := add(second); err != nil {
			t.Error(err)
		}
		if kept, ok := begin("third", 62); ok || !kept.Done || len(kept.IDs) != 1 {
			t.Errorf("kept %+v", kept)
		}
		if n := r.do("GET", queue+"/tasks/", r.a.token, "").header.Get("X-Total-Count"); n != "1" {
			t.Errorf("there are %s tasks", n)
		}
	})
}
