package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"ringback/scheduler"
	"ringback/store/storetest"
)

// post sends a form to the token endpoint.
func (r *rig) post(path string, form url.Values, id, secret string) reply {
	req := httptest.NewRequestWithContext(context.Background(), "POST", path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	return r.send(req)
}

// TestOAuthLibrary lets golang.org/x/oauth2 judge the token endpoint.
func TestOAuthLibrary(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		server := httptest.NewServer(r.server)
		defer server.Close()
		for name, style := range map[string]oauth2.AuthStyle{"in the header": oauth2.AuthStyleInHeader, "in the body": oauth2.AuthStyleInParams} {
			t.Run("client credentials "+name, func(t *testing.T) {
				config := clientcredentials.Config{
					ClientID: string(r.a.client.ID), ClientSecret: clientSecret, TokenURL: server.URL + "/oauth/token", AuthStyle: style,
				}
				answer, err := config.Client(t.Context()).Get(server.URL + "/client/@me/task_scheduler/")
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("answered %s", answer.Status)
				}
			})
		}
		t.Run("password, then refresh", func(t *testing.T) {
			config := oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: server.URL + "/Token"}}
			token, err := config.PasswordCredentialsToken(t.Context(), adminName, adminPassword)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(token.Expiry); token.TokenType != "Bearer" || left < 7*time.Hour || left > 8*time.Hour {
				t.Errorf("got a %s token for %v", token.TokenType, left)
			}
			old := *token
			old.Expiry = time.Now().Add(-time.Minute)
			renewed, err := config.TokenSource(t.Context(), &old).Token()
			if err != nil {
				t.Fatal(err)
			}
			if renewed.AccessToken == token.AccessToken || renewed.RefreshToken == token.RefreshToken {
				t.Error("a token was not renewed")
			}
			r.do("GET", "/api/v1/admin/accounts", renewed.AccessToken, "").want(200)
			r.do("GET", "/api/v1/admin/accounts", token.AccessToken, "").want(200)
		})
		t.Run("a wrong secret is the library's error", func(t *testing.T) {
			config := clientcredentials.Config{ClientID: string(r.a.client.ID), ClientSecret: "wrong", TokenURL: server.URL + "/oauth/token"}
			_, err := config.Token(t.Context())
			refused, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok || refused.ErrorCode != "invalid_client" || refused.Response.StatusCode != http.StatusUnauthorized || refused.Response.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("got %v", err)
			}
		})
	})
}

// direct is a way to a server without a network, which knows no virtual time.
type direct struct{ http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	req.RemoteAddr = "192.0.2.1:1"
	d.ServeHTTP(w, req)
	a := w.Result()
	a.Request = req
	return a, nil
}

// TestOAuthLibraryThroughExpiry: golang.org/x/oauth2 goes on by itself when its
// token expires, with its credentials or by a refresh.
func TestOAuthLibraryThroughExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig, _ func(path, token string) (net.Conn, chan struct{})) {
		endpoint := oauth2.Endpoint{TokenURL: "http://ringback.example/oauth/token"}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: direct{r.server}})
		byClient := clientcredentials.Config{ClientID: string(r.a.client.ID), ClientSecret: clientSecret, TokenURL: endpoint.TokenURL}
		byUser := oauth2.Config{Endpoint: endpoint}
		signedIn, err := byUser.PasswordCredentialsToken(ctx, adminName, adminPassword)
		if err != nil {
			t.Fatal(err)
		}
		for claim, tc := range map[string]struct {
			client *http.Client
			path   string
		}{
			"a client asks anew":  {byClient.Client(ctx), "/client/@me/task_scheduler/"},
			"a user is refreshed": {byUser.Client(ctx, signedIn), "/api/v1/admin/accounts"},
		} {
			var tokens []string
			for range 3 {
				a, err := tc.client.Get("http://ringback.example" + tc.path)
				if err != nil || a.StatusCode != http.StatusOK {
					t.Fatalf("%s: %v %v", claim, a, err)
				}
				token := strings.TrimPrefix(a.Request.Header.Get("Authorization"), "Bearer ")
				if slices.Contains(tokens, token) {
					t.Errorf("%s, and has its former token", claim)
				}
				tokens = append(tokens, token)
				time.Sleep(8*time.Hour + time.Second)
				r.do("GET", tc.path, token, "").want(http.StatusUnauthorized)
			}
		}
	})
}

