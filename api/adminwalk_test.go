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
	"ringback/store/storetest"
	"ringback/webhooks"
)

// household is an account with one thing of each kind, and whoever acts for it.
type household struct {
	holder  scheduler.Holder
	client  scheduler.Client
	user    string // the token of its user,
	byUser  string // and of its client
	session string // of the user
	task    string // a recurring one
}

// householdThings are the paths of the admin API that end with an id, and whose it
// is. The longest that fits a route is meant.
var householdThings = map[string]func(h household) string{
	"/accounts/:id": func(h household) string { return string(h.holder.Account.ID) },
	"/clients/:id":  func(h household) string { return string(h.client.ID) },
	"/:session_id":  func(h household) string { return h.session },

	"/tasks/account/:id": func(h household) string { return h.task },
}

// household makes an account below another, past the API: its hashes take long.
func (r *rig) household(parent scheduler.AccountID) household {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	h := household{holder: scheduler.Holder{
		Account: scheduler.Account{
			ID: scheduler.AccountID(scheduler.NewGUID(now)), ParentID: &parent, TimeZone: "Europe/Rome", Email: "h@example.com", CompanyName: "Household", CreatedAt: now,
		},
		User: scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), PasswordHash: adminHash, CreatedAt: now},
	}}
	h.holder.User.AccountID, h.holder.User.Username = h.holder.Account.ID, "user of "+string(h.holder.Account.ID)
	if err := r.store.AddAccount(r.t.Context(), parent, h.holder); err != nil {
		r.t.Fatal(err)
	}
	h.client = scheduler.Client{
		ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: h.holder.Account.ID, UserID: h.holder.User.ID,
		Name: "of household", SecretHash: clientHash, CreatedAt: now,
	}
	if err := r.store.AddClient(r.t.Context(), h.client, webhooks.NewSecret(now)); err != nil {
		r.t.Fatal(err)
	}
	h.user, h.byUser = r.token(scheduler.Token{UserID: &h.holder.User.ID}), r.token(scheduler.Token{ClientID: &h.client.ID})
	sessions, err := r.store.Sessions(r.t.Context(), h.holder.Account.ID, now, scheduler.Page{Number: 1, Size: 10})
	if err != nil || len(sessions.Rows) != 2 {
		r.t.Fatalf("%d sessions, %v", len(sessions.Rows), err)
	}
	for _, s := range sessions.Rows {
		if s.UserID != nil {
			h.session = s.ID
		}
	}
	h.task = fmt.Sprint(detail0(r.do("POST", accountsTasks, h.user, goodAccountTask))["ID"])
	return h
}

// goodAccountTask is a recurring task that can be registered.
var goodAccountTask = fmt.Sprintf(`{"TaskID":%q,"Frequency":"DAILY","StartDate":"2035-01-02T03:04:05Z","Parameters":"{\"days\":30}","ContentType":"application/json","NotificationUrl":"https://receiver.example.com/run"}`, scheduler.JobPurgeHistory)

// detail0 is the Detail of a success, whoever asked.
func detail0(a reply) map[string]any {
	a.t.Helper()
	return a.want(200).object()["ResponseData"].(map[string]any)["Detail"].(map[string]any)
}

// path fills the ids of the household into a route.
func (h household) path(pattern string) string {
	for _, end := range slices.SortedFunc(slices.Values(keys(householdThings)), func(a, b string) int { return len(b) - len(a) }) {
		if before, after, found := strings.Cut(pattern, end); found {
			pattern = before + end[:strings.LastIndexByte(end, '/')+1] + householdThings[end](h) + after
		}
	}
	return pattern
}

func keys[V any](m map[string]V) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	return all
}

// adminBody is a good request of a route of the admin API for the account of a
// user, in JSON.
func adminBody(r *rig, route *echo.Route, user scheduler.UserID) string {
	switch method, end := route.Method, strings.SplitAfterN(route.Path, "/admin", 2)[1]; {
	case method == http.MethodGet, method == http.MethodDelete:
		return ""
	case end == "/clients":
		return fmt.Sprintf(`{"Name":"new","Secret":%q,"UserID":%q}`, clientSecret, user)
	case method == http.MethodPost && end == "/accounts/:id":
		return fmt.Sprintf(`{"Email":"new@example.com","Username":"new-%d","Firstname":"New","Lastname":"Account","Password":"a password of some length"}`, r.worlds)
	case strings.HasSuffix(end, "/run"):
		return ""
	case strings.HasPrefix(end, "/tasks/account"):
		return goodAccountTask
	case strings.HasSuffix(end, "/password"):
		return `{"Password":"another password of some length"}`
	case strings.HasSuffix(end, "/settings"):
		return `{"DefaultRegion":"IT"}`
	case end == "/accounts/:id":
		return `{"CompanyName":"changed"}`
	}
	return `{"Name":"changed"}`
}

