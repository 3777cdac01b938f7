package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// Lives of tokens.
const (
	accessLife   = 8 * time.Hour
	refreshLife  = 30 * 24 * time.Hour
	refreshGrace = time.Minute // of a refresh token that was used
	maxTokenForm = 64 << 10    // bytes
)

// tokens hands out tokens (RFC 6749).
type tokens struct {
	identities Identities
	tokens     Tokens
	vault      *vault
	throttle   *throttle
	now        func() time.Time
}

// oauthError is an error by RFC 6749, section 5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	status      int
	retryAfter  int // seconds
}

func (e *oauthError) Error() string { return e.Description }

func badRequest(description string) error {
	return &oauthError{Code: "invalid_request", Description: description, status: http.StatusBadRequest}
}

// tokenAnswer is RFC 6749, section 5.1. A refresh token comes with client
// credentials, too.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
}

// issue answers the token endpoint.
func (t tokens) issue(c echo.Context) error {
	issued, err := t.grant(c)
	if err != nil {
		return t.refuse(c, err)
	}
	noStore(c)
	return answer(c, http.StatusOK, issued)
}

// noStore keeps an answer out of every cache.
func noStore(c echo.Context) {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	c.Response().Header().Set("Pragma", "no-cache")
}

// refuse answers an error of OAuth's own; others are returned.
func (t tokens) refuse(c echo.Context, err error) error {
	noStore(c)
	e, ok := errors.AsType[*oauthError](err)
	if !ok {
		return err
	}
	h := c.Response().Header()
	if e.status == http.StatusUnauthorized {
		h.Set(echo.HeaderWWWAuthenticate, `Basic realm="ringback"`)
	}
	if e.retryAfter > 0 {
		h.Set(echo.HeaderRetryAfter, strconv.Itoa(e.retryAfter))
	}
	return answer(c, e.status, e)
}

// overLimit is the refusal of one request too many as OAuth tells it.
func overLimit(err error) error {
	return &oauthError{Code: "invalid_request", Description: err.Error(), status: http.StatusTooManyRequests}
}

// grant makes the tokens that a request asks for.
func (t tokens) grant(c echo.Context) (tokenAnswer, error) {
	form, err := tokenForm(c)
	if err != nil {
		return tokenAnswer{}, err
	}
	var granted scheduler.Token
	switch form.Get("grant_type") {
	case "client_credentials":
		granted, err = t.byCredentials(c, form)
	case "password":
		granted, err = t.byPassword(c, form)
	case "refresh_token":
		return t.byRefresh(c, form)
	case "":
		return tokenAnswer{}, badRequest("grant_type is required")
	default:
		return tokenAnswer{}, &oauthError{Code: "unsupported_grant_type", status: http.StatusBadRequest,
			Description: "grant_type must be client_credentials, password or refresh_token"}
	}
	if err != nil {
		return tokenAnswer{}, err
	}
	granted.Address = c.RealIP()
	issued, err := t.hand(c.Request().Context(), granted)
	switch {
	case !isNotFound(err):
		return issued, err
	case granted.ClientID != nil:
		return tokenAnswer{}, wrongClient()
	}
	return tokenAnswer{}, wrongUser()
}

func wrongClient() error {
	return &oauthError{Code: "invalid_client", Description: "the client id or its secret is wrong", status: http.StatusUnauthorized}
}

func wrongUser() error {
	return &oauthError{Code: "invalid_grant", Description: "the user name or the password is wrong", status: http.StatusBadRequest}
}

// tokenForm reads the form of the body, and of the body alone.
func tokenForm(c echo.Context) (url.Values, error) {
	r := c.Request()
	if media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || media != echo.MIMEApplicationForm {
		return nil, badRequest("the body must be " + echo.MIMEApplicationForm)
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxTokenForm))
	if err != nil {
		return nil, badRequest("the body cannot be read, or is too long")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, badRequest("the body is not a form")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, badRequest("a parameter is given twice: " + clip(name))
		}
	}
	return form, nil
}

