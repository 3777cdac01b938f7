package api

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOpenAPIOracle: the judge of all other tests' exchanges sees what is wrong.
func TestOpenAPIOracle(t *testing.T) {
	const extension = `{"id":1,"name":"","label":"","type":"phone","status":"active","caller_id_name":"","ani":"","concurrent_call_limit":null,"trunk":"","create_date_utc":"2026-01-02 03:04:05"}`
	const path = "/client/@me/extension"
	s := New(Options{})
	for claim, tc := range map[string]struct {
		method, path, body string
		code               int
		header, told       string
		fine               bool
	}{
		"an exchange as documented":    {"POST", path, `{"name":"e"}`, 201, "", extension, true},
		"a trailing slash":             {"POST", path + "/", `{"name":"e"}`, 201, "", extension, true},
		"a request that is refused":    {"POST", path, `{"odd":1}`, 400, "", `{"message":"m","status":"s","errors":[]}`, true},
		"an unknown name is taken":     {"POST", path, `{"odd":1}`, 201, "", extension, false},
		"a wrong type is taken":        {"POST", path, `{"name":1}`, 201, "", extension, false},
		"a member more":                {"POST", path, `{}`, 201, "", `{"odd":1,` + extension[1:], false},
		"a member less":                {"POST", path, `{}`, 201, "", strings.Replace(extension, `"label":"",`, "", 1), false},
		"a member of another type":     {"POST", path, `{}`, 201, "", strings.Replace(extension, `"id":1`, `"id":"1"`, 1), false},
		"a status that is not told":    {"POST", path, `{}`, 202, "", extension, false},
		"a header that is not told":    {"POST", path, `{}`, 201, "X-Odd", extension, false},
		"an answer that is not JSON":   {"POST", path, `{}`, 201, "", "done", false},
		"a query that is not told":     {"GET", path + "?page=x", ``, 200, "", "[" + extension + "]", false},
		"a query that nobody knows":    {"GET", path + "?odd=1", ``, 200, "", "[" + extension + "]", false},
		"an answer of no route":        {"GET", "/nowhere", ``, 200, "", "{}", false},
		"the path of another method":   {"PUT", path, `{}`, 200, "", extension, false},
		"no such path":                 {"GET", "/nowhere", ``, 404, "", `{"message":"m","status":"not_found","errors":[]}`, true},
		"a list with one wrong member": {"GET", path, ``, 200, "", "[" + extension + `,{"id":2}]`, false},
	} {
		t.Run(claim, func(t *testing.T) {
			req := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
			if tc.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", "application/json")
			if tc.header != "" {
				w.Header().Set(tc.header, "1")
			}
			w.WriteHeader(tc.code)
			_, _ = w.WriteString(tc.told)
			if err := theOracle(t).judge(s, req, []byte(tc.body), w); (err == nil) != tc.fine {
				t.Errorf("judged %v", err)
			}
		})
	}
}
