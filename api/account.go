package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"ringback/scheduler"
)

// accounts answers …/accounts of the admin API. Any token reaches the account
// that it acts for and the accounts below it; what is inside of these a client's
// token does not, nor does it change them, or make another below them.
type accounts struct {
	accounts Accounts
	sessions Sessions
	tokens   tokens // checks the password of who changes it
	now      func() time.Time
}

// accountMade is the answer to a request that makes an account.
type accountMade struct{ ID scheduler.AccountID }

func (accountMade) xmlName() string { return "AccountResponse" }

// accountAnswer is an account as the admin API tells it.
type accountAnswer struct {
	ID                   scheduler.AccountID
	ParentID             *scheduler.AccountID
	UserID               scheduler.UserID
	Username             string
	Enabled              bool
	Address              string
	CompanyName          string
	Email                string
	Firstname            string
	LanguageID           *string
	Lastname             string
	MobilePhone          string
	TimeZone             string
	TimeZoneInJavaFormat string
	WebSite              string
	DateCreated          string
}

func (accountAnswer) xmlName() string { return "AccountResponse" }

func tellAccount(h scheduler.Holder) accountAnswer {
	a := h.Account
	told := accountAnswer{
		ID: a.ID, ParentID: a.ParentID, UserID: h.User.ID, Username: h.User.Username, Enabled: a.DisabledAt.IsZero(),
		Address: a.Address, CompanyName: a.CompanyName, Email: a.Email, Firstname: a.Firstname, Lastname: a.Lastname,
		MobilePhone: a.MobilePhone, TimeZone: a.TimeZone, TimeZoneInJavaFormat: a.TimeZone, WebSite: a.WebSite,
		DateCreated: isoDate(a.CreatedAt),
	}
	if a.LanguageID != "" {
		told.LanguageID = &a.LanguageID
	}
	return told
}

// own tells the caller's own account.
func (s accounts) own(c echo.Context, me caller) error {
	return succeed(c, me, tellAccount(scheduler.Holder{Account: me.Account, User: me.User}))
}

// of finds the account of the path.
func (s accounts) of(c echo.Context, me caller) (scheduler.Holder, error) {
	guid, ok := scheduler.ParseGUID(c.Param("id"))
	if !ok {
		return scheduler.Holder{}, &scheduler.Error{Kind: scheduler.NotFound, Status: "account_not_found", Message: "there is no such account"}
	}
	return s.accounts.AccountOf(c.Request().Context(), me.Account.ID, scheduler.AccountID(guid))
}

// inside finds the account of the path for who may look into it and change it.
func (s accounts) inside(c echo.Context, me caller) (scheduler.Holder, error) {
	h, err := s.of(c, me)
	if err == nil && me.byClient() && h.Account.ID != me.Account.ID {
		err = scheduler.Errorf(scheduler.Forbidden, "what is inside of another account, or changes it, needs a user's token")
	}
	return h, err
}

func (s accounts) get(c echo.Context, me caller) error {
	h, err := s.of(c, me)
	if err != nil {
		return err
	}
	return succeed(c, me, tellAccount(h))
}

// below lists the accounts below the one of the path.
func (s accounts) below(c echo.Context, me caller) error {
	h, err := s.of(c, me)
	if err != nil {
		return err
	}
	q := newQuery(c)
	page := q.page(false)
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.accounts.AccountsBelow(c.Request().Context(), me.Account.ID, h.Account.ID, page)
	if err != nil {
		return err
	}
	return succeedList(c, me, found, tellAccount)
}

// add makes an account below the one of the path.
func (s accounts) add(c echo.Context, me caller) error {
	parent, err := s.inside(c, me)
	if err != nil {
		return err
	}
	r, err := readAccount(c, me, newAccountShape, "", s.now())
	if err != nil {
		return err
	}
	ctx, now := c.Request().Context(), s.now()
	h := scheduler.Holder{
		Account: scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(now)), ParentID: &parent.Account.ID, TimeZone: "UTC", CreatedAt: now},
		User:    scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), CreatedAt: now},
	}
	h.User.AccountID = h.Account.ID
	if h.User.PasswordHash, err = s.tokens.vault.hash(ctx, r.password); err != nil {
		return err
	}
	r.apply(&h)
	if once := scheduler.OnceOf(ctx); once != nil {
		once.Answer = string(h.Account.ID)
	}
	if err := s.accounts.AddAccount(ctx, me.Account.ID, h); err != nil {
		return err
	}
	return succeed(c, me, accountMade{h.Account.ID})
}

// added answers an account that was made before.
func (s accounts) added(c echo.Context, me caller, kept scheduler.Once) error {
	return succeed(c, me, accountMade{scheduler.AccountID(kept.Answer)})
}

