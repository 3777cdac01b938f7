package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

// open are the routes that need no token.
var open = []string{"GET /healthz", "GET /readyz", "GET /openapi.yaml", "GET /docs", "GET /docs/:file", "POST /oauth/token", "POST /Token", "POST /oauth/revoke"}

// table returns the server's own routes.
func (s *Server) table() []*echo.Route {
	routes := s.echo.Routes()
	slices.SortFunc(routes, func(a, b *echo.Route) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return routes
}

// TestEveryRouteNeedsToken walks over the routes without a token, with one of
// nobody's, and with a refresh token.
func TestEveryRouteNeedsToken(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		issued, err := tokens{tokens: r.store, now: time.Now}.hand(t.Context(), tokenOfA(r))
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range r.server.table() {
			if slices.Contains(open, route.Method+" "+route.Path) || route.Method == echo.RouteNotFound {
				continue
			}
			path := strings.NewReplacer(":client_id", string(r.a.client.ID), ":scheduler_id", "1", ":task_id", "1", ":bulk_id", "1",
				":extension_id", "1", ":interval_id", "1", ":delivery_id", "1", ":destination_id", "1", ":call_uuid", strings.Repeat("0", 32), ":id", string(r.a.client.ID)).Replace(route.Path)
			for _, token := range []string{"", "nobody's", issued.RefreshToken} {
				if a := r.do(route.Method, path, token, "{}"); a.code != 401 || a.header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s with token %q: %d", route.Method, path, token, a.code)
				}
			}
		}
	})
}

// TestTenancy walks over the routes: each answers its owner, then the other
// client with 404 and nothing changed.
func TestTenancy(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.dispatch()
		walked := 0
		for _, route := range r.server.table() {
			if !strings.Contains(route.Path, ":client_id") && !strings.Contains(route.Path, "/extension/") {
				continue
			}
			walked++
			t.Run(route.Method+" "+route.Path, func(t *testing.T) {
				r.t = t
				w := newWorld(r)
				body := w.body(route)
				path := w.path(route.Path)
				before, former := w.snapshot(), r.audited()
				// By the owner's id, and by its own with the owner's things.
				for _, foreign := range []string{path, strings.Replace(path, string(r.a.client.ID), string(r.b.client.ID), 1)} {
					_, rest, named := strings.Cut(route.Path, "/:client_id")
					if foreign != path && !strings.Contains(rest, ":") {
						continue // its own list, or the same path
					}
					status := "not_found"
					if foreign == path && named {
						status = "client_not_found"
					}
					r.do(route.Method, foreign, r.b.token, body).refused(404, status)
				}
				if after := w.snapshot(); after != before {
					t.Errorf("it changed\n%s to\n%s", before, after)
				}
				entries := r.audited()
				if entries != former {
					t.Errorf("what is refused leaves %d entries in the audit", entries-former)
				}
				if a := r.do(route.Method, path, r.a.token, body); a.code < 200 || a.code > 299 {
					t.Errorf("its owner is answered %d: %s", a.code, a.body)
				}
				changes := route.Method != http.MethodGet && !strings.HasSuffix(route.Path, "/test")
				if changes && w.snapshot() == before {
					t.Errorf("it changes nothing of its owner's")
				}
				if made := r.audited() - entries; (made == 1) != changes || made > 1 {
					t.Errorf("it leaves %d entries in the audit", made)
				}
			})
		}
		if walked < 40 {
			t.Errorf("only %d routes", walked)
		}
	})
}

// world is one thing of each kind, all client a's.
type world struct {
	r                      *rig
	queue, task, ext, call string
	interval, bulk         string
	delivery, destination  string
	live                   string // a call that is under way
	account                household
}