// byCredentials takes a client's id and secret from the Authorization header
// or the form, never from both.
func (t tokens) byCredentials(c echo.Context, form url.Values) (scheduler.Token, error) {
	id, secrets, err := clientCredentials(c.Request(), form)
	if err != nil {
		return scheduler.Token{}, err
	}
	guid, isGUID := scheduler.ParseGUID(id)
	client := scheduler.ClientID(guid)
	if isGUID {
		id = guid // which comes in any case, and is one identity
	}
	shown, err := t.verify(c, id, secrets, wrongClient(), func(ctx context.Context) ([]string, error) {
		if !isGUID {
			return nil, nil
		}
		found, err := t.identities.ClientByID(ctx, client)
		return found.Hashes(t.now()), err
	})
	return scheduler.Token{ClientID: &client, Shown: shown}, err
}

// clientCredentials returns a client's id and what its secret may be: in the
// header both are form-encoded (RFC 6749, section 2.3.1), which not every
// client does.
func clientCredentials(r *http.Request, form url.Values) (id string, secrets []string, err error) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
		if id == "" || secret == "" {
			return "", nil, badRequest("client_id and client_secret are required")
		}
		return id, []string{secret}, nil
	}
	if form.Get("client_secret") != "" {
		return "", nil, badRequest("the client must authenticate in one way only")
	}
	secrets = []string{secret}
	if decoded, err := url.QueryUnescape(secret); err == nil && decoded != secret {
		secrets = []string{decoded, secret}
	}
	if decoded, err := url.QueryUnescape(id); err == nil {
		id = decoded
	}
	return id, secrets, nil
}

// byPassword takes a user's name and password.
func (t tokens) byPassword(c echo.Context, form url.Values) (scheduler.Token, error) {
	name, password := form.Get("username"), form.Get("password")
	if name == "" || password == "" {
		return scheduler.Token{}, badRequest("username and password are required")
	}
	var user scheduler.User
	shown, err := t.verify(c, name, []string{password}, wrongUser(), func(ctx context.Context) (hashes []string, err error) {
		if !storable(name) {
			return nil, nil
		}
		user, err = t.identities.UserByName(ctx, name)
		return []string{user.PasswordHash}, err
	})
	return scheduler.Token{UserID: &user.ID, Shown: shown}, err
}

// userHash finds the password of a user who is known already.
func userHash(user scheduler.User) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return []string{user.PasswordHash}, nil }
}

// asProblem makes an error of signing in one of the admin API.
func asProblem(c echo.Context, err error) error {
	e, ok := errors.AsType[*oauthError](err)
	if !ok {
		return err
	}
	if e.retryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(e.retryAfter))
	}
	return &problem{code: e.status, message: e.Description}
}

// verify compares secrets with the hashes of an identity, and returns the one that
// fits. An unknown identity takes as long as a wrong secret; failures are slowed,
// then refused unheard.
func (t tokens) verify(c echo.Context, identity string, secrets []string, refused error, find func(context.Context) (hashes []string, err error)) (string, error) {
	ctx, address := c.Request().Context(), networkOf(c.RealIP())
	if err := t.heard(identity, address); err != nil {
		return "", err
	}
	if err := t.vault.enter(ctx); err != nil {
		return "", err
	}
	ok, hash, slow := false, "", time.Duration(0)
	err := t.heard(identity, address) // others may have failed meanwhile
	var hashes []string
	if err == nil {
		if hashes, err = find(ctx); isNotFound(err) {
			err = nil
		}
	}
	if len(hashes) == 0 {
		hashes = []string{""}
	}
	for i := 0; i < len(secrets)*len(hashes) && err == nil && !ok; i++ {
		hash = hashes[i%len(hashes)]
		ok = t.vault.check(secrets[i/len(hashes)], hash)
	}
	if err == nil && !ok {
		slow = t.throttle.failed(identity, address)
	}
	t.vault.leave()
	switch {
	case err != nil:
		return "", err
	case !ok:
		pause(ctx, slow)
		return "", refused
	}
	t.throttle.passed(identity, address)
	return hash, nil
}

