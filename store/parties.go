package store

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"ringback/scheduler"
	"ringback/webhooks"
)

// HasAccount reports whether there is any account yet.
func (s *Store) HasAccount(ctx context.Context) (bool, error) {
	return hasAccount(s.reads.WithContext(ctx))
}

func hasAccount(db *gorm.DB) (bool, error) {
	var found []scheduler.AccountID
	err := db.Model(&scheduler.Account{}).Limit(1).Pluck("id", &found).Error
	return len(found) > 0, err
}

// EnsureMaster stores the master account and its first user, unless there is
// an account already.
func (s *Store) EnsureMaster(ctx context.Context, account scheduler.Account, user scheduler.User) error {
	return s.write(ctx, func(t *tx) error {
		if t.postgres != nil {
			// Nodes that start together must not both find nothing.
			if err := t.db.Exec("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE").Error; err != nil {
				return err
			}
		}
		if has, err := hasAccount(t.db); err != nil || has {
			return err
		}
		if err := t.db.Create(&account).Error; err != nil {
			return err
		}
		return t.db.Create(&user).Error
	})
}

// UserByName returns the user of an enabled account with a name, which is
// case-sensitive.
func (s *Store) UserByName(ctx context.Context, username string) (scheduler.User, error) {
	return one[scheduler.User](s.reads.WithContext(ctx).Where("username = ?", username).Where(ofEnabled), "there is no user %q", username)
}

// ofEnabled selects what belongs to an enabled account.
const ofEnabled = "account_id IN (SELECT id FROM accounts WHERE disabled_at IS NULL)"

// Account returns an account.
func (s *Store) Account(ctx context.Context, id scheduler.AccountID) (scheduler.Account, error) {
	return one[scheduler.Account](s.reads.WithContext(ctx).Where("id = ?", id), "there is no account %s", id)
}

// ClientByID returns an enabled client of any account: for those who show its
// secret.
func (s *Store) ClientByID(ctx context.Context, id scheduler.ClientID) (scheduler.Client, error) {
	return one[scheduler.Client](s.reads.WithContext(ctx).Where("id = ? AND disabled_at IS NULL", id).Where(ofEnabled), "there is no client %s", id)
}

// reach is an account and those below it, at any depth.
const reach = `(WITH RECURSIVE reach(id) AS (
	SELECT id FROM accounts WHERE id = ?
	UNION SELECT a.id FROM accounts a JOIN reach r ON a.parent_id = r.id
) SELECT id FROM reach)`

// within selects what belongs to an account or to one below it.
const within = "account_id IN " + reach

// Clients returns the clients of an account and of its sub-accounts, ordered
// by id. They have no row numbers, so the page's cursor is ignored.
func (s *Store) Clients(ctx context.Context, account scheduler.AccountID, p scheduler.Page) (scheduler.List[scheduler.Client], error) {
	p.After = 0
	return list[scheduler.Client](s.reads.WithContext(ctx).Model(&scheduler.Client{}).Where(within, account), p)
}

// ClientOf returns a client of an account or of one of its sub-accounts.
func (s *Store) ClientOf(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID) (scheduler.Client, error) {
	return one[scheduler.Client](s.reads.WithContext(ctx).Where("id = ?", id).Where(within, account), "there is no client %s", id)
}

// ClientOfExtension returns the client of an account, or of one of its
// sub-accounts, that has an extension.
func (s *Store) ClientOfExtension(ctx context.Context, account scheduler.AccountID, id scheduler.ExtensionID) (scheduler.Client, error) {
	db := s.reads.WithContext(ctx)
	owner := db.Model(&scheduler.Extension{}).Where("id = ? AND deleted_at IS NULL", id).Select("client_id")
	return one[scheduler.Client](db.Where("id IN (?)", owner).Where(within, account), "there is no extension %d", id)
}

// AddClient stores a client with the first secret that its events are signed
// with. Its user must be one of its account.
func (s *Store) AddClient(ctx context.Context, c scheduler.Client, first webhooks.Secret) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.useUser(c); err != nil {
			return err
		}
		if err := t.db.Create(&c).Error; err != nil {
			return err
		}
		t.saw(nil, c)
		return t.insertSecret(c.ID, first)
	})
}

// useUser makes sure that the user of a client is one of its account.
func (t *tx) useUser(c scheduler.Client) error {
	_, err := one[scheduler.User](t.db.Where("id = ? AND account_id = ?", c.UserID, c.AccountID), "")
	if scheduler.KindOf(err) == scheduler.NotFound {
		return scheduler.Faults{{Field: "UserID", Message: "is not a user of this account"}}.Err()
	}
	return err
}

// UpdateClient lets change alter a client of an account or of one below it,
// under its lock: its name, user, secrets, and whether it is disabled. Its tokens
// die and its queues stop when it is; its tokens die, too, with a secret that is
// replaced at once.
func (s *Store) UpdateClient(ctx context.Context, account scheduler.AccountID, id scheduler.ClientID, change func(*scheduler.Client) error) (scheduler.Client, error) {
	var changed scheduler.Client
	stops := false
	err := s.write(ctx, func(t *tx) error {
		stored, err := one[scheduler.Client](t.db.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
			Where("id = ?", id).Where(within, account), "there is no client %s", id)
		if err != nil {
			return err
		}
		changed = stored
		if err := change(&changed); err != nil {
			return err
		}
		if err := t.useUser(changed); err != nil {
			return err
		}
		stops = stored.DisabledAt.IsZero() && !changed.DisabledAt.IsZero()
		if stops || changed.SecretHash != stored.SecretHash && changed.OldHash == "" {
			if err := t.endSessions(t.db.Where("client_id = ?", id)); err != nil {
				return err
			}
		}
		t.saw(stored, changed)
		return t.db.Model(&stored).Select("Name", "UserID", "SecretHash", "OldHash", "OldUntil", "DisabledAt").Updates(changed).Error
	})
	if err == nil && stops {
		err = s.stopDisabled(context.WithoutCancel(ctx))
	}
	return changed, err
}
