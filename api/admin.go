package api

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
	"ringback/webhooks"
)

// How long the secret before is good beside a new one: unless the request says
// so, and at most.
const (
	secretGrace = 24 * time.Hour
	maxGrace    = 7 * 24 * time.Hour
)

// Limits of a client's fields, in characters.
const (
	maxClientName   = 18
	maxClientSecret = 50
	goodSecret      = 12 // shorter ones are taken with a warning
)

// backOffice answers …/clients of the admin API.
type backOffice struct {
	clients Clients
	vault   *vault
	now     func() time.Time
}

// clientRequest is what is asked of a client: what is "" or nil stays.
type clientRequest struct {
	Name, Secret, UserID string
	enabled              *bool
	grace                time.Duration
}

// clientShape is a client in requests that change one, newClientShape in those
// that make one. null and "" leave a member as it is: not every client can leave
// one out.
var (
	clientShape = newShape(
		member[clientRequest]{"Name", "Name", func(d *decoder, r *clientRequest) { r.Name = d.line(maxClientName) }},
		member[clientRequest]{"Secret", "Secret", func(d *decoder, r *clientRequest) { r.Secret = d.line(maxClientSecret) }},
		member[clientRequest]{"UserID", "UserID", func(d *decoder, r *clientRequest) { r.UserID, _ = d.guid() }},
		member[clientRequest]{"Enabled", "Enabled", func(d *decoder, r *clientRequest) {
			if is, ok := d.truth(); ok {
				r.enabled = &is
			}
		}},
		member[clientRequest]{"GraceSeconds", "GraceSeconds", func(d *decoder, r *clientRequest) { r.readGrace(d) }},
	)
	newClientShape = clientShape.require("Name", "Secret", "UserID")
)

func (r *clientRequest) readGrace(d *decoder) {
	seconds, ok := d.integer()
	switch {
	case !ok:
	case seconds < 0 || seconds > int64(maxGrace/time.Second):
		d.fault(fmt.Sprintf("must be between 0 and %d", maxGrace/time.Second))
	default:
		r.grace = time.Duration(seconds) * time.Second
	}
}

// readClient reads and checks a client.
func readClient(c echo.Context, me caller, s shape[clientRequest]) (clientRequest, error) {
	r := clientRequest{grace: secretGrace}
	d, err := ask(c, me, "ClientRequest")
	if err != nil {
		return r, err
	}
	s.read(d, &r)
	return r, d.err()
}

// clientAnswer is a client as the admin API tells it: its secret only in the
// answer to the request that gave it.
type clientAnswer struct {
	ID             scheduler.ClientID
	Name           string
	Secret         string `json:",omitempty"`
	UserID         scheduler.UserID
	AccountID      scheduler.AccountID
	Enabled        bool
	OldSecretUntil *string // until when the secret before is good, too
	DateCreated    string
}

func (clientAnswer) xmlName() string { return "ClientResponse" }

func (b backOffice) tell(client scheduler.Client) clientAnswer {
	told := clientAnswer{
		ID: client.ID, Name: client.Name, UserID: client.UserID, AccountID: client.AccountID,
		Enabled: client.DisabledAt.IsZero(), DateCreated: isoDate(client.CreatedAt),
	}
	if client.OldUntil.After(b.now()) {
		told.OldSecretUntil = isoDateOrNull(client.OldUntil)
	}
	return told
}

// tellSecret answers a client with the secret that it was given.
func (b backOffice) tellSecret(c echo.Context, me caller, client scheduler.Client, secret string) error {
	h := c.Response().Header()
	h.Set(echo.HeaderCacheControl, "no-store")
	if n := utf8.RuneCountInString(secret); n > 0 && n < goodSecret {
		h.Set("Warning", `299 ringback "the secret is shorter than 12 characters"`)
	}
	told := b.tell(client)
	told.Secret = secret
	return succeed(c, me, told)
}

// addClient makes a client of the caller's account.
func (b backOffice) addClient(c echo.Context, me caller) error {
	r, err := readClient(c, me, newClientShape)
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
	if r.enabled != nil && !*r.enabled {
		client.DisabledAt = now
	}
	if once := scheduler.OnceOf(ctx); once != nil {
		once.Answer = string(client.ID)
	}
	if err := b.clients.AddClient(ctx, client, webhooks.NewSecret(now)); err != nil {
		return err
	}
	return b.tellSecret(c, me, client, r.Secret)
}

// addedClient answers a client that was made before; its secret was told once.
func (b backOffice) addedClient(c echo.Context, me caller, kept scheduler.Once) error {
	client, err := b.clients.ClientOf(c.Request().Context(), me.Account.ID, scheduler.ClientID(kept.Answer))
	if err != nil {
		return err
	}
	return succeed(c, me, b.tell(client))
}

// changeClient changes what the request names of a client. A new secret leaves
// the one before good for a while.
func (b backOffice) changeClient(c echo.Context, me caller) error {
	client, err := b.of(c, me)
	if err != nil {
		return err
	}
	r, err := readClient(c, me, clientShape)
	if err != nil {
		return err
	}
	ctx, hash := c.Request().Context(), ""
	if r.Secret != "" {
		if hash, err = b.vault.hash(ctx, r.Secret); err != nil {
			return err
		}
	}
	changed, err := b.clients.UpdateClient(ctx, me.Account.ID, client.ID, func(to *scheduler.Client) error {
		b.apply(to, r, hash)
		return nil
	})
	if err != nil {
		return err
	}
	return b.tellSecret(c, me, changed, r.Secret)
}

// apply changes a client as a request asks for, with the hash of its secret.
func (b backOffice) apply(to *scheduler.Client, r clientRequest, hash string) {
	now := b.now()
	to.Name = cmp.Or(r.Name, to.Name)
	to.UserID = cmp.Or(scheduler.UserID(r.UserID), to.UserID)
	if hash != "" {
		to.OldHash, to.OldUntil = "", time.Time{}
		if r.grace > 0 {
			to.OldHash, to.OldUntil = to.SecretHash, now.Add(r.grace)
		}
		to.SecretHash = hash
	}
	switch {
	case r.enabled == nil:
	case *r.enabled:
		to.DisabledAt = time.Time{}
	case to.DisabledAt.IsZero():
		to.DisabledAt = now
	}
}

// disableClient disables a client: its tokens die, its queues stop.
func (b backOffice) disableClient(c echo.Context, me caller) error {
	client, err := b.of(c, me)
	if err != nil {
		return err
	}
	off := false
	_, err = b.clients.UpdateClient(c.Request().Context(), me.Account.ID, client.ID, func(to *scheduler.Client) error {
		b.apply(to, clientRequest{enabled: &off}, "")
		return nil
	})
	if err != nil {
		return err
	}
	return succeed(c, me, nil)
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
	return succeedList(c, me, found, b.tell)
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

// of finds the client of the path, within what the caller reaches.
func (b backOffice) of(c echo.Context, me caller) (scheduler.Client, error) {
	guid, ok := scheduler.ParseGUID(c.Param("id"))
	if !ok {
		return scheduler.Client{}, errNoClient
	}
	client, err := b.clients.ClientOf(c.Request().Context(), me.Account.ID, scheduler.ClientID(guid))
	if isNotFound(err) || err == nil && me.byClient() && client.AccountID != me.Account.ID {
		return client, errNoClient
	}
	return client, err
}

func (b backOffice) client(c echo.Context, me caller) error {
	client, err := b.of(c, me)
	if err != nil {
		return err
	}
	return succeed(c, me, b.tell(client))
}
