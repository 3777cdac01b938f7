package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/webhooks"
)

func TestMeter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := newMeter(func() time.Time { return now })
	for i := range 10 {
		if u := m.count("a", 10, 1); u.wait != 0 || u.remaining != 9-i || u.reset != time.Duration(i+1)*6*time.Minute {
			t.Fatalf("request %d: %+v", i+1, u)
		}
	}
	if u := m.count("a", 10, 1); u.wait != 6*time.Minute || u.remaining != 0 {
		t.Errorf("the eleventh of ten: %+v", u)
	}
	if u := m.count("b", 10, 0); u.remaining != 10 || u.wait != 0 {
		t.Errorf("another caller: %+v", u)
	}
	now = now.Add(6 * time.Minute)
	if u := m.count("a", 10, 1); u.wait != 0 {
		t.Errorf("six minutes later: %+v", u)
	}
	if u := m.count("a", 20, 1); u.limit != 20 || u.wait == 0 {
		t.Errorf("with a higher limit, and none of it there yet: %+v", u)
	}
	now = now.Add(time.Hour)
	for i := range maxMetered + 1 {
		m.count(fmt.Sprint(i), 10, 1)
	}
	if n := len(m.buckets); n > maxMetered+1 {
		t.Errorf("%d callers are remembered", n)
	}
	if _, known := m.buckets["a"]; known {
		t.Error("a caller with its whole limit is remembered")
	}
}

func TestRequestsPerHour(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.do("PUT", settingsOf(r.a), r.user, `{"RequestsPerHour":3}`).want(200)
		list := r.a.path("/extension/")
		for i := range 3 {
			a := r.do("GET", list, r.a.token, "").want(200)
			if a.header.Get(headerLimit) != "3" || a.header.Get(headerRemaining) != fmt.Sprint(2-i) || a.header.Get(headerReset) == "" {
				t.Errorf("request %d: %v", i+1, a.header)
			}
		}
		a := r.do("GET", list, r.a.token, "")
		a.refused(429, "rate_limit_exceeded")
		if a.header.Get(headerRetryAfter) != "1200" || !strings.Contains(a.body, limitRequests) {
			t.Errorf("%v %s", a.header, a.body)
		}
		r.do("GET", r.b.path("/extension/"), r.b.token, "").want(200)
		r.do("GET", list, r.user, "").want(200)
		for _, path := range []string{"/healthz", "/openapi.yaml", "/nowhere", list} {
			if a := r.do("GET", path, "", ""); a.header.Get(headerLimit) != "36000" {
				t.Errorf("%s: %v", path, a.header)
			}
		}
	})
}

// TestAddresses: a header that anybody can write moves nobody to another address.
func TestAddresses(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		left := func(trusted bool, forwarded string) string {
			o := Options{Store: r.store, CheckURL: webhooks.Guard{}.CheckURL}
			if trusted {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			}
			server, remaining := New(o), ""
			for i := range 2 {
				req := httptest.NewRequest(http.MethodGet, r.a.path("/extension/"), nil) // from 192.0.2.1
				if i > 0 {
					req.Header.Set("X-Forwarded-For", forwarded)
				}
				w := httptest.NewRecorder()
				server.ServeHTTP(w, req)
				remaining = w.Header().Get(headerRemaining)
			}
			return remaining
		}
		if got := left(false, "203.0.113.7"); got != "35998" {
			t.Errorf("a forged address has %s left", got)
		}
		if got := left(true, "203.0.113.7"); got != "35999" {
			t.Errorf("the address behind a trusted proxy has %s left", got)
		}
	})
}

func TestETag(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		queue := r.queue(r.a, `{"name":"q"}`)
		first := r.do("GET", queue, r.a.token, "").want(200)
		tag := first.header.Get("ETag")
		ask := func(match string) reply {
			req := httptest.NewRequest(http.MethodGet, queue, nil)
			req.Header.Set("Authorization", "Bearer "+r.a.token)
			req.Header.Set("If-None-Match", match)
			return r.send(req)
		}
		for _, match := range []string{tag, `"other", ` + tag, "W/" + tag, "*"} {
			if a := ask(match); a.code != 304 || a.body != "" || a.header.Get("ETag") != tag {
				t.Errorf("%s: %d %s", match, a.code, a.body)
			}
		}
		if a := ask(`"other"`); a.code != 200 || a.body != first.body {
			t.Errorf("another tag: %d", a.code)
		}
		r.do("PUT", queue, r.a.token, `{"comment":"changed"}`).want(200)
		if a := ask(tag); a.code != 200 || a.header.Get("ETag") == tag {
			t.Errorf("a changed queue: %d", a.code)
		}
	})
}

func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		list := r.a.path("/interval")
		for range 5 {
			r.interval(alwaysOpen)
		}
		for query, want := range map[string]string{
			"":                        "",
			"?per_page=5":             "", // a full page, and the last
			"?per_page=2":             `<LIST/?page=2&per_page=2>; rel="next", <LIST/?page=3&per_page=2>; rel="last"`,
			"?per_page=2&page=2":      `<LIST/?page=1&per_page=2>; rel="first", <LIST/?page=1&per_page=2>; rel="prev", <LIST/?page=3&per_page=2>; rel="next", <LIST/?page=3&per_page=2>; rel="last"`,
			"?per_page=2&page=3":      `<LIST/?page=1&per_page=2>; rel="first", <LIST/?page=2&per_page=2>; rel="prev"`,
			"?per_page=2&page=9":      `<LIST/?page=1&per_page=2>; rel="first", <LIST/?page=3&per_page=2>; rel="prev", <LIST/?page=3&per_page=2>; rel="last"`,
			"?per_page=2&after_id=ID": `<LIST/?after_id=LAST&per_page=2>; rel="next"`,
		} {
			first := r.do("GET", list, r.a.token, "").want(200).objects()
			id := func(i int) string { return jsonNumber(first[i]["id"].(float64)) }
			want = strings.NewReplacer("LIST", list, "LAST", id(2)).Replace(want)
			if got := r.do("GET", list+strings.ReplaceAll(query, "ID", id(0)), r.a.token, "").want(200).header.Get(headerLink); got != want {
				t.Errorf("%s links\n%s, want\n%s", query, got, want)
			}
		}
		if got := r.do("GET", list+"/?per_page=2&order=desc", r.a.token, "").header.Get(headerLink); !strings.Contains(got, "order=desc") {
			t.Errorf("the order is lost: %s", got)
		}
	})
}

// TestTotal is exact up to where lists are counted.
func TestTotal(t *testing.T) {
	for n, want := range map[int]string{0: "0", scheduler.CountLimit: "10000", scheduler.CountLimit + 1: "10000+"} {
		answer := httptest.NewRecorder()
		total(echo.New().NewContext(httptest.NewRequest(http.MethodGet, "/", http.NoBody), answer), n)
		if got := answer.Header().Get(headerTotal); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
