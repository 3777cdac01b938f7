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
	err := s.write(ctx, func(t *tx) error { return t.db.Create(&e).Error })
	return e, err
}

// UpdateExtension changes the settings of an extension: change is given what
// is stored, under its lock. Tasks that are due feel it with the next claim.
func (s *Store) UpdateExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, change func(*scheduler.Extension) error) (scheduler.Extension, error) {
	var changed scheduler.Extension
	err := s.write(ctx, func(t *tx) error {
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
		return extensions(t.db, client).Where("id = ?", id).
			Select("Name", "Label", "Blocked", "CallerIDName", "ANI").Updates(changed).Error
	})
	return changed, err
}

// DeleteExtension marks an extension as deleted, and is the client's default no
// more. Tasks that wait for it end as they come due; what has been called
// keeps it.
func (s *Store) DeleteExtension(ctx context.Context, client scheduler.ClientID, id scheduler.ExtensionID, now time.Time) error {
	return s.write(ctx, func(t *tx) error {
		forget := t.db.Model(&scheduler.Client{}).Where("id = ? AND default_extension_id = ?", client, id).Update("default_extension_id", nil)
		if forget.Error != nil && !missing(forget.Error) {
			return forget.Error
		}
		if forget.Error != nil {
			return scheduler.Errorf(scheduler.NotFound, "there is no extension %d", id)
		}
		res := extensions(t.db, client).Where("id = ?", id).Select("DeletedAt").Updates(scheduler.Extension{DeletedAt: now})
		if missing(res.Error) || res.Error == nil && res.RowsAffected == 0 {
			return scheduler.Errorf(scheduler.NotFound, "there is no extension %d", id)
		}
		return res.Error
	})
}
