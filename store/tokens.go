package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// AddTokens stores tokens.
func (s *Store) AddTokens(ctx context.Context, tokens ...scheduler.Token) error {
	return s.write(ctx, func(t *tx) error { return t.db.Create(tokens).Error })
}

// Principal returns whom an access token acts for; NotFound if it is unknown,
// has expired by now or is a refresh token.
func (s *Store) Principal(ctx context.Context, hash []byte, now time.Time) (scheduler.Principal, error) {
	db := s.reads.WithContext(ctx)
	token, err := liveToken(db, hash, false, now)
	if err != nil {
		return scheduler.Principal{}, err
	}
	return principal(db, token)
}

// UseRefreshToken returns a refresh token, which then is good until grace from
// now at most: whoever uses it makes its successor. NotFound if it is unknown,
// has expired by now or is an access token.
func (s *Store) UseRefreshToken(ctx context.Context, hash []byte, now time.Time, grace time.Duration) (scheduler.Token, error) {
	var token scheduler.Token
	err := s.write(ctx, func(t *tx) error {
		var err error
		token, err = liveToken(t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}), hash, true, now)
		if end := now.Add(grace); err == nil && end.Before(token.ExpiresAt) {
			err = t.db.Model(&token).Select("ExpiresAt").Updates(scheduler.Token{ExpiresAt: end}).Error
		}
		return err
	})
	return token, err
}

func liveToken(db *gorm.DB, hash []byte, refresh bool, now time.Time) (scheduler.Token, error) {
	return one[scheduler.Token](db.Where("hash = ? AND refresh = ? AND expires_at > ?", hash, refresh, now.UTC()),
		"there is no such token, or it has expired")
}

func principal(db *gorm.DB, token scheduler.Token) (scheduler.Principal, error) {
	var p scheduler.Principal
	user := token.UserID
	if token.ClientID != nil {
		c, err := one[scheduler.Client](db.Where("id = ?", *token.ClientID), "there is no client %s", *token.ClientID)
		if err != nil {
			return p, err
		}
		p.Client, user = &c, &c.UserID
	}
	var err error
	if p.User, err = one[scheduler.User](db.Where("id = ?", *user), "there is no user %s", *user); err != nil {
		return p, err
	}
	p.Account, err = one[scheduler.Account](db.Where("id = ?", p.User.AccountID), "there is no account %s", p.User.AccountID)
	return p, err
}
