package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"gorm.io/gorm/clause"

	"ringback/scheduler"
	"ringback/webhooks"
)

// sealedSecret is the row of a secret: AES-256-GCM, the nonce first, the
// client's id as associated data.
type sealedSecret struct {
	ID        int64 `gorm:"primaryKey"`
	ClientID  scheduler.ClientID
	KeyID     string // of the key that seals it
	Sealed    []byte
	CreatedAt time.Time `gorm:"serializer:instant;autoCreateTime:false"`
	ExpiresAt time.Time `gorm:"serializer:instant"` // zero: the current one
}

// TableName names the table for gorm.
func (sealedSecret) TableName() string { return "webhook_secrets" }

// Secrets returns the live secrets of a client, newest first.
func (s *Store) Secrets(ctx context.Context, client scheduler.ClientID) ([]webhooks.Secret, error) {
	var rows []sealedSecret
	err := s.reads.WithContext(ctx).Where("client_id = ? AND (expires_at IS NULL OR expires_at > ?)", client, s.now().UTC()).
		Order("id DESC").Find(&rows).Error
	if missing(err) || err == nil && len(rows) == 0 {
		return nil, scheduler.Errorf(scheduler.NotFound, "there is no client %s", client)
	}
	if err != nil {
		return nil, err
	}
	secrets := make([]webhooks.Secret, len(rows))
	for i, row := range rows {
		if secrets[i], err = s.unseal(row); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

// AddSecret makes a secret the client's current one. The former ones stay live
// for webhooks.Overlap from now, at most webhooks.MaxSecrets in all: beyond that
// the oldest ends now, so that a leaked secret can always be replaced.
func (s *Store) AddSecret(ctx context.Context, client scheduler.ClientID, secret webhooks.Secret, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		// One rotation of a client at a time.
		_, err := one[scheduler.Client](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id = ?", client),
			"there is no client %s", client)
		if err != nil {
			return err
		}
		var rows []sealedSecret
		if err := t.db.Where("client_id = ?", client).Order("id DESC").Find(&rows).Error; err != nil {
			return err
		}
		live := 1 // the new one
		for _, row := range rows {
			if !row.ExpiresAt.IsZero() && !row.ExpiresAt.After(now) || live == webhooks.MaxSecrets {
				err = t.db.Delete(&row).Error
			} else {
				live++
				err = t.retire(row, now.Add(webhooks.Overlap))
			}
			if err != nil {
				return err
			}
		}
		return t.insertSecret(client, secret)
	})
}

// retire gives the secret an end, unless it has an earlier one.
func (t *tx) retire(row sealedSecret, at time.Time) error {
	if !row.ExpiresAt.IsZero() && row.ExpiresAt.Before(at) {
		return nil
	}
	row.ExpiresAt = at
	return t.db.Model(&row).Select("ExpiresAt").Updates(row).Error
}

func (t *tx) insertSecret(client scheduler.ClientID, secret webhooks.Secret) error {
	return t.db.Create(&sealedSecret{
		ClientID: client, KeyID: t.sealID, Sealed: t.sealed(client, secret), CreatedAt: secret.CreatedAt, ExpiresAt: secret.ExpiresAt,
	}).Error
}

func (s *Store) sealed(client scheduler.ClientID, secret webhooks.Secret) []byte {
	nonce := make([]byte, s.seal.NonceSize(), s.seal.NonceSize()+len(secret.Key)+s.seal.Overhead())
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return s.seal.Seal(nonce, nonce, secret.Key, []byte(client))
}

func (s *Store) unseal(row sealedSecret) (webhooks.Secret, error) {
	if row.KeyID != s.sealID {
		return webhooks.Secret{}, fmt.Errorf("webhook secret %d is sealed with another RINGBACK_SECRET_KEY", row.ID)
	}
	n := s.seal.NonceSize()
	if len(row.Sealed) < n {
		return webhooks.Secret{}, fmt.Errorf("webhook secret %d is damaged", row.ID)
	}
	key, err := s.seal.Open(nil, row.Sealed[:n], row.Sealed[n:], []byte(row.ClientID))
	if err != nil {
		return webhooks.Secret{}, fmt.Errorf("webhook secret %d is damaged: %w", row.ID, err)
	}
	return webhooks.Secret{ID: row.ID, Key: slices.Clip(key), CreatedAt: row.CreatedAt, ExpiresAt: row.ExpiresAt}, nil
}
