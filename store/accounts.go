package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

const withinReach = "id IN " + reach

func noAccount(id scheduler.AccountID) error {
	return &scheduler.Error{Kind: scheduler.NotFound, Status: "account_not_found", Message: "there is no account " + string(id)}
}

// AccountOf returns an account that is account itself or below it, with its
// user.
func (s *Store) AccountOf(ctx context.Context, account, id scheduler.AccountID) (scheduler.Holder, error) {
	return holder(s.reads.WithContext(ctx), account, id)
}

func holder(db *gorm.DB, account, id scheduler.AccountID, locks ...clause.Expression) (scheduler.Holder, error) {
	found, err := one[scheduler.Account](db.Clauses(locks...).Where("id = ?", id).Where(withinReach, account), "")
	if scheduler.KindOf(err) == scheduler.NotFound {
		return scheduler.Holder{}, noAccount(id)
	}
	if err != nil {
		return scheduler.Holder{}, err
	}
	all, err := holders(db, []scheduler.Account{found})
	if err != nil {
		return scheduler.Holder{}, err
	}
	return all[0], nil
}

// holders finds the first user of each account.
func holders(db *gorm.DB, accounts []scheduler.Account) ([]scheduler.Holder, error) {
	ids := make([]scheduler.AccountID, len(accounts))
	for i, a := range accounts {
		ids[i] = a.ID
	}
	var users []scheduler.User
	if err := db.Where("account_id IN ?", ids).Order("id").Find(&users).Error; err != nil {
		return nil, err
	}
	all := make([]scheduler.Holder, len(accounts))
	for i, a := range accounts {
		all[i].Account = a
		if n := slices.IndexFunc(users, func(u scheduler.User) bool { return u.AccountID == a.ID }); n >= 0 {
			all[i].User = users[n]
		}
	}
	return all, nil
}

// AccountsBelow returns the accounts below one that is account itself or below
// it, at any depth, by id.
func (s *Store) AccountsBelow(ctx context.Context, account, id scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.Holder], error) {
	p.After = 0
	db := s.reads.WithContext(ctx)
	if _, err := holder(db, account, id); err != nil {
		return scheduler.List[scheduler.Holder]{}, err
	}
	found, err := list[scheduler.Account](db.Model(&scheduler.Account{}).Where(withinReach, id).Where("id <> ?", id), p)
	if err != nil || len(found.Rows) == 0 {
		return scheduler.List[scheduler.Holder]{Total: found.Total}, err
	}
	rows, err := holders(db, found.Rows)
	return scheduler.List[scheduler.Holder]{Rows: rows, Total: found.Total}, err
}

// AddAccount stores an account with its user, below a parent that is account
// itself or below it, and enabled. A name that another user has is a fault of
// Username.
func (s *Store) AddAccount(ctx context.Context, account scheduler.AccountID, h scheduler.Holder) error {
	return s.write(ctx, func(t *tx) error {
		parent, err := holder(t.db, account, *h.Account.ParentID, clause.Locking{Strength: "SHARE"})
		if err != nil {
			return err
		}
		if !parent.Account.DisabledAt.IsZero() {
			return scheduler.Errorf(scheduler.Conflict, "the account is disabled")
		}
		if err := t.db.Create(&h.Account).Error; err != nil {
			return err
		}
		t.saw(nil, h.Account)
		if err := t.mayBeCalled(h.User); err != nil {
			return err
		}
		return unlessTaken(t.db.Create(&h.User).Error)
	})
}

var errUsername = scheduler.Faults{{Field: "Username", Message: "is taken by another user"}}.Err()

// mayBeCalled refuses the name of another user.
func (t *tx) mayBeCalled(u scheduler.User) error {
	other, err := one[scheduler.User](t.db.Where("username = ?", u.Username), "")
	switch {
	case scheduler.KindOf(err) == scheduler.NotFound:
		return nil
	case err == nil && other.ID != u.ID:
		return errUsername
	}
	return err
}

// unlessTaken says of a user that the database refuses that its name was taken
// meanwhile.
func unlessTaken(err error) error {
	if err != nil && refusesRow(err) {
		return errUsername
	}
	return err
}