// change changes what the request names of the account of the path.
func (s accounts) change(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	r, err := readAccount(c, me, accountShape, h.Account.TimeZone, s.now())
	if err != nil {
		return err
	}
	ctx, hash := c.Request().Context(), ""
	if r.password != "" {
		if h.Account.ID == me.Account.ID {
			return scheduler.Faults{{Field: "Password", Message: "of one's own account is changed with the current one, by PUT accounts/{id}/password"}}.Err()
		}
		if hash, err = s.tokens.vault.hash(ctx, r.password); err != nil {
			return err
		}
	}
	changed, err := s.accounts.UpdateAccount(ctx, me.Account.ID, h.Account.ID, func(to *scheduler.Holder) error {
		r.apply(to)
		if hash != "" {
			to.User.PasswordHash = hash
		}
		if r.enabled != nil {
			to.Account.DisabledAt = s.switched(to.Account.DisabledAt, *r.enabled)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return succeed(c, me, tellAccount(changed))
}

// switched is when what was disabled at a moment, or not at all, is disabled.
func (s accounts) switched(disabled time.Time, on bool) time.Time {
	switch {
	case on:
		return time.Time{}
	case disabled.IsZero():
		return s.now().UTC().Truncate(time.Microsecond)
	}
	return disabled
}

// disable disables the account of the path, and all below it.
func (s accounts) disable(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	_, err = s.accounts.UpdateAccount(c.Request().Context(), me.Account.ID, h.Account.ID, func(to *scheduler.Holder) error {
		to.Account.DisabledAt = s.switched(to.Account.DisabledAt, false)
		return nil
	})
	if err != nil {
		return err
	}
	return succeed(c, me, nil)
}

// succeedList answers a page of a list, each row as tell tells it.
func succeedList[T, W any](c echo.Context, me caller, found scheduler.List[T], tell func(T) W) error {
	told := make([]W, len(found.Rows))
	for i, row := range found.Rows {
		told[i] = tell(row)
	}
	total(c, found.Total)
	links(c, len(told), found.Total, "")
	return succeed(c, me, told)
}

// passwordRequest is another password for a user.
type passwordRequest struct{ current, next string }

var passwordShape = newShape(
	member[passwordRequest]{"CurrentPassword", "CurrentPassword", func(d *decoder, r *passwordRequest) { d.text(&r.current) }},
	member[passwordRequest]{"Password", "Password", func(d *decoder, r *passwordRequest) { d.text(&r.next) }},
).require("Password")

// setPassword changes the password of the account of the path: its own user
// shows the current one.
func (s accounts) setPassword(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	d, err := ask(c, me, "PasswordRequest")
	if err != nil {
		return err
	}
	var r passwordRequest
	passwordShape.read(d, &r)
	user, own := h.User, h.Account.ID == me.Account.ID
	if own {
		user = me.User
		if r.current == "" && !d.faulty("CurrentPassword") {
			d.faults.Add("CurrentPassword", "is required")
		}
	}
	if !d.faulty("Password") {
		checkPassword(&d.faults, r.next, user.Username, h.Account.Email, h.Account.CompanyName)
	}
	if err := d.err(); err != nil {
		return err
	}
	shown := ""
	if own {
		if shown, err = s.prove(c, user, r.current); err != nil {
			return err
		}
	}
	ctx := c.Request().Context()
	hash, err := s.tokens.vault.hash(ctx, r.next)
	if err != nil {
		return err
	}
	if err := s.sessions.SetPassword(ctx, user.ID, shown, hash, me.SignIn); err != nil {
		return err
	}
	return succeed(c, me, nil)
}

// prove makes sure that a password is the user's, and returns the hash that it
// fits. Wrong ones are throttled as those of signing in are, and with them.
func (s accounts) prove(c echo.Context, user scheduler.User, password string) (shown string, err error) {
	shown, err = s.tokens.verify(c, user.Username, []string{password}, scheduler.ErrWrongPassword, userHash(user))
	return shown, asProblem(c, err)
}

// sessionAnswer is a session as the admin API tells it.
type sessionAnswer struct {
	ID            string
	UserID        *scheduler.UserID   // who signed in,
	ClientID      *scheduler.ClientID // or which client
	Address       string
	DateBegan     string
	LastRefreshed string
	ExpiresOn     string
	Current       bool // the one that asks
}

func (sessionAnswer) xmlName() string { return "SessionResponse" }

// listSessions lists the sessions of the account of the path.
func (s accounts) listSessions(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	q := newQuery(c)
	page := q.page(true)
	if err := q.err(); err != nil {
		return err
	}
	found, err := s.sessions.Sessions(c.Request().Context(), h.Account.ID, s.now(), page)
	if err != nil {
		return err
	}
	return succeedList(c, me, found, func(row scheduler.Session) sessionAnswer {
		return sessionAnswer{
			ID: row.ID, UserID: row.UserID, ClientID: row.ClientID, Address: row.Address, DateBegan: isoDate(row.BeganAt()),
			LastRefreshed: isoDate(row.LatestAt), ExpiresOn: isoDate(row.ExpiresAt), Current: row.ID == me.SignIn,
		}
	})
}

// endSession ends a session of the account of the path.
func (s accounts) endSession(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	guid, ok := scheduler.ParseGUID(c.Param("session_id"))
	if !ok {
		return &problem{code: http.StatusNotFound}
	}
	if err := s.sessions.EndSession(c.Request().Context(), h.Account.ID, guid); err != nil {
		return err
	}
	return succeed(c, me, nil)
}

// endSessions ends the sessions of the account of the path but the one that
// asks.
func (s accounts) endSessions(c echo.Context, me caller) error {
	h, err := s.inside(c, me)
	if err != nil {
		return err
	}
	if err := s.sessions.EndSessions(c.Request().Context(), h.Account.ID, me.SignIn); err != nil {
		return err
	}
	return succeed(c, me, nil)
}
