package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// audit answers …/admin/audit, for the master account.
type audit struct {
	entries Audit
}

// auditAnswer is an entry of the audit as the admin API tells it.
type auditAnswer struct {
	ID        scheduler.AuditID
	Date      string
	AccountID scheduler.AccountID
	UserID    scheduler.UserID
	ByClient  *scheduler.ClientID // whose token it was; null: the user's own
	ClientID  *scheduler.ClientID // whose resources; null: the account's
	Method    string
	Path      string
	Address   string
	RequestID string
	Before    json.RawMessage
	After     json.RawMessage
}

func (auditAnswer) xmlName() string { return "AuditEntry" }

func tellAudit(e scheduler.AuditEntry) auditAnswer {
	return auditAnswer{
		ID: e.ID, Date: isoDate(e.At), AccountID: e.AccountID, UserID: e.UserID, ByClient: some(e.ByClient), ClientID: some(e.ClientID),
		Method: e.Method, Path: e.Path, Address: e.Address, RequestID: e.RequestID, Before: object(e.Before), After: object(e.After),
	}
}

// some is nil for the empty id.
func some(id scheduler.ClientID) *scheduler.ClientID {
	if id == "" {
		return nil
	}
	return &id
}

// object is JSON as it is kept; null without any.
func object(text string) json.RawMessage {
	if text == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}

func (s audit) list(c echo.Context, me caller) error {
	if me.Account.ParentID != nil {
		return scheduler.Errorf(scheduler.Forbidden, "the audit is the master account's")
	}
	q := newQuery(c)
	page := q.cursor(q.page(true))
	f := scheduler.AuditFilter{
		UserID: scheduler.UserID(q.guid("user_id")), ClientID: scheduler.ClientID(q.guid("client_id")),
		RequestID: q.text("request_id"), From: q.date("from"), To: q.date("to"),
	}
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.entries.Audit(c.Request().Context(), f, page)
	if err != nil {
		return err
	}
	told := make([]auditAnswer, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tellAudit(row)
	}
	total(c, found.Total)
	return succeed(c, me, told)
}

// guid returns the value of a parameter that is a GUID, "" without one.
func (q *query) guid(name string) string {
	given := q.text(name)
	if given == "" {
		return ""
	}
	guid, ok := scheduler.ParseGUID(given)
	if !ok {
		q.fault(name, "must be a GUID")
	}
	return guid
}

// act lets a handler answer a request; what it changes is the caller's, and
// goes into the audit.
func act(c echo.Context, me caller, handle func(echo.Context, caller) error) error {
	r := c.Request()
	if r.Method == http.MethodGet {
		return handle(c, me)
	}
	a := &scheduler.Actor{
		AccountID: me.Account.ID, UserID: me.User.ID, ClientID: me.client, Address: c.RealIP(),
		RequestID: r.Header.Get(headerRequestID), Method: r.Method, Path: r.URL.Path,
	}
	if me.byClient() {
		a.ByClient = me.Client.ID
	}
	c.SetRequest(r.WithContext(scheduler.WithActor(r.Context(), a)))
	return handle(c, me)
}