// UpdateAccount lets change alter an account that is account itself or below
// it, with its user, under its lock. When it is disabled, or has another
// password, the tokens of its user die; when it is disabled, so are those below
// it, the tokens of all their clients die and their queues stop. Those that were
// disabled with it are enabled with it.
func (s *Store) UpdateAccount(ctx context.Context, account, id scheduler.AccountID, change func(*scheduler.Holder) error) (scheduler.Holder, error) {
	var changed scheduler.Holder
	stops, moves := false, false
	err := s.write(ctx, func(t *tx) error {
		stored, err := holder(t.db, account, id, clause.Locking{Strength: "NO KEY UPDATE"})
		if err != nil {
			return err
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		was, is := stored.Account.DisabledAt, changed.Account.DisabledAt
		stops = was.IsZero() && !is.IsZero()
		moves = stored.Account.TimeZone != changed.Account.TimeZone
		if err := t.changeUser(stored.User, changed.User); err != nil {
			return err
		}
		if err := t.able(stored.Account, is); err != nil {
			return err
		}
		t.saw(told(stored), told(changed))
		return t.db.Model(&stored.Account).
			Select("CompanyName", "Address", "Email", "Firstname", "Lastname", "LanguageID", "MobilePhone", "WebSite", "TimeZone").
			Updates(changed.Account).Error
	})
	if err == nil && stops {
		err = s.stopDisabled(context.WithoutCancel(ctx))
	}
	if err == nil && moves {
		err = s.moveToZone(context.WithoutCancel(ctx), changed.Account)
	}
	return changed, err
}

// told is an account as the audit tells it.
func told(h scheduler.Holder) any {
	return struct {
		scheduler.Account
		Username string
	}{h.Account, h.User.Username}
}

// changeUser writes the name and the password of a user. A new password ends
// its sessions.
func (t *tx) changeUser(from, to scheduler.User) error {
	if to.Username != from.Username {
		if err := t.mayBeCalled(to); err != nil {
			return err
		}
	}
	// The row first: whoever signs in has it, or sees what is new in it.
	if err := unlessTaken(t.db.Model(&scheduler.User{ID: from.ID}).Select("Username", "PasswordHash").Updates(to).Error); err != nil {
		return err
	}
	if to.PasswordHash == from.PasswordHash {
		return nil
	}
	return t.endSessions(t.db.Where("user_id = ?", from.ID))
}

// able disables an account at a moment, with those below it, or enables it.
func (t *tx) able(a scheduler.Account, at time.Time) error {
	below := func() *gorm.DB { return t.db.Model(&scheduler.Account{}).Where(withinReach, a.ID) }
	switch {
	case a.DisabledAt.IsZero() == at.IsZero():
		return nil
	case at.IsZero():
		if a.ParentID != nil {
			parent, err := one[scheduler.Account](t.db.Where("id = ?", *a.ParentID), "")
			if err == nil && !parent.DisabledAt.IsZero() {
				err = scheduler.Errorf(scheduler.Conflict, "the account above it is disabled")
			}
			if err != nil {
				return err
			}
		}
		return below().Where("disabled_at = ?", a.DisabledAt.UTC()).Select("DisabledAt").Updates(scheduler.Account{}).Error
	case a.ParentID == nil:
		return scheduler.Errorf(scheduler.Conflict, "the master account cannot be disabled")
	}
	// Whoever signs in or switches a queue on waits for this, and then sees it.
	var names []scheduler.UserID
	err := t.db.Model(&scheduler.User{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where(within, a.ID).Order("id").Pluck("id", &names).Error
	if err != nil {
		return err
	}
	var clients []scheduler.ClientID
	err = t.db.Model(&scheduler.Client{}).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where(within, a.ID).Order("id").Pluck("id", &clients).Error
	if err != nil {
		return err
	}
	if err := below().Where("disabled_at IS NULL").Select("DisabledAt").Updates(scheduler.Account{DisabledAt: at}).Error; err != nil {
		return err
	}
	users := t.db.Model(&scheduler.User{}).Where(within, a.ID).Select("id")
	consumers := t.db.Model(&scheduler.Client{}).Where(within, a.ID).Select("id")
	return t.endSessions(t.db.Where("user_id IN (?) OR client_id IN (?)", users, consumers))
}

// endSessions deletes the tokens that q selects, until there are none: whoever
// refreshes right now adds tokens that the statement that waits for them does not
// see.
func (t *tx) endSessions(q *gorm.DB) error {
	q = q.Session(&gorm.Session{})
	for {
		if done := q.Delete(&scheduler.Token{}); done.Error != nil || done.RowsAffected == 0 {
			return done.Error
		}
	}
}

// SetPassword gives a user another password, and ends its sessions but one. Of
// two that show the same current one the second is refused: with its row locked
// the user has the password that was shown, or none was asked for.
func (s *Store) SetPassword(ctx context.Context, user scheduler.UserID, shown, hash string, but string) error {
	return s.write(ctx, func(t *tx) error {
		is, err := one[scheduler.User](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id = ?", user), "there is no user %s", user)
		if err != nil {
			return err
		}
		if shown != "" && is.PasswordHash != shown {
			return scheduler.ErrWrongPassword
		}
		if err := t.db.Model(&scheduler.User{ID: user}).Select("PasswordHash").Updates(scheduler.User{PasswordHash: hash}).Error; err != nil {
			return err
		}
		return t.endSessions(t.db.Where("user_id = ?", user).Where("sign_in <> ?", but))
	})
}

// ofAccount selects the tokens of the users and clients of an account.
func ofAccount(db *gorm.DB, id scheduler.AccountID) *gorm.DB {
	users := db.Model(&scheduler.User{}).Where("account_id = ?", id).Select("id")
	clients := db.Model(&scheduler.Client{}).Where("account_id = ?", id).Select("id")
	return db.Model(&scheduler.Token{}).Where("user_id IN (?) OR client_id IN (?)", users, clients)
}

// Sessions returns the live sessions of an account itself, by when tokens were
// handed out last.
func (s *Store) Sessions(ctx context.Context, id scheduler.AccountID, now time.Time, p scheduler.Page) (scheduler.List[scheduler.Session], error) {
	db := s.reads.WithContext(ctx)
	live := ofAccount(db, id).Where("expires_at > ?", now.UTC()).Session(&gorm.Session{})
	var ids []string
	err := live.Select("sign_in").Group("sign_in").Order(direction("MAX(created_at)", p)+", sign_in").Limit(p.Size).Offset(p.Offset()).Pluck("sign_in", &ids).Error
	if err != nil {
		return scheduler.List[scheduler.Session]{}, err
	}
	var total int64
	some := live.Select("sign_in").Group("sign_in").Limit(scheduler.CountLimit + 1)
	if err := db.Table("(?) AS counted", some).Count(&total).Error; err != nil {
		return scheduler.List[scheduler.Session]{}, err
	}
	var tokens []scheduler.Token
	if err := live.Where("sign_in IN ?", ids).Order("created_at").Find(&tokens).Error; err != nil {
		return scheduler.List[scheduler.Session]{}, err
	}
	found := scheduler.List[scheduler.Session]{Rows: make([]scheduler.Session, len(ids)), Total: int(total)}
	for _, token := range tokens {
		s := &found.Rows[slices.Index(ids, token.SignIn)]
		ends := token.ExpiresAt
		if s.ExpiresAt.After(ends) {
			ends = s.ExpiresAt
		}
		*s = scheduler.Session{
			ID: token.SignIn, UserID: token.UserID, ClientID: token.ClientID, Address: token.Address,
			LatestAt: token.CreatedAt, ExpiresAt: ends,
		}
	}
	return found, nil
}

// EndSession ends a session of an account itself; NotFound if there is no such
// one.
func (s *Store) EndSession(ctx context.Context, id scheduler.AccountID, signIn string) error {
	return s.write(ctx, func(t *tx) error {
		q := ofAccount(t.db, id).Where("sign_in = ?", signIn).Session(&gorm.Session{})
		if _, err := one[scheduler.Token](q, "there is no session %s", signIn); err != nil {
			return err
		}
		return t.endSessions(q)
	})
}

// EndSessions ends the sessions of an account itself but one.
func (s *Store) EndSessions(ctx context.Context, id scheduler.AccountID, but string) error {
	return s.write(ctx, func(t *tx) error {
		return t.endSessions(ofAccount(t.db, id).Where("sign_in <> ?", but))
	})
}