func newWorld(r *rig) world {
	w := world{r: r}
	queue := r.queue(r.a, `{"name":"q","status":"on","asr_min_percent":100,"asr_basis":"asr","asr_min_attempts":1}`)
	w.queue = queue[strings.LastIndex(queue, "/")+1:]
	w.call = r.callOnce(queue) // which opens the brake
	task := r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"start_time_utc":3600`)).want(201).objects()[0]
	w.task = jsonNumber(task["id"].(float64))
	w.ext = r.do("POST", r.a.path("/extension/"), r.a.token, `{"name":"e"}`).want(201).id()
	w.bulk = r.do("POST", queue+"/tasks/bulk", r.a.token, `{"filter":{"name":"nobody's"},"action":"run_now"}`).want(200).id()
	w.live = r.callNow()
	w.interval = r.do("POST", r.a.path("/interval/"), r.a.token, alwaysOpen).want(201).id()
	r.deadEvent(queue, fmt.Sprintf("https://receiver.example.com:%d/hook", 1000+r.worlds))
	r.worlds++
	w.account = r.household(storetest.MasterID)
	w.delivery = r.do("GET", r.a.path("/webhooks/deliveries?order=desc"), r.a.token, "").want(200).firstID()
	w.destination = r.do("GET", r.a.path("/webhooks/destinations?order=desc"), r.a.token, "").want(200).firstID()
	return w
}

func (w world) path(pattern string) string {
	pattern = strings.Replace(pattern, "/call/:call_uuid", "/call/"+w.live, 1)
	pattern = strings.Replace(pattern, "/admin/clients/:id", "/admin/clients/"+string(w.r.a.client.ID), 1)
	if isAdmin(pattern) {
		return w.account.path(pattern)
	}
	return strings.NewReplacer(":client_id", string(w.r.a.client.ID), ":scheduler_id", w.queue, ":task_id", w.task, ":bulk_id", w.bulk,
		":extension_id", w.ext, ":interval_id", w.interval, ":call_uuid", w.call, ":delivery_id", w.delivery, ":destination_id", w.destination).Replace(pattern)
}

func (w world) body(route *echo.Route) string {
	switch {
	case route.Method == http.MethodPost && strings.HasSuffix(route.Path, "/bulk"):
		return `{"filter":{},"action":"cancel"}`
	case route.Method == http.MethodPost && strings.Contains(route.Path, ":scheduler_id/task"):
		return oneTask(w.r.a, `"start_time_utc":3600`)
	case strings.HasSuffix(route.Path, "/webhooks/resend"):
		return `{}`
	case route.Method == http.MethodPut && strings.HasSuffix(route.Path, "/destinations/:destination_id"):
		return `{"paused":true}`
	case strings.HasSuffix(route.Path, "/destinations/:destination_id/test"):
		return ""
	case route.Method == http.MethodPost && (strings.Contains(route.Path, "secrets") || strings.HasSuffix(route.Path, "/resend")), strings.HasSuffix(route.Path, "/asr_reset"), route.Method == http.MethodGet, route.Method == http.MethodDelete:
		return ""
	case route.Method == http.MethodPost && strings.HasSuffix(route.Path, "/interval"):
		return alwaysOpen
	case strings.HasSuffix(route.Path, "/callback"):
		return `{"src_num":["101"],"dst_num":"102"}`
	case isAdmin(route.Path):
		return adminBody(w.r, route, storetest.UserID)
	}
	return `{"name":"changed"}`
}

// snapshot tells everything that client a has.
func (w world) snapshot() string {
	w.r.t.Helper()
	var all []string
	for _, list := range []string{"/task_scheduler?order=desc", "/extension?order=desc", "/interval?order=desc", "/call_history", "/webhooks/secrets", "/webhooks/deliveries?order=desc", "/webhooks/destinations?order=desc", "/task_scheduler/" + w.queue + "/tasks"} {
		a := w.r.do("GET", w.r.a.path(list), w.r.a.token, "")
		all = append(all, a.header.Get("X-Total-Count"), a.body)
	}
	for _, list := range []string{"clients?per_page=1000", "accounts", "tasks/account?per_page=1000", "accounts/" + string(storetest.MasterID) + "/accounts?per_page=1000"} {
		all = append(all, w.r.do("GET", "/api/v1/admin/"+list, w.r.user, "").want(200).body)
	}
	live, err := w.r.store.OverseeCallbacks(w.r.t.Context(), w.r.join(), nil)
	if err != nil {
		w.r.t.Fatal(err)
	}
	return strings.Join(append(all, fmt.Sprint(live)), "\n")
}

// callNow stores a call without a task of client a, and returns its id.
func (r *rig) callNow() string {
	r.t.Helper()
	now, owner := time.Now().UTC(), r.join()
	c, attempt := scheduler.Task{ClientID: r.a.client.ID, ExtensionID: r.a.extension.ID, ANumber: "101", BNumber: "102"}.Callback(now, owner)
	if err := r.store.StartCallback(r.t.Context(), owner, c, attempt); err != nil {
		r.t.Fatal(err)
	}
	return string(c.CallID)
}

// callOnce lets a task of a queue be called, with a busy A, and returns the id
// of the call.
func (r *rig) callOnce(queue string) string {
	r.t.Helper()
	r.do("POST", queue+"/tasks/", r.a.token, oneTask(r.a, `"name":"called","variables":{"k":"v"}`)).want(201)
	// It ends a little ahead of now, and shall not do so in a minute that
	// statistics up to now leave out.
	if left := time.Minute - time.Duration(time.Now().Second())*time.Second; left < 3*time.Second {
		<-time.After(left)
	}
	started := r.claim()
	if len(started) != 1 {
		r.t.Fatalf("%d tasks started", len(started))
	}
	task := started[0].Transition.Task
	began := started[0].Transition.At
	r.apply(task.End(scheduler.Outcome{
		Legs: []scheduler.Leg{{
			Role: scheduler.LegA, Try: 1, Number: "101", Trunk: "carrier", StartedAt: began, RangAt: began.Add(250 * time.Millisecond),
			EndedAt: began.Add(1200 * time.Millisecond), Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, By: scheduler.ByPeer,
		}},
		EndedAt: began.Add(1200 * time.Millisecond),
	}, began.Add(1200*time.Millisecond)))
	return string(task.CallID)
}

// join makes the rig a node, once.
func (r *rig) join() scheduler.Owner {
	r.t.Helper()
	if r.owner.Node == "" {
		owner, _, held, err := r.store.Join(r.t.Context(), "node", time.Now(), time.Hour)
		if err != nil || held {
			r.t.Fatalf("held %v, %v", held, err)
		}
		r.owner = owner
	}
	return r.owner
}

func (r *rig) claim() []scheduler.Started {
	r.t.Helper()
	claimed, err := r.store.Claim(r.t.Context(), r.join(), time.Now().UTC().Truncate(time.Microsecond), 100)
	if err != nil {
		r.t.Fatal(err)
	}
	return claimed.Started
}

func (r *rig) apply(trs ...scheduler.Transition) {
	r.t.Helper()
	taken, err := r.store.Apply(r.t.Context(), r.join(), trs)
	if err != nil || slices.Contains(taken, false) {
		r.t.Fatalf("taken %v, %v", taken, err)
	}
}

// TestUserReach: a user's token reaches the clients of its account and below,
// and no others.
func TestUserReach(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.do("GET", r.a.path("/extension/"), r.user, "").want(200)
		r.do("GET", "/client/"+strings.ToUpper(string(r.b.client.ID))+"/extension/", r.user, "").want(200)
		r.do("GET", "/client/00000000-0000-7000-8000-000000000000/extension/", r.user, "").refused(404, "client_not_found")
		r.do("GET", "/client/7/extension/", r.user, "").refused(404, "client_not_found")
		a := r.do("GET", "/client/@me/extension/", r.user, "")
		a.refused(404, "client_not_found")
		if !strings.Contains(a.body, "name one") {
			t.Errorf("@me of two clients says %s", a.body)
		}
		r.do("GET", "/client/@me/extension/"+fmt.Sprint(r.a.extension.ID), r.a.token, "").want(200)
		r.do("GET", "/client/%40me/extension/"+fmt.Sprint(r.a.extension.ID), r.a.token, "").want(200)
		r.do("GET", "/client/@me/extension/"+fmt.Sprint(r.a.extension.ID), r.b.token, "").refused(404, "not_found")
	})
}

// The store fills every port.
var _ Store = (*store.Store)(nil)