func TestTokenErrors(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		id := string(r.a.client.ID)
		for claim, tc := range map[string]struct {
			form       string
			id, secret string
			code       int
			status     string
		}{
			"no grant type":                       {"", "", "", 400, "invalid_request"},
			"another grant type":                  {"grant_type=implicit", "", "", 400, "unsupported_grant_type"},
			"no credentials":                      {"grant_type=client_credentials", "", "", 400, "invalid_request"},
			"an unknown client":                   {"grant_type=client_credentials", "00000000-0000-7000-8000-000000000000", clientSecret, 401, "invalid_client"},
			"a client id that is none":            {"grant_type=client_credentials", "nobody", clientSecret, 401, "invalid_client"},
			"credentials in both places":          {"grant_type=client_credentials&client_id=x&client_secret=y", id, clientSecret, 400, "invalid_request"},
			"a wrong password":                    {"grant_type=password&username=admin&password=x", "", "", 400, "invalid_grant"},
			"an unknown user":                     {"grant_type=password&username=nobody&password=x", "", "", 400, "invalid_grant"},
			"a user name no database keeps":       {"grant_type=password&username=%00&password=x", "", "", 400, "invalid_grant"},
			"a parameter twice":                   {"grant_type=password&grant_type=password", "", "", 400, "invalid_request"},
			"an access token is no refresh token": {"grant_type=refresh_token&refresh_token=" + r.a.token, "", "", 400, "invalid_grant"},
			"no refresh token":                    {"grant_type=refresh_token", "", "", 400, "invalid_request"},
		} {
			t.Run(claim, func(t *testing.T) {
				form, _ := url.ParseQuery(tc.form)
				a := r.post("/oauth/token", form, tc.id, tc.secret).want(tc.code)
				if got := a.object(); got["error"] != tc.status || got["error_description"] == "" || a.header.Get("Cache-Control") != "no-store" {
					t.Errorf("answered %s, %v", a.body, a.header)
				}
			})
		}
		t.Run("the query is not the body", func(t *testing.T) {
			r.post("/oauth/token?grant_type=client_credentials&client_id="+id+"&client_secret="+url.QueryEscape(clientSecret), nil, "", "").want(400)
		})
		t.Run("JSON is not a form", func(t *testing.T) {
			r.do("POST", "/oauth/token", "", `{"grant_type":"password"}`).want(400)
		})
		t.Run("a refresh token is no access token", func(t *testing.T) {
			issued, err := tokens{tokens: r.store, now: time.Now}.hand(t.Context(), tokenOfA(r))
			if err != nil {
				t.Fatal(err)
			}
			a := r.do("GET", "/client/@me/extension/", issued.RefreshToken, "")
			a.refused(401, "unauthorized")
			if !strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token") {
				t.Errorf("header %q", a.header.Get("WWW-Authenticate"))
			}
		})
		t.Run("a secret that was not encoded in the header", func(t *testing.T) {
			p := r.partyWith("50% off + more & more")
			r.post("/oauth/token", url.Values{"grant_type": {"client_credentials"}}, string(p), "50% off + more & more").want(200)
			r.post("/oauth/token", url.Values{"grant_type": {"client_credentials"}}, string(p), url.QueryEscape("50% off + more & more")).want(200)
		})
	})
}

func TestRefreshTokenRotates(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		now := time.Now()
		endpoint := tokens{tokens: r.store, now: func() time.Time { return now }}
		r.server = New(Options{Store: r.store, Now: endpoint.now})
		issued, err := endpoint.hand(t.Context(), tokenOfA(r))
		if err != nil {
			t.Fatal(err)
		}
		use := func(token string) reply {
			return r.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "", "")
		}
		second := use(issued.RefreshToken).want(200).object()["refresh_token"].(string)
		now = now.Add(59 * time.Second)
		use(issued.RefreshToken).want(200) // its answer may have been lost
		now = now.Add(2 * time.Second)
		use(issued.RefreshToken).want(400)
		now = now.Add(29 * 24 * time.Hour)
		token := use(second).want(200).object()["access_token"].(string)
		r.do("GET", "/client/@me/extension", token, "").want(200)
		now = now.Add(8*time.Hour - time.Second)
		r.do("GET", "/client/@me/extension", token, "").want(200)
		now = now.Add(time.Second)
		r.do("GET", "/client/@me/extension", token, "").want(401)
	})
}

