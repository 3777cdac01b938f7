package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

const masterAccount = "/api/v1/admin/accounts/" + string(storetest.MasterID)

// accountSample is the documented sample of an account in a format, with what has
// to be replaced in it if good.
func accountSample(t *testing.T, format string, good bool) string {
	t.Helper()
	text, err := os.ReadFile("testdata/admin/account." + format)
	if err != nil {
		t.Fatal(err)
	}
	// The longest first: 1 is the beginning of 10.
	all := []string{"10", "Europe/Rome", "11", "https://www.example.com", "3", "name@example.com", "7", "+39 333 1234567", "9", "W. Europe Standard Time"}
	var pairs []string
	for i := 0; good && i < len(all); i += 2 {
		sample, value := "sample string "+all[i], all[i+1]
		if format == "form" {
			sample, value = url.QueryEscape(sample), url.QueryEscape(value)
		}
		pairs = append(pairs, sample, value)
	}
	return strings.NewReplacer(pairs...).Replace(strings.TrimSpace(string(text)))
}

// TestAccountSamples: the documented sample, in each format and encoding, makes
// the same account, and is answered the same; as it stands every fault is told.
func TestAccountSamples(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		document := accountSample(t, "xml", true)
		for i, sent := range []struct{ media, body string }{
			{mediaJSON, accountSample(t, "json", true)}, {mediaTextJSON, "\ufeff" + accountSample(t, "json", true)},
			{mediaXML, document}, {mediaTextXML, "\ufeff" + `<?xml version="1.0" encoding="utf-16"?>` + document},
			{mediaXML, utf16Of(binary.LittleEndian, document)}, {mediaForm, accountSample(t, "form", true)},
		} {
			for accept, golden := range map[string]string{mediaJSON: "admin/account.json.golden", mediaXML: "admin/account.xml.golden"} {
				name := fmt.Sprintf("sample string 4 %d %s", i, accept[len("application/"):])
				body := strings.NewReplacer("sample string 4", name, "sample+string+4", url.QueryEscape(name)).Replace(sent.body)
				if i == 4 {
					body = utf16Of(binary.LittleEndian, strings.ReplaceAll(document, "sample string 4", name))
				}
				r.as("POST", masterAccount, sent.media, accept, body).want(200).golden(golden)
				user, err := r.store.UserByName(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				stored := r.as("GET", "/api/v2/admin/accounts/"+string(user.AccountID), "", accept, "").want(200)
				stored.body = strings.NewReplacer(name, "NAME", string(storetest.MasterID), "MASTER").Replace(stored.body)
				stored.golden(strings.Replace(golden, "account", "stored", 1))
				if !matches("sample string 8", user.PasswordHash) {
					t.Errorf("%s: the password is another", sent.media)
				}
			}
		}
		const faults = "Email must be an e-mail address, such as name@example.com; MobilePhone must be 5 to 20 characters long, with at least 5 digits; " +
			"TimeZone must be the IANA name of a time zone, such as Europe/Rome, or Windows' name of one; " +
			"TimeZoneInJavaFormat must be the IANA name of a time zone, such as Europe/Rome, or Windows' name of one; " +
			"WebSite must be an absolute URL, such as https://www.example.com"
		for format, media := range map[string]string{"json": mediaJSON, "xml": mediaXML, "form": mediaForm} {
			if reason := r.as("POST", masterAccount, media, mediaJSON, accountSample(t, format, false)).failed(400, "VALIDATION_FAILED"); reason != faults {
				t.Errorf("%s as it stands is refused with %q", format, reason)
			}
		}
		r.as("POST", masterAccount, mediaXML, "", accountSample(t, "xml", false)).want(400).golden("admin/account.refused.golden")
	})
}

