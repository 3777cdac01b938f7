package api

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/webhooks"
)

// Limits of a client's fields, in characters.
const (
	maxClientName   = 18
	maxClientSecret = 50
	goodSecret      = 12 // shorter ones are taken with a warning
)

// backOffice answers the admin API.
type backOffice struct {
	clients Clients
	vault   *vault
	now     func() time.Time
}

// accountAnswer is an account as the admin API tells it.
type accountAnswer struct {
	ID          scheduler.AccountID
	ParentID    *scheduler.AccountID
	UserID      scheduler.UserID
	Username    string
	CompanyName string
	Email       string
	TimeZone    string
	DateCreated string
}

func (accountAnswer) xmlName() string { return "AccountResponse" }

// account tells the caller's own account.
func (b backOffice) account(c echo.Context, me caller) error {
	a := me.Account
	return succeed(c, me, accountAnswer{
		ID: a.ID, ParentID: a.ParentID, UserID: me.User.ID, Username: me.User.Username,
		CompanyName: a.CompanyName, Email: a.Email, TimeZone: a.TimeZone, DateCreated: isoDate(a.CreatedAt),
	})
}

// clientRequest is a client to be made.
type clientRequest struct {
	Name, Secret, UserID string
}

// clientShape is a client in requests of the admin API.
var clientShape = newShape(
	member[clientRequest]{"Name", "Name", func(d *decoder, r *clientRequest) { d.text(&r.Name) }},
	member[clientRequest]{"Secret", "Secret", func(d *decoder, r *clientRequest) { d.text(&r.Secret) }},
	member[clientRequest]{"UserID", "UserID", func(d *decoder, r *clientRequest) { d.text(&r.UserID) }},
)

// clientAnswer is a client as the admin API tells it: its secret only in the
// answer to the request that made it.
type clientAnswer struct {
	ID          scheduler.ClientID
	Name        string
	Secret      string `json:",omitempty"`
	UserID      scheduler.UserID
	AccountID   scheduler.AccountID
	DateCreated string
}

func (clientAnswer) xmlName() string { return "ClientResponse" }

func tellClient(client scheduler.Client) clientAnswer {
	return clientAnswer{
		ID: client.ID, Name: client.Name, UserID: client.UserID, AccountID: client.AccountID,
		DateCreated: isoDate(client.CreatedAt),
	}
}

// addClient makes a client of the caller's account.
func (b backOffice) addClient(c echo.Context, me caller) error {
	r, err := readClient(c, me)
	if err != nil {
		return err
	}
	ctx, now := c.Request().Context(), b.now()
	hash, err := b.vault.hash(ctx, r.Secret)
	if err != nil {
		return err
	}
	client := scheduler.Client{
		ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: me.Account.ID, UserID: scheduler.UserID(r.UserID),
		Name: r.Name, SecretHash: hash, CreatedAt: now,
	}
	if once := scheduler.OnceOf(ctx); once != nil {
		once.Answer = string(client.ID)
	}
	if err := b.clients.AddClient(ctx, client, webhooks.NewSecret(now)); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-store")
	if utf8.RuneCountInString(r.Secret) < goodSecret {
		h.Set("Warning", `299 ringback "the secret is shorter than 12 characters"`)
	}
	told := tellClient(client)
	told.Secret = r.Secret
	return succeed(c, me, told)
}

// addedClient answers a client that was made before; its secret was told once.
func (b backOffice) addedClient(c echo.Context, me caller, kept scheduler.Once) error {
	client, err := b.clients.ClientOf(c.Request().Context(), me.Account.ID, scheduler.ClientID(kept.Answer))
	if err != nil {
		return err
	}
	return succeed(c, me, tellClient(client))
}

// readClient reads and checks a client to be made.
func readClient(c echo.Context, me caller) (clientRequest, error) {
	var r clientRequest
	d, err := ask(c, me, "ClientRequest")
	if err != nil {
		return r, err
	}
	clientShape.read(d, &r)
	for _, text := range []struct {
		field, given string
		limit        int
	}{{"Name", r.Name, maxClientName}, {"Secret", r.Secret, maxClientSecret}} {
		switch n := utf8.RuneCountInString(text.given); {
		case d.faulty(text.field):
		case n == 0:
			d.faults.Add(text.field, "is required")
		case n > text.limit:
			d.faults.Add(text.field, "must be at most %d characters long", text.limit)
		}
	}
	guid, ok := scheduler.ParseGUID(r.UserID)
	switch {
	case d.faulty("UserID"):
	case r.UserID == "":
		d.faults.Add("UserID", "is required")
	case !ok:
		d.faults.Add("UserID", "must be a GUID")
	}
	r.UserID = guid
	return r, d.err()
}

func (b backOffice) listClients(c echo.Context, me caller) error {
	q := newQuery(c)
	page := q.page(false)
	if err := q.err(); err != nil {
		return err
	}
	found, err := b.reach(c.Request().Context(), me, page)
	if err != nil {
		return err
	}
	told := make([]clientAnswer, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tellClient(row)
	}
	total(c, found.Total)
	links(c, len(told), found.Total, "")
	return succeed(c, me, told)
}

// reach lists the clients that a caller reaches: a user's token those of the
// account and the accounts below it, a client's those of its own account.
func (b backOffice) reach(ctx context.Context, me caller, p scheduler.Page) (scheduler.List[scheduler.Client], error) {
	if !me.byClient() {
		return b.clients.Clients(ctx, me.Account.ID, p)
	}
	own, err := ownClients(ctx, b.clients, me.Account.ID)
	found := scheduler.List[scheduler.Client]{Total: len(own)}
	if p.Descending {
		slices.Reverse(own)
	}
	from := min(p.Offset(), len(own))
	found.Rows = own[from:min(from+p.Size, len(own))]
	return found, err
}

func (b backOffice) client(c echo.Context, me caller) error {
	guid, ok := scheduler.ParseGUID(c.Param("id"))
	if !ok {
		return errNoClient
	}
	client, err := b.clients.ClientOf(c.Request().Context(), me.Account.ID, scheduler.ClientID(guid))
	switch {
	case isNotFound(err), err == nil && me.byClient() && client.AccountID != me.Account.ID:
		return errNoClient
	case err != nil:
		return err
	}
	return succeed(c, me, tellClient(client))
}