func TestRevoke(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		sign := func() tokenAnswer {
			issued, err := tokens{tokens: r.store, now: time.Now}.hand(t.Context(), tokenOfA(r))
			if err != nil {
				t.Fatal(err)
			}
			return issued
		}
		refresh := func(token string) reply {
			return r.post("/oauth/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, "", "")
		}
		revoke := func(token, id, secret string) reply {
			return r.post("/oauth/revoke", url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}, id, secret)
		}
		first, other := sign(), sign()
		next := refresh(first.RefreshToken).want(200).object()
		for claim, a := range map[string]reply{
			"no token":         r.post("/oauth/revoke", url.Values{}, "", "").want(400),
			"a wrong secret":   revoke(first.AccessToken, string(r.a.client.ID), "wrong").want(401),
			"another client's": revoke(first.AccessToken, string(r.b.client.ID), clientSecret).want(400),
		} {
			if a.object()["error"] == "" || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s", claim, a.body)
			}
		}
		r.do("GET", "/client/@me/extension/", first.AccessToken, "").want(200)
		revoke("unknown", "", "").want(200)
		revoke(next["refresh_token"].(string), string(r.a.client.ID), clientSecret).want(200)
		for _, token := range []string{first.AccessToken, next["access_token"].(string)} {
			r.do("GET", "/client/@me/extension/", token, "").refused(401, "unauthorized")
		}
		for _, token := range []string{first.RefreshToken, next["refresh_token"].(string)} {
			refresh(token).want(400)
		}
		r.do("GET", "/client/@me/extension/", other.AccessToken, "").want(200)
		revoke(other.AccessToken, "", "").want(200)
		r.do("GET", "/client/@me/extension/", other.AccessToken, "").refused(401, "unauthorized")
		refresh(other.RefreshToken).want(400)
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := newThrottle(time.Now)
		fail := func(identity, address string) time.Duration {
			began := time.Now()
			pause(t.Context(), throttle.failed(identity, address))
			return time.Since(began)
		}
		for i := 1; i <= freeFailures; i++ {
			if wait := throttle.wait("a", "1"); wait != 0 {
				t.Fatalf("refused after %d failures", i-1)
			}
			if took := fail("a", "1"); took != time.Duration(i)*slowStep {
				t.Fatalf("failure %d took %v", i, took)
			}
		}
		if wait := throttle.wait("a", "1"); wait != time.Second-freeFailures*slowStep { // from the failure, not from its answer
			t.Errorf("refused for %v", wait)
		}
		for _, pair := range [][2]string{{"a", "2"}, {"b", "1"}} {
			if wait := throttle.wait(pair[0], pair[1]); wait != 0 {
				t.Errorf("%v is refused, too", pair)
			}
		}
		for range 20 {
			fail("a", "1")
		}
		if wait := throttle.wait("a", "1"); wait > maxBlock || wait < maxBlock/2 {
			t.Errorf("refused for %v", wait)
		}
		throttle.passed("a", "1")
		if wait := throttle.wait("a", "1"); wait != 0 {
			t.Errorf("refused after a success for %v", wait)
		}
	})
}

func TestThrottleForgets(t *testing.T) {
	now := time.Now()
	throttle := newThrottle(func() time.Time { return now })
	for i := range 2 * maxThrottled {
		throttle.failed("a", string(rune(i)))
	}
	if len(throttle.pairs) > maxThrottled {
		t.Errorf("remembers %d pairs", len(throttle.pairs))
	}
}

// TestTooManyFailures tries it on the server: the pair is refused, others are
// not.
func TestTooManyFailures(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		wrong := url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {"wrong"}}
		right := url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {adminPassword}}
		for range freeFailures {
			r.post("/oauth/token", wrong, "", "").want(400)
		}
		if a := r.post("/oauth/token", right, "", "").want(429); a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(right.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", "192.0.2.77") // forged: no proxy is trusted
		r.send(req).want(429)
		req = httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(right.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.RemoteAddr = "192.0.2.77:1"
		r.send(req).want(http.StatusOK)
	})
}

