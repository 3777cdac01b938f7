package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// AddTokens stores tokens: NotFound if what was shown for one is no longer good.
func (s *Store) AddTokens(ctx context.Context, tokens ...scheduler.Token) error {
	return s.write(ctx, func(t *tx) error {
		for i, token := range tokens {
			if token.Shown == "" || i > 0 && token.Shown == tokens[i-1].Shown {
				continue
			}
			if err := t.stillGood(token); err != nil {
				return err
			}
		}
		return t.db.Create(tokens).Error
	})
}

// stillGood makes sure that what was shown for a token is good until the
// transaction ends. Whoever changes or disables the user or the client has its
// row, waits for this, and ends its sessions then.
func (t *tx) stillGood(token scheduler.Token) error {
	var good bool
	share := t.db.Clauses(clause.Locking{Strength: "SHARE"})
	var account scheduler.AccountID
	if token.ClientID != nil {
		c, err := one[scheduler.Client](share.Where("id = ?", *token.ClientID), "there is no client %s", *token.ClientID)
		if err != nil {
			return err
		}
		account, good = c.AccountID, c.DisabledAt.IsZero() && slices.Contains(c.Hashes(token.CreatedAt), token.Shown)
	} else {
		u, err := one[scheduler.User](share.Where("id = ?", *token.UserID), "there is no user %s", *token.UserID)
		if err != nil {
			return err
		}
		account, good = u.AccountID, u.PasswordHash == token.Shown
	}
	a, err := one[scheduler.Account](t.db.Where("id = ?", account), "there is no account %s", account)
	if err == nil && (!good || !a.DisabledAt.IsZero()) {
		err = scheduler.Errorf(scheduler.NotFound, "what was shown is no longer good")
	}
	return err
}

// Principal returns whom an access token acts for; NotFound if it is unknown,
// has expired by now or is a refresh token.
func (s *Store) Principal(ctx context.Context, hash []byte, now time.Time) (scheduler.Principal, error) {
	p, err := principal(s.reads.WithContext(ctx), hash, now)
	if err == nil && (!p.Account.DisabledAt.IsZero() || p.Client != nil && !p.Client.DisabledAt.IsZero()) {
		return scheduler.Principal{}, scheduler.Errorf(scheduler.NotFound, "the token is one of an account or a client that is disabled")
	}
	return p, err
}

// UseRefreshToken stores what follows a refresh token, which then is good until
// grace from now at most. NotFound if it is unknown, has expired by now, was
// revoked or is an access token.
func (s *Store) UseRefreshToken(ctx context.Context, hash []byte, now time.Time, grace time.Duration, follow func(scheduler.Token) []scheduler.Token) error {
	return s.write(ctx, func(t *tx) error {
		token, err := liveToken(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), hash, true, now)
		if err != nil {
			return err
		}
		if end := now.Add(grace); end.Before(token.ExpiresAt) {
			if err := t.db.Model(&token).Select("ExpiresAt").Updates(scheduler.Token{ExpiresAt: end}).Error; err != nil {
				return err
			}
		}
		return t.db.Create(follow(token)).Error
	})
}

// RevokeToken forgets a token and all that came of the same sign-in. An unknown
// one is fine; one that acts for another than by, if by is given, is Forbidden.
func (s *Store) RevokeToken(ctx context.Context, hash []byte, by *scheduler.ClientID) error {
	return s.write(ctx, func(t *tx) error {
		token, err := one[scheduler.Token](t.db.Where("hash = ?", hash), "there is no such token")
		switch {
		case scheduler.KindOf(err) == scheduler.NotFound:
			return nil
		case err != nil:
			return err
		case by != nil && (token.ClientID == nil || *token.ClientID != *by):
			return scheduler.Errorf(scheduler.Forbidden, "the token is another client's")
		}
		return t.endSessions(t.db.Where("sign_in = ?", token.SignIn))
	})
}

func liveToken(db *gorm.DB, hash []byte, refresh bool, now time.Time) (scheduler.Token, error) {
	return one[scheduler.Token](db.Where("hash = ? AND refresh = ? AND expires_at > ?", hash, refresh, now.UTC()),
		"there is no such token, or it has expired")
}

// principal reads whom an access token acts for: all of it at once, as every
// request waits for it.
func principal(db *gorm.DB, hash []byte, now time.Time) (scheduler.Principal, error) {
	type found struct {
		SignIn   string
		ClientID *scheduler.ClientID
		Client   scheduler.Client  `gorm:"embedded;embeddedPrefix:c_"`
		User     scheduler.User    `gorm:"embedded;embeddedPrefix:u_"`
		Account  scheduler.Account `gorm:"embedded;embeddedPrefix:a_"`
	}
	row, err := one[found](db.Table("tokens t").
		Select("t.sign_in, t.client_id, "+beside[scheduler.Client](db, "c", "c_")+", "+beside[scheduler.User](db, "u", "u_")+", "+beside[scheduler.Account](db, "a", "a_")).
		Joins("LEFT JOIN clients c ON c.id = t.client_id JOIN users u ON u.id = coalesce(c.user_id, t.user_id) JOIN accounts a ON a.id = u.account_id").
		Where("t.hash = ? AND t.refresh = ? AND t.expires_at > ?", hash, false, now.UTC()),
		"there is no such token, or it has expired")
	p := scheduler.Principal{User: row.User, Account: row.Account, SignIn: row.SignIn}
	if row.ClientID != nil {
		p.Client = &row.Client
	}
	return p, err
}
