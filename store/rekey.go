package store

import (
	"context"
	"fmt"

	"gorm.io/gorm/clause"
)

// Rekey seals every secret that old seals with the store's key instead, and
// returns how many those were. What the store's key seals already is left alone,
// so it may be done again; one that is sealed with neither fails it, and then
// nothing has changed.
func (s *Store) Rekey(ctx context.Context, old []byte) (n int, err error) {
	former := &Store{}
	if former.seal, former.sealID, err = newSeal(old); err != nil {
		return 0, err
	}
	err = s.write(ctx, func(t *tx) error {
		n = 0
		var rows []sealedSecret
		if err := t.db.Clauses(clause.Locking{Strength: "UPDATE"}).Where("key_id <> ?", s.sealID).Order("id").Find(&rows).Error; err != nil {
			return err
		}
		for _, row := range rows {
			if row.KeyID != former.sealID {
				return fmt.Errorf("webhook secret %d is sealed with neither key", row.ID)
			}
			secret, err := former.unseal(row)
			if err != nil {
				return err
			}
			row.KeyID, row.Sealed = s.sealID, s.sealed(row.ClientID, secret)
			if err := t.db.Model(&row).Select("KeyID", "Sealed").Updates(row).Error; err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}
