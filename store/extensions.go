package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
)

// extensions selects the live extensions of a client.
func extensions(db *gorm.DB, client scheduler.ClientID) *gorm.DB {
	return db.Model(&scheduler.Extension{}).Where("client_id = ? AND deleted_at IS NULL", client)
}

// Extensions returns the extensions of a client.
func (s *Store) Extensions(ctx context.Context, client scheduler.ClientID, p scheduler.Page) (scheduler.List[scheduler.Extension], error) {
	return list[scheduler.Extension](extensions(s.reads.WithContext(ctx), client), p)
}

// Extension returns an extension of a client.
func (s *Store) Extension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID) (scheduler.Extension, error) {
	return one[scheduler.Extension](extensions(s.reads.WithContext(ctx), client).Where("id = ?", id), "there is no extension %d", id)
}

// AddExtension stores an extension and returns it with its id.
func (s *Store) AddExtension(ctx context.Context, e scheduler.Extension) (scheduler.Extension, error) {
	e.ID, e.DeletedAt = 0, time.Time{}
	err := s.write(ctx, func(t *tx) error {
		err := t.db.Create(&e).Error
		t.saw(nil, e)
		t.made = append(t.made, int64(e.ID))
		if err != nil || e.Limit == 0 {
			return err
		}
		return t.db.Create(&callLimit{LimitKey: scheduler.LimitKey{ClientID: e.ClientID, ExtensionID: e.ID}, Most: e.Limit}).Error
	})
	return e, err
}

// UpdateExtension changes the settings of an extension: change is given what
// is stored, under its lock. Tasks that are due feel it with the next claim.
func (s *Store) UpdateExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, change func(*scheduler.Extension) error) (scheduler.Extension, error) {
	var changed scheduler.Extension
	err := s.write(ctx, func(t *tx) error {
		if err := t.lockClient(client, "NO KEY UPDATE"); err != nil {
			return err
		}
		stored, err := one[scheduler.Extension](
			extensions(t.db, client).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id = ?", id), "there is no extension %d", id)
		if err != nil {
			return err
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		changed.ID, changed.ClientID, changed.CreatedAt, changed.DeletedAt = stored.ID, stored.ClientID, stored.CreatedAt, stored.DeletedAt
		err = extensions(t.db, client).Where("id = ?", id).
			Select("Name", "Label", "Blocked", "CallerIDName", "ANI", "Limit", "Trunk").Updates(changed).Error
		if err != nil {
			return err
		}
		t.saw(stored, changed)
		return t.setLimit(scheduler.LimitKey{ClientID: client, ExtensionID: id}, stored.Limit, changed.Limit)
	})
	return changed, err
}

// DeleteExtension marks an extension as deleted, and is the client's default no
// more. Tasks that wait for it end as they come due; what has been called
// keeps it.
func (s *Store) DeleteExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.lockClient(client, "NO KEY UPDATE"); err != nil {
			return err
		}
		stored, err := one[scheduler.Extension](
			extensions(t.db, client).Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("id = ?", id), "there is no extension %d", id)
		if err != nil {
			return err
		}
		forget := t.db.Model(&scheduler.Client{}).Where("id = ? AND default_extension_id = ?", client, id).Update("default_extension_id", nil)
		if forget.Error != nil {
			return forget.Error
		}
		if err := t.setLimit(scheduler.LimitKey{ClientID: client, ExtensionID: id}, stored.Limit, 0); err != nil {
			return err
		}
		t.saw(stored, nil)
		return extensions(t.db, client).Where("id = ?", id).Select("DeletedAt", "Limit").Updates(scheduler.Extension{DeletedAt: now}).Error
	})
}
