package store

import (
	"context"
	"crypto/rand"
	"time"

	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

const anyMail = `SELECT EXISTS (SELECT 1 FROM mails WHERE state = 'ready' AND next_at <= $1 AND (lease_until IS NULL OR lease_until <= $1))`

// ClaimMails leases e-mails that are due until a time, at most limit.
func (s *Store) ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]scheduler.Mail, error) {
	now = now.UTC()
	var any bool
	if err := s.reads.WithContext(ctx).Raw(anyMail, now).Scan(&any).Error; err != nil || !any {
		return nil, err
	}
	var due []scheduler.Mail
	err := s.write(ctx, func(t *tx) error {
		due = nil
		err := t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE", Options: clause.LockingOptionsSkipLocked}).
			Where("state = ? AND next_at <= ? AND (lease_until IS NULL OR lease_until <= ?)", scheduler.MailReady, now, now).
			Order("next_at, id").Limit(limit).Find(&due).Error
		if err != nil {
			return err
		}
		token := rand.Text()
		for i := range due {
			due[i].LeaseToken, due[i].LeaseUntil = token, until
			if err := t.db.Model(&due[i]).Select("LeaseToken", "LeaseUntil").Updates(&due[i]).Error; err != nil {
				return err
			}
		}
		return nil
	})
	return due, err
}

// SettleMail writes what became of a claimed e-mail. One that was sent keeps
// neither its bodies nor its attachment. What another has claimed meanwhile is left
// alone.
func (s *Store) SettleMail(ctx context.Context, m scheduler.Mail) error {
	token := m.LeaseToken
	m.LeaseToken, m.LeaseUntil = "", time.Time{}
	if m.State == scheduler.MailSent {
		m.TextBody, m.HTMLBody, m.Attachment = "", "", nil
	}
	return s.write(ctx, func(t *tx) error {
		return t.db.Model(&m).Where("lease_token = ?", token).Select("*").Omit("ID", "AccountID", "CreatedAt").Updates(&m).Error
	})
}
