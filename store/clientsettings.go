package store

import (
	"context"

	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// UpdateSettings changes the settings of a client of an account or of one of
// its sub-accounts: change is given what is stored, under its lock. A default
// extension that is not one of the client's is a fault of DefaultExtensionID.
func (s *Store) UpdateSettings(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID, change func(*scheduler.Settings) error) (scheduler.Settings, error) {
	var changed scheduler.Settings
	err := s.write(ctx, func(t *tx) error {
		stored, err := one[scheduler.Client](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
			Where("id = ?", id).Where(within, account), "there is no client %s", id)
		if err != nil {
			return err
		}
		changed = stored.Settings
		if err := change(&changed); err != nil {
			return err
		}
		if err := t.useExtension(id, changed.DefaultExtensionID); err != nil {
			return err
		}
		if err := t.setLimit(scheduler.LimitKey{ClientID: id}, stored.Settings.MaxConcurrentCalls, changed.MaxConcurrentCalls); err != nil {
			return err
		}
		t.saw(stored.Settings, changed)
		return t.db.Model(&stored).
			Select("DefaultRegion", "DefaultExtensionID", "WebhookFormat", "MaxConcurrentCalls", "RequestsPerHour", "AllowedCallerIDs").
			Updates(scheduler.Client{Settings: changed}).Error
	})
	return changed, err
}

// useExtension keeps the default extension of a client, if it has one, from
// being deleted until the commit.
func (t *tx) useExtension(client scheduler.ClientID, id *scheduler.ExtensionID) error {
	if id == nil {
		return nil
	}
	_, err := one[scheduler.Extension](extensions(t.db, client).Clauses(clause.Locking{Strength: "SHARE"}).Where("id = ?", *id), "")
	if scheduler.KindOf(err) == scheduler.NotFound {
		return scheduler.Faults{{Field: "DefaultExtensionID", Message: "is not an extension of this client"}}.Err()
	}
	return err
}