// TestAccountCriteria: each criterion is told by its field.
func TestAccountCriteria(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for change, want := range map[string]string{
			`"Email":"name@localhost"`:                                "Email must be an e-mail",
			`"Email":"Name <name@example.com>"`:                       "Email must be an e-mail",
			`"Email":"name@[127.0.0.1]"`:                              "Email must be an e-mail",
			`"Username":"ab"`:                                         "Username must be 3 to 254",
			`"Username":" abc"`:                                       "Username must be of printable",
			`"Username":"a\u0009bc"`:                                  "Username must be of printable",
			`"Username":"` + adminName + `"`:                          "Username is taken",
			`"Username":"` + strings.Repeat("x", 255) + `"`:           "Username must be 3 to 254",
			`"Password":"elevenchars"`:                                "Password must be 12 to 128",
			`"Password":"` + strings.Repeat("aB3$x ", 22) + `"`:       "Password must be 12 to 128",
			`"Password":"Password1234!"`:                              "Password is too well known",
			`"Password":"123456789012"`:                               "Password is too well known",
			`"Password":"qwertyuiop[]"`:                               "Password is too well known",
			`"Firstname":""`:                                          "Firstname is required",
			`"Lastname":null`:                                         "Lastname is required",
			`"MobilePhone":"1234"`:                                    "MobilePhone must be 5 to 20",
			`"MobilePhone":"+39 (call) 1234"`:                         "",
			`"MobilePhone":"call 1234"`:                               "MobilePhone must be 5 to 20",
			`"LanguageID":"it"`:                                       "LanguageID must be a GUID",
			`"TimeZone":"Local"`:                                      "TimeZone must be the IANA",
			`"TimeZone":"Mars/Olympus"`:                               "TimeZone must be the IANA",
			`"TimeZone":"Tokyo Standard Time"`:                        "TimeZoneInJavaFormat must be the same zone",
			`"TimeZone":"Europe/Paris"`:                               "TimeZoneInJavaFormat must be the same zone",
			`"TimeZone":"europe standard time"`:                       "TimeZone must be the IANA",
			`"TimeZone":"w. europe standard time"`:                    "",
			`"WebSite":"www.example.com"`:                             "WebSite must be an absolute URL",
			`"WebSite":"ftp://example.com"`:                           "WebSite must be an absolute URL",
			`"Address":"` + strings.Repeat("x", 256) + `"`:            "Address must be at most 255",
			`"Email":"x","Password":"short","WebSite":"x","Name":"x"`: "Email must be an e-mail address, such as name@example.com; WebSite must be an absolute URL, such as https://www.example.com; Password must",
		} {
			t.Run(change, func(t *testing.T) {
				r.t = t
				r.worlds++
				good := decoded[map[string]any](reply{t: t, body: accountSample(t, "json", true)})
				good["Username"] = fmt.Sprint("criterion ", r.worlds)
				for name, value := range decoded[map[string]any](reply{t: t, body: "{" + change + "}"}) {
					good[name] = value
				}
				a := r.do("POST", masterAccount, r.user, string(mustEncode(t, good)))
				if want == "" {
					a.want(200)
				} else if reason := a.failed(400, "VALIDATION_FAILED"); !strings.Contains(reason, want) {
					t.Errorf("refused with %q", reason)
				}
			})
		}
	})
}

// TestDisabledAccount: tokens die, queues stop, history stays, below it, too; what
// was disabled with it comes back with it.
func TestDisabledAccount(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		above := r.household(storetest.MasterID)
		below := r.household(above.holder.Account.ID)
		queues := "/client/" + string(below.client.ID) + "/task_scheduler"
		queue := queues + "/" + r.do("POST", queues, below.byUser, `{"name":"q","status":"on"}`).want(201).id()
		path := "/api/v2/admin/accounts/" + string(above.holder.Account.ID)
		r.do("DELETE", masterAccount, r.user, "").failed(409, "CONFLICT")
		for range 2 {
			r.do("DELETE", path, r.user, "").want(200)
		}
		for _, token := range []string{above.user, above.byUser, below.user, below.byUser} {
			r.do("GET", "/api/v2/admin/accounts", token, "").want(401)
		}
		for _, h := range []household{above, below} {
			r.signIn(url.Values{"grant_type": {"password"}, "username": {h.holder.User.Username}, "password": {adminPassword}}).want(400)
			r.signIn(url.Values{"grant_type": {"client_credentials"}, "client_id": {string(h.client.ID)}, "client_secret": {clientSecret}}).want(401)
		}
		if told := r.do("GET", queue, r.user, "").want(200).object(); told["status"] != "off" {
			t.Errorf("the queue is %v", told["status"])
		}
		r.do("PUT", queue, r.user, `{"status":"on"}`).refused(409, "conflict")
		r.do("PUT", "/api/v2/admin/accounts/"+string(below.holder.Account.ID), r.user, `{"Enabled":true}`).failed(409, "CONFLICT")
		if told := detail0(r.do("PUT", path, r.user, `{"Enabled":"true"}`)); told["Enabled"] != true {
			t.Errorf("it is %v", told)
		}
		r.do("GET", "/api/v2/admin/accounts", below.user, "").want(401)
		r.signIn(url.Values{"grant_type": {"password"}, "username": {below.holder.User.Username}, "password": {adminPassword}}).want(200)
	})
}

