package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// keyUser is where the guard leaves the id of the user that a request acts for.
const keyUser = "user"

// caller is whom a request acts for, and in the callback API for which client.
type caller struct {
	scheduler.Principal
	client   scheduler.ClientID
	settings scheduler.Settings // of the client
}

// byClient reports whether the request came with a client's token.
func (w caller) byClient() bool { return w.Client != nil }

// guard binds routes to callers.
type guard struct {
	tokens  Tokens
	clients Clients
	meter   *meter
	now     func() time.Time
}

// user lets a handler of the admin API be called with any good token: a
// client's acts with the rights of its user.
func (g guard) user(handle func(echo.Context, caller) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		who, err := g.principal(c)
		if err != nil {
			return err
		}
		return act(c, caller{Principal: who}, handle)
	}
}

// client lets a handler of the callback API be called for the client of the
// path, if the token reaches that far.
func (g guard) client(handle func(echo.Context, caller) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		me, err := g.caller(c)
		if err != nil {
			return err
		}
		return act(c, me, handle)
	}
}

// caller finds whom the token of a request acts for, and the client of its
// path.
func (g guard) caller(c echo.Context) (caller, error) {
	who, err := g.principal(c)
	if err != nil {
		return caller{}, err
	}
	client, err := g.reach(c, who)
	return caller{Principal: who, client: client.ID, settings: client.Settings}, err
}

// extension lets a handler be called for the client of the extension of the
// path, if the token reaches that far.
func (g guard) extension(handle func(echo.Context, caller) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		who, err := g.principal(c)
		if err != nil {
			return err
		}
		id, err := rowID[scheduler.ExtensionID](c, "extension_id")
		if err != nil {
			return err
		}
		client, err := g.clients.ClientOfExtension(c.Request().Context(), who.Account.ID, id)
		if err == nil && who.Client != nil && who.Client.ID != client.ID {
			err = &problem{code: http.StatusNotFound}
		}
		if err != nil {
			return err
		}
		return act(c, caller{Principal: who, client: client.ID, settings: client.Settings}, handle)
	}
}

// principal finds whom the token of a request acts for.
func (g guard) principal(c echo.Context) (scheduler.Principal, error) {
	scheme, token, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAuthorization), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return scheduler.Principal{}, g.refuse(c, "the request needs a bearer token")
	}
	who, err := g.tokens.Principal(c.Request().Context(), hashOf(token), g.now())
	if scheduler.KindOf(err) == scheduler.NotFound {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="ringback", error="invalid_token"`)
		return who, g.refuse(c, "the bearer token is unknown or has expired")
	}
	if err != nil {
		return who, err
	}
	c.Set(keyUser, who.User.ID)
	return who, g.meter.meterCaller(c, who)
}

// refuse is the error of a request without a good token, which counts for its
// address.
func (g guard) refuse(c echo.Context, message string) error {
	if err := g.meter.meterAddress(c); err != nil {
		return err
	}
	return &problem{code: http.StatusUnauthorized, message: message}
}

// hashOf is what a token is kept as.
func hashOf(token string) []byte {
	h := sha256.Sum256([]byte(token))
	return h[:]
}

var errNoClient = &scheduler.Error{Kind: scheduler.NotFound, Status: "client_not_found", Message: "there is no such client"}

// reach returns the client of the path. A client's token reaches itself, a
// user's the clients of its account and of those below it; "@me" is the
// client itself, or the only one of the user's account.
func (g guard) reach(c echo.Context, who scheduler.Principal) (scheduler.Client, error) {
	given := c.Param("client_id")
	if given == "@me" {
		if who.Client != nil {
			return *who.Client, nil
		}
		return g.only(c, who.Account.ID)
	}
	guid, ok := scheduler.ParseGUID(given)
	id := scheduler.ClientID(guid)
	switch {
	case !ok, who.Client != nil && who.Client.ID != id:
		return scheduler.Client{}, errNoClient
	case who.Client != nil:
		return *who.Client, nil
	}
	client, err := g.clients.ClientOf(c.Request().Context(), who.Account.ID, id)
	if scheduler.KindOf(err) == scheduler.NotFound {
		return scheduler.Client{}, errNoClient
	}
	return client, err
}

// only returns the only client of an account itself.
func (g guard) only(c echo.Context, account scheduler.AccountID) (scheduler.Client, error) {
	own, err := ownClients(c.Request().Context(), g.clients, account)
	if err != nil {
		return scheduler.Client{}, err
	}
	if len(own) != 1 {
		return scheduler.Client{}, &scheduler.Error{Kind: scheduler.NotFound, Status: errNoClient.Status,
			Message: "the account has no client or several: name one instead of @me"}
	}
	return own[0], nil
}

// ownClients returns the clients of an account itself, without those of the
// accounts below it.
func ownClients(ctx context.Context, clients Clients, account scheduler.AccountID) ([]scheduler.Client, error) {
	var own []scheduler.Client
	for page := (scheduler.Page{Number: 1, Size: maxPage}); ; page.Number++ {
		found, err := clients.Clients(ctx, account, page)
		if err != nil {
			return nil, err
		}
		for _, client := range found.Rows {
			if client.AccountID == account {
				own = append(own, client)
			}
		}
		if len(found.Rows) < page.Size {
			return own, nil
		}
	}
}

// isNotFound reports whether err says that there is no such thing.
func isNotFound(err error) bool {
	e, ok := errors.AsType[*scheduler.Error](err)
	return ok && e.Kind == scheduler.NotFound
}