// TestFailuresOfOneIdentity: a client id in another case is the same client, and
// an address of the same IPv6 network the same caller.
func TestFailuresOfOneIdentity(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		ask := func(id, address, secret string) int {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/oauth/token", strings.NewReader(form.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.RemoteAddr = "[" + address + "]:1"
			return r.send(req).code
		}
		id := string(r.a.client.ID)
		for i := range freeFailures {
			other := strings.ToUpper(id[:i]) + id[i:]
			if code := ask(other, fmt.Sprintf("2001:db8::%d", i+1), "wrong"); code != 401 {
				t.Fatalf("failure %d is answered %d", i+1, code)
			}
		}
		if code := ask(strings.ToUpper(id), "2001:db8::ffff", clientSecret); code != 429 {
			t.Errorf("another spelling, another address of the network: %d", code)
		}
		if code := ask(id, "2001:db8:0:1::1", clientSecret); code != 200 {
			t.Errorf("another network: %d", code)
		}
	})
}

// TestTokensPerHour: a request too many is refused as OAuth does it.
func TestTokensPerHour(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		now := time.Now() // stands still: ten requests a second are given back
		r.server = New(Options{Store: r.store, Now: func() time.Time { return now }})
		r.server.meter.count("address 192.0.2.1", scheduler.DefaultRequestsPerHour, scheduler.DefaultRequestsPerHour)
		for _, path := range []string{"/oauth/token", "/Token", "/oauth/revoke"} {
			a := r.post(path, url.Values{}, "", "").want(429)
			if a.object()["error"] != "invalid_request" || !strings.Contains(a.body, limitRequests) || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %v %s", path, a.header, a.body)
			}
		}
	})
}

// TestFailuresAtOnce: many at once are not heard more often than one by one,
// but for those that are looked at already.
func TestFailuresAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		wrong := url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {"wrong"}}
		var heard atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				if r.post("/oauth/token", wrong, "", "").code == http.StatusBadRequest {
					heard.Add(1)
				}
			})
		}
		all.Wait()
		if n := heard.Load(); n < freeFailures || n > freeFailures+1 {
			t.Errorf("%d were heard", n)
		}
	})
}

// overtaken changes something right before tokens are kept.
type overtaken struct {
	Tokens
	by func()
}

func (o overtaken) AddTokens(ctx context.Context, all ...scheduler.Token) error {
	o.by()
	return o.Tokens.AddTokens(ctx, all...)
}

// TestSignInThatIsOvertaken: what was good when it was shown, and is not when the
// tokens are kept, signs nobody in.
func TestSignInThatIsOvertaken(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		endpoint := tokens{identities: r.store, vault: newVault(), throttle: newThrottle(time.Now), now: time.Now}
		for code, tc := range map[string]struct {
			form url.Values
			by   func() error
		}{
			"invalid_grant": {
				url.Values{"grant_type": {"password"}, "username": {adminName}, "password": {adminPassword}},
				func() error { return r.store.SetPassword(t.Context(), storetest.UserID, "", clientHash, "") },
			},
			"invalid_client": {
				url.Values{"grant_type": {"client_credentials"}, "client_id": {string(r.a.client.ID)}, "client_secret": {clientSecret}},
				func() error {
					_, err := r.store.UpdateClient(t.Context(), storetest.MasterID, r.a.client.ID, func(c *scheduler.Client) error { c.SecretHash = adminHash; return nil })
					return err
				},
			},
		} {
			for _, late := range []bool{false, true} {
				endpoint.tokens = overtaken{r.store, func() {
					if late {
						if err := tc.by(); err != nil {
							t.Error(err)
						}
					}
				}}
				_, err := endpoint.grant(requestOf(t, "", mediaForm, tc.form.Encode()))
				if e, _ := errors.AsType[*oauthError](err); late && (e == nil || e.Code != code) || !late && err != nil {
					t.Errorf("%s, overtaken %v: %v", code, late, err)
				}
			}
		}
	})
}

func TestPassword(t *testing.T) {
	const other = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$" // of another cost
	hash := HashPassword("pass")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("the hash is %s", hash)
	}
	for claim, tc := range map[string]struct {
		password, hash string
		want           bool
	}{
		"the password matches":     {"pass", hash, true},
		"another one does not":     {"Pass", hash, false},
		"no hash matches nothing":  {"", "", false},
		"a broken hash is no hash": {"pass", hash[:len(hash)-3] + "$$$", false},
		"an empty key is no hash":  {"pass", other, false},
	} {
		if got := newVault().check(tc.password, tc.hash); got != tc.want {
			t.Errorf("%s: %v", claim, got)
		}
	}
}