// signIn asks for a token by the source's own path.
func (r *rig) signIn(form url.Values) reply {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), "POST", "/Token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", mediaForm)
	return r.send(req)
}

// TestSessions: they are listed, and end one by one or with another password,
// which takes the current one.
func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		h := r.household(storetest.MasterID)
		path := "/api/v1/admin/accounts/" + string(h.holder.Account.ID)
		password := url.Values{"grant_type": {"password"}, "username": {h.holder.User.Username}, "password": {adminPassword}}
		second := r.signIn(password).want(200).object()
		refreshed := r.signIn(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second["refresh_token"].(string)}}).want(200).object()
		told := r.do("GET", path+"/sessions", h.user, "").want(200).object()["ResponseData"].(map[string]any)["Detail"].([]any)
		if len(told) != 3 {
			t.Fatalf("there are %d sessions: %v", len(told), told)
		}
		latest := told[0].(map[string]any)
		if latest["Current"] != false || latest["UserID"] != string(h.holder.User.ID) || latest["Address"] != "192.0.2.1" {
			t.Errorf("the latest is %v", latest)
		}
		r.do("DELETE", fmt.Sprint(path, "/sessions/", latest["ID"]), h.user, "").want(200)
		r.do("GET", path, refreshed["access_token"].(string), "").want(401)
		r.do("DELETE", fmt.Sprint(path, "/sessions/", latest["ID"]), h.user, "").failed(404, "NOT_FOUND")

		third := r.signIn(password).want(200).object()["access_token"].(string)
		change := `{"CurrentPassword":%q,"Password":"a quite different one"}`
		r.do("PUT", path+"/password", h.user, `{"Password":"a quite different one"}`).failed(400, "VALIDATION_FAILED")
		r.do("PUT", path+"/password", h.user, fmt.Sprintf(change, "not this one")).failed(400, "VALIDATION_FAILED")
		r.do("PUT", path, h.user, `{"Password":"a quite different one"}`).failed(400, "VALIDATION_FAILED")
		r.do("PUT", path+"/password", h.user, fmt.Sprintf(change, adminPassword)).want(200)
		r.do("GET", path, third, "").want(401)
		r.do("GET", path, h.user, "").want(200)
		r.signIn(password).want(400)
		for range freeFailures {
			r.do("PUT", path+"/password", h.user, fmt.Sprintf(change, "not this one"))
		}
		if a := r.do("PUT", path+"/password", h.user, fmt.Sprintf(change, "a quite different one")); a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		} else {
			a.failed(429, "RATE_LIMIT_EXCEEDED")
		}
		// Who is above it needs no password, and ends all sessions.
		r.do("PUT", path, r.user, `{"Password":"from above, another"}`).want(200)
		r.do("GET", path, h.user, "").want(401)
	})
}

// overtakenPassword changes a password right before another change of it is kept.
type overtakenPassword struct{ *store.Store }

func (o overtakenPassword) SetPassword(ctx context.Context, user scheduler.UserID, shown, hash, but string) error {
	if err := o.Store.SetPassword(ctx, user, shown, clientHash, but); err != nil {
		return err
	}
	return o.Store.SetPassword(ctx, user, shown, hash, but)
}

// TestPasswordIsShownOnce: of two who show the same current password, and have both
// been believed, one changes it.
func TestPasswordIsShownOnce(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		h := r.household(storetest.MasterID)
		s := accounts{
			accounts: r.store, sessions: overtakenPassword{r.store}, now: time.Now,
			tokens: tokens{identities: r.store, vault: newVault(), throttle: newThrottle(time.Now), now: time.Now},
		}
		c := requestOf(t, "", mediaJSON, fmt.Sprintf(`{"CurrentPassword":%q,"Password":"a quite different one"}`, adminPassword))
		c.SetParamNames("id")
		c.SetParamValues(string(h.holder.Account.ID))
		err := s.setPassword(c, caller{Principal: scheduler.Principal{Account: h.holder.Account, User: h.holder.User}})
		if !errors.Is(err, scheduler.ErrWrongPassword) {
			t.Errorf("the second is answered %v", err)
		}
		user, err := r.store.UserByName(t.Context(), h.holder.User.Username)
		if err != nil || user.PasswordHash != clientHash {
			t.Errorf("the password is not that of the first, %v", err)
		}
	})
}