// TestAdminTenancy walks over the routes of the admin API: an account reaches
// itself and what is below it, never what is above or beside, and does not learn
// whether that exists.
func TestAdminTenancy(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		one, two := r.household(storetest.MasterID), r.household(storetest.MasterID)
		below, beside := r.household(one.holder.Account.ID), r.household(two.holder.Account.ID)
		master := household{holder: scheduler.Holder{Account: scheduler.Account{ID: storetest.MasterID}}, client: r.a.client, session: string(r.a.client.ID), task: string(r.a.client.ID)}
		before, former := r.estate(), r.audited()
		walked := 0
		for _, route := range r.server.table() {
			if !isAdmin(route.Path) || !strings.Contains(route.Path, ":") || route.Method == echo.RouteNotFound {
				continue
			}
			walked++
			t.Run(route.Method+" "+route.Path, func(t *testing.T) {
				r.t = t
				for _, ask := range []struct {
					who      string
					by, from household
				}{
					{"beside", one, two}, {"below what is beside", one, beside}, {"above", below, one}, {"far above", below, master},
					{"far beside", below, beside}, {"the master", one, master},
				} {
					for kind, token := range map[string]string{"a user": ask.by.user, "a client": ask.by.byUser} {
						r.strange(route, ask.by, ask.from, token, kind+" of what is "+ask.who)
					}
				}
				switch a := strings.HasSuffix(route.Path, "/accounts/:id"); {
				case a && route.Method != http.MethodGet: // a change of it, or another below it, needs a user's token
					r.do(route.Method, below.path(route.Path), one.byUser, adminBody(r, route, one.holder.User.ID)).failed(403, "ACCESS_DENIED")
					return
				case a, strings.HasSuffix(route.Path, "/:id/accounts"):
					return // a client's token reaches accounts below, and nothing that is in them
				}
				if a := r.do(route.Method, below.path(route.Path), one.byUser, adminBody(r, route, one.holder.User.ID)); a.code != 403 && a.code != 404 {
					t.Errorf("a client's token looks into an account below: %d %s", a.code, a.body)
				}
			})
		}
		r.t = t
		if walked < 20 {
			t.Errorf("only %d routes", walked)
		}
		if after := r.estate(); after != before {
			t.Errorf("it changed\n%s to\n%s", before, after)
		}
		if n := r.audited() - former; n != 0 {
			t.Errorf("%d entries are in the audit", n)
		}
		r.listsHideStrangers(one, two, below, beside)
	})
}

// strange asks for what the asker does not reach: it is told what it would be
// told of something that does not exist.
func (r *rig) strange(route *echo.Route, by, from household, token, who string) {
	r.t.Helper()
	body := adminBody(r, route, by.holder.User.ID)
	nothing := household{session: scheduler.NewGUID(time.Now())}
	nothing.task = nothing.session
	nothing.holder.Account.ID, nothing.client.ID = scheduler.AccountID(nothing.session), scheduler.ClientID(nothing.session)
	want := r.do(route.Method, nothing.path(route.Path), token, body)
	told := r.do(route.Method, from.path(route.Path), token, body)
	for _, id := range []string{string(from.holder.Account.ID), string(from.client.ID), from.session, from.task} {
		told.body = strings.ReplaceAll(told.body, id, nothing.session)
	}
	if told.code != want.code || told.body != want.body {
		r.t.Errorf("%s is answered %d %s, and for nothing %d %s", who, told.code, told.body, want.code, want.body)
	}
	if told.code != 404 && (told.code != 403 || token == by.user) {
		r.t.Errorf("%s is answered %d: %s", who, told.code, told.body)
	}
	// With the asker's own account in the path, and another's things behind it.
	if first, rest, behind := strings.Cut(from.path(route.Path), "/accounts/"+string(from.holder.Account.ID)); behind && strings.Count(route.Path, ":") > 1 {
		if a := r.do(route.Method, first+"/accounts/"+string(by.holder.Account.ID)+rest, token, body); a.code != 404 {
			r.t.Errorf("%s is answered %d within its own account: %s", who, a.code, a.body)
		}
	}
}

// estate tells all accounts, their clients and sessions.
func (r *rig) estate() string {
	r.t.Helper()
	all := r.do("GET", "/api/v1/admin/clients?per_page=1000", r.user, "").want(200).body
	a := r.do("GET", "/api/v1/admin/accounts/"+string(storetest.MasterID)+"/accounts?per_page=1000", r.user, "").want(200)
	for _, account := range detail[[]map[string]any](a) {
		all += r.do("GET", fmt.Sprintf("/api/v1/admin/accounts/%s/sessions", account["ID"]), r.user, "").want(200).body
	}
	all += r.do("GET", accountsTasks+"?per_page=1000", r.user, "").want(200).body
	return all + a.body
}

// listsHideStrangers reads every list of the admin API: none tells of another
// account.
func (r *rig) listsHideStrangers(one, two, below, beside household) {
	r.t.Helper()
	for _, route := range r.server.table() {
		if !isAdmin(route.Path) || route.Method != http.MethodGet {
			continue
		}
		for _, ask := range []struct {
			token  string
			at     household
			hidden []household
		}{
			{one.user, one, []household{two, beside}}, {one.byUser, one, []household{two, beside}}, {below.user, below, []household{one, two, beside}},
		} {
			told := r.do(http.MethodGet, ask.at.path(route.Path), ask.token, "")
			for _, h := range ask.hidden {
				for _, id := range []string{string(h.client.ID), string(h.holder.User.ID), h.holder.User.Username, h.session, h.task} {
					if strings.Contains(told.body, id) {
						r.t.Errorf("%s tells of %s: %s", route.Path, id, told.body)
					}
				}
			}
			if told.code != 200 && told.code != 403 {
				r.t.Errorf("%s is answered %d", route.Path, told.code)
			}
		}
		if told := r.do(http.MethodGet, below.path(route.Path), one.user, ""); told.code != 200 && told.code != 403 {
			r.t.Errorf("%s of what is below is answered %d: %s", route.Path, told.code, told.body)
		}
	}
}