// heard refuses a pair of identity and address that has failed too often.
func (t tokens) heard(identity, address string) error {
	if wait := t.throttle.wait(identity, address); wait > 0 {
		return &oauthError{Code: "invalid_request", Description: "too many failures: sign-in is refused for a while",
			status: http.StatusTooManyRequests, retryAfter: int(math.Ceil(wait.Seconds()))}
	}
	return nil
}

// byRefresh takes a refresh token, which is used up by it.
func (t tokens) byRefresh(c echo.Context, form url.Values) (issued tokenAnswer, err error) {
	given := form.Get("refresh_token")
	if given == "" {
		return issued, badRequest("refresh_token is required")
	}
	now := t.now()
	err = t.tokens.UseRefreshToken(c.Request().Context(), hashOf(given), now, refreshGrace, func(used scheduler.Token) (pair []scheduler.Token) {
		used.Address = c.RealIP()
		issued, pair = pairOfTokens(used, now)
		return pair
	})
	if isNotFound(err) {
		err = &oauthError{Code: "invalid_grant", Description: "the refresh token is unknown, used, revoked or has expired", status: http.StatusBadRequest}
	}
	return issued, err
}

// hand makes a pair of tokens for whom granted acts for, who signed in.
func (t tokens) hand(ctx context.Context, granted scheduler.Token) (tokenAnswer, error) {
	now := t.now()
	granted.SignIn = scheduler.NewGUID(now)
	issued, pair := pairOfTokens(granted, now)
	return issued, t.tokens.AddTokens(ctx, pair...)
}

// pairOfTokens makes an access token and a refresh token that act as granted does.
func pairOfTokens(granted scheduler.Token, now time.Time) (tokenAnswer, []scheduler.Token) {
	issued := tokenAnswer{
		AccessToken: randomToken(), TokenType: "Bearer", ExpiresIn: int(accessLife / time.Second), RefreshToken: randomToken(),
	}
	access := scheduler.Token{
		Hash: hashOf(issued.AccessToken), ClientID: granted.ClientID, UserID: granted.UserID, SignIn: granted.SignIn, Address: granted.Address, Shown: granted.Shown,
		ExpiresAt: now.Add(accessLife), CreatedAt: now,
	}
	refresh := access
	refresh.Hash, refresh.Refresh, refresh.ExpiresAt = hashOf(issued.RefreshToken), true, now.Add(refreshLife)
	return issued, []scheduler.Token{access, refresh}
}

// revoke forgets a token and all that came of the same sign-in (RFC 7009). Who
// has a token may end it; a client that says who it is must be whom it acts for.
func (t tokens) revoke(c echo.Context) error {
	form, err := tokenForm(c)
	if err == nil && form.Get("token") == "" {
		err = badRequest("token is required")
	}
	var by *scheduler.ClientID
	if _, _, basic := c.Request().BasicAuth(); err == nil && (basic || form.Get("client_secret") != "") {
		var named scheduler.Token
		named, err = t.byCredentials(c, form)
		by = named.ClientID
	}
	if err == nil {
		err = t.tokens.RevokeToken(c.Request().Context(), hashOf(form.Get("token")), by)
		if scheduler.KindOf(err) == scheduler.Forbidden {
			err = &oauthError{Code: "invalid_grant", Description: "the token acts for another client", status: http.StatusBadRequest}
		}
	}
	if err != nil {
		return t.refuse(c, err)
	}
	noStore(c)
	return c.NoContent(http.StatusOK)
}

// randomToken returns 32 random bytes in base64url.
func randomToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b)
}
