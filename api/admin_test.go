package api

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"ringback/store/storetest"
)

// detail returns the Detail of a success in the envelope.
func detail[T any](a reply) T {
	a.t.Helper()
	a.want(200)
	e := decoded[struct {
		Error        struct{ ErrorCode, ErrorReason string }
		ResponseData struct {
			Identification struct{ UserId string }
			Result         string
			Detail         T
		}
	}](a)
	if e.ResponseData.Result != "Success" || e.ResponseData.Identification.UserId != string(storetest.UserID) || e.Error.ErrorCode != "" {
		a.t.Fatalf("answered %s", a.body)
	}
	return e.ResponseData.Detail
}

// failed fails the test unless the answer is a failure in the envelope, and
// returns its reason.
func (a reply) failed(code int, errorCode string) string {
	a.t.Helper()
	a.want(code)
	e := decoded[struct {
		Error        struct{ ErrorCode, ErrorReason string }
		ResponseData struct {
			Identification struct{ UserId string }
			Result         string
			Detail         any
		}
	}](a)
	if e.Error.ErrorCode != errorCode || e.Error.ErrorReason == "" || e.ResponseData.Result != "Failure" || e.ResponseData.Detail != nil ||
		!strings.Contains(a.body, `"Detail":null`) || !strings.Contains(a.body, `"UserId"`) {
		a.t.Fatalf("answered %s", a.body)
	}
	return e.Error.ErrorReason
}

func TestAdmin(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		body := fmt.Sprintf(`{"name":"Shop","SECRET":"twelve chars or more","UserID":%q,"Unknown":[1]}`, strings.ToUpper(string(storetest.UserID)))
		for _, version := range []string{"v1", "v2"} {
			base := "/api/" + version + "/admin"
			for whose, token := range map[string]string{"a user's": r.user, "a client's": r.a.token} {
				t.Run(version+" with "+whose+" token", func(t *testing.T) {
					r.t = t
					account := detail[map[string]any](r.do("GET", base+"/accounts", token, ""))
					if account["ID"] != string(storetest.MasterID) || account["UserID"] != string(storetest.UserID) || account["Username"] != adminName {
						t.Errorf("the account is %v", account)
					}
					made := r.do("POST", base+"/clients", token, body)
					client := detail[map[string]any](made)
					if client["Name"] != "Shop" || client["Secret"] != "twelve chars or more" || made.header.Get("Warning") != "" {
						t.Errorf("made %v, %v", client, made.header)
					}
					told := detail[map[string]any](r.do("GET", base+"/clients/"+client["ID"].(string), token, ""))
					if _, told := told["Secret"]; told {
						t.Error("the secret is told again")
					}
					a := r.do("GET", base+"/clients?per_page=1000", token, "")
					all := detail[[]map[string]any](a)
					if len(all) < 3 || a.header.Get("X-Total-Count") != fmt.Sprint(len(all)) || strings.Contains(a.body, `"Secret"`) {
						t.Errorf("lists %s", a.body)
					}
				})
			}
		}
		t.Run("paths come in any case", func(t *testing.T) {
			r.t = t
			detail[map[string]any](r.do("GET", "/API/V2/Admin/Accounts/", r.user, ""))
			detail[map[string]any](r.do("GET", "/api/v1/ADMIN/Clients/"+strings.ToUpper(string(r.a.client.ID)), r.user, ""))
		})
		t.Run("a short secret is taken with a warning", func(t *testing.T) {
			r.t = t
			a := r.do("POST", "/api/v1/admin/clients", r.user, fmt.Sprintf(`{"Name":"n","Secret":"short","UserID":%q}`, storetest.UserID))
			if detail[map[string]any](a); a.header.Get("Warning") == "" {
				t.Error("there is none")
			}
		})
		t.Run("all failures at once", func(t *testing.T) {
			r.t = t
			reason := r.do("POST", "/api/v1/admin/clients", r.user, `{"Name":"a name of nineteen.","Secret":7,"UserID":"x"}`).failed(400, "VALIDATION_FAILED")
			for _, field := range []string{"Name must be at most 18", "Secret must be a string", "UserID must be a GUID"} {
				if !strings.Contains(reason, field) {
					t.Errorf("%q lacks %q", reason, field)
				}
			}
			reason = r.do("POST", "/api/v1/admin/clients", r.user, `{}`).failed(400, "VALIDATION_FAILED")
			if reason != "Name is required; Secret is required; UserID is required" {
				t.Errorf("%q", reason)
			}
			foreign := `{"Name":"n","Secret":"s","UserID":"00000000-0000-7000-8000-000000000000"}`
			if reason := r.do("POST", "/api/v1/admin/clients", r.user, foreign).failed(400, "VALIDATION_FAILED"); reason != "UserID is not a user of this account" {
				t.Errorf("%q", reason)
			}
		})
		t.Run("every error stands in the envelope", func(t *testing.T) {
			r.t = t
			r.do("GET", "/api/v1/admin/accounts", "", "").failed(401, "UNAUTHORIZED")
			r.do("GET", "/api/v1/admin/nothing", r.user, "").failed(404, "NOT_FOUND")
			r.do("GET", "/api/v1/admin", r.user, "").failed(404, "NOT_FOUND")
			r.do("DELETE", "/api/v1/admin/accounts", r.user, "").failed(405, "METHOD_NOT_ALLOWED")
			r.do("GET", "/api/v1/admin/clients/00000000-0000-7000-8000-000000000000", r.user, "").failed(404, "CLIENT_NOT_FOUND")
			r.do("POST", "/api/v1/admin/clients", r.user, `{"Name":`).failed(400, "VALIDATION_FAILED")
			req := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/admin/clients", strings.NewReader("a,b"))
			req.Header.Set("Content-Type", "text/csv")
			req.Header.Set("Authorization", "Bearer "+r.user)
			r.send(req).failed(415, "UNSUPPORTED_MEDIA_TYPE")
		})
	})
}