// TestClientSecret: a new secret leaves the one before good for a while, or ends
// it with its tokens; a disabled client is nobody.
func TestClientSecret(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		h := r.household(storetest.MasterID)
		path := "/api/v2/admin/clients/" + string(h.client.ID)
		by := func(secret string) reply {
			return r.signIn(url.Values{"grant_type": {"client_credentials"}, "client_id": {string(h.client.ID)}, "client_secret": {secret}})
		}
		told := detail0(r.do("PUT", path, h.user, `{"Secret":"the second secret","Name":null}`))
		if told["Secret"] != "the second secret" || told["OldSecretUntil"] == nil || told["Name"] != h.client.Name {
			t.Errorf("it is %v", told)
		}
		if a := r.do("GET", path, h.user, "").want(200); strings.Contains(a.body, "second") {
			t.Errorf("the secret is told again: %s", a.body)
		}
		by(clientSecret).want(200)
		by("the second secret").want(200)
		if told := detail0(r.do("PUT", path, h.user, `{"Secret":"the third secret","GraceSeconds":0}`)); told["OldSecretUntil"] != nil {
			t.Errorf("it is %v", told)
		}
		by("the second secret").want(401)
		r.do("GET", path, h.byUser, "").want(401)
		token := by("the third secret").want(200).object()["access_token"].(string)
		r.do("DELETE", path, h.user, "").want(200)
		r.do("GET", path, token, "").want(401)
		by("the third secret").want(401)
		if told := detail0(r.do("PUT", path, h.user, `{"Enabled":"1"}`)); told["Enabled"] != true {
			t.Errorf("it is %v", told)
		}
		by("the third secret").want(200)
	})
}

// TestBackOffice: who has nothing but a client's credentials opens accounts,
// changes its own and makes clients for it. Another that is open it only reads.
func TestBackOffice(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		token := r.signIn(url.Values{"grant_type": {"client_credentials"}, "client_id": {string(r.a.client.ID)}, "client_secret": {clientSecret}}).
			want(200).object()["access_token"].(string)
		own := detail0(r.do("GET", "/api/v1/admin/accounts", token, ""))
		below := fmt.Sprint("/api/v1/admin/accounts/", detail0(r.do("POST", fmt.Sprint("/api/v1/admin/accounts/", own["ID"]), token, accountSample(t, "json", true)))["ID"])
		if told := detail0(r.do("PUT", fmt.Sprint("/api/v1/admin/accounts/", own["ID"]), token, `{"CompanyName":"Other","Email":"other@example.com"}`)); told["CompanyName"] != "Other" || told["Email"] != "other@example.com" {
			t.Errorf("it is %v", told)
		}
		before := detail0(r.do("GET", below, token, ""))
		for _, change := range []string{`{"Password":"a quite different one"}`, `{"Username":"somebody"}`, `{"Email":"other@example.com"}`, `{"Enabled":false}`, `{"CompanyName":"Other"}`} {
			r.do("PUT", below, token, change).failed(403, "ACCESS_DENIED")
		}
		r.do("DELETE", below, token, "").failed(403, "ACCESS_DENIED")
		if told := detail0(r.do("GET", below, token, "")); told["TimeZone"] != "Europe/Rome" || !maps.Equal(told, before) {
			t.Errorf("it is %v", told)
		}
		r.signIn(url.Values{"grant_type": {"password"}, "username": {fmt.Sprint(before["Username"])}, "password": {"sample string 8"}}).want(200)
		client := detail0(r.do("POST", "/api/v2/admin/clients", token, fmt.Sprintf(`{"Name":"made","Secret":%q,"UserID":%q}`, clientSecret, own["UserID"])))
		path := fmt.Sprint("/api/v2/admin/clients/", client["ID"])
		detail0(r.do("PUT", path, token, `{"Secret":"the second secret"}`))
		r.do("DELETE", path, token, "").want(200)
		task := detail0(r.do("POST", accountsTasks, token, goodAccountTask))
		r.do("DELETE", fmt.Sprint(accountsTasks, "/", task["ID"]), token, "").want(200)
		entries := r.entries("?order=desc&per_page=1")
		if e := entries[0]; e["ByClient"] != string(r.a.client.ID) || e["UserID"] != string(storetest.UserID) {
			t.Errorf("the audit has %v", e)
		}
	})
}

// TestWindowsZones: every zone of the table is one.
func TestWindowsZones(t *testing.T) {
	for windows, zone := range windowsZones {
		if ianaZone(zone) != zone || ianaZone(strings.ToUpper(windows)) != zone {
			t.Errorf("%s is %s", windows, zone)
		}
	}
	if zone := ianaZone("UTC"); zone != "UTC" {
		t.Errorf("an account of UTC that is read and put back is one of %s", zone)
	}
}
