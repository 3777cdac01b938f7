package store_test

import (
	"context"
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c, now := storetest.Client(t, s), moment()
		user := storetest.UserID
		hash := func(name string) []byte { h := sha256.Sum256([]byte(name)); return h[:] }
		end := now.Add(time.Hour)
		must(t, s.AddTokens(t.Context(),
			scheduler.Token{Hash: hash("client"), ClientID: &c.ID, CreatedAt: now, ExpiresAt: end},
			scheduler.Token{Hash: hash("user"), UserID: &user, CreatedAt: now, ExpiresAt: end},
			scheduler.Token{Hash: hash("refresh"), Refresh: true, UserID: &user, CreatedAt: now, ExpiresAt: end},
		))
		t.Run("a client's token acts for it and its user", func(t *testing.T) {
			p, err := s.Principal(t.Context(), hash("client"), now)
			if err != nil || p.Client == nil || !reflect.DeepEqual(*p.Client, c) || p.User.ID != user || p.Account.ID != storetest.MasterID {
				t.Errorf("got %+v, %v", p, err)
			}
		})
		t.Run("a user's token acts for no client", func(t *testing.T) {
			p, err := s.Principal(t.Context(), hash("user"), now)
			if err != nil || p.Client != nil || p.User.ID != user || p.Account.ID != storetest.MasterID {
				t.Errorf("got %+v, %v", p, err)
			}
		})
		for claim, tc := range map[string]struct {
			name string
			at   time.Time
		}{
			"an unknown token is refused":           {"nobody", now},
			"a token is refused from its expiry on": {"client", end},
			"a refresh token opens nothing":         {"refresh", now},
		} {
			t.Run(claim, func(t *testing.T) {
				_, err := s.Principal(t.Context(), hash(tc.name), tc.at)
				wantKind(t, tc.name, err, scheduler.NotFound)
			})
		}
		t.Run("a used refresh token is good for the grace time, not longer by being used again", func(t *testing.T) {
			use := func(at time.Time) error {
				return s.UseRefreshToken(t.Context(), hash("refresh"), at, time.Minute, func(token scheduler.Token) []scheduler.Token {
					if token.UserID == nil || *token.UserID != user {
						t.Errorf("got %+v", token)
					}
					token.Hash, token.ExpiresAt = hash("after "+at.String()), end
					return []scheduler.Token{token}
				})
			}
			must(t, use(now))
			must(t, use(now.Add(59*time.Second)))
			wantKind(t, "after the grace", use(now.Add(time.Minute)), scheduler.NotFound)
		})
		t.Run("an access token refreshes nothing", func(t *testing.T) {
			err := s.UseRefreshToken(t.Context(), hash("client"), now, time.Minute, func(scheduler.Token) []scheduler.Token { return nil })
			wantKind(t, "access token", err, scheduler.NotFound)
		})
	})
}

// TestShownIsStillGood: who signs in with what is replaced or disabled meanwhile
// gets no tokens.
func TestShownIsStillGood(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now, n := moment(), 0
		storetest.Client(t, s)
		parent := storetest.MasterID
		h := scheduler.Holder{
			Account: scheduler.Account{ID: scheduler.AccountID(scheduler.NewGUID(now)), ParentID: &parent, TimeZone: "UTC", CreatedAt: now},
			User:    scheduler.User{ID: scheduler.UserID(scheduler.NewGUID(now)), Username: "below", PasswordHash: "first", CreatedAt: now},
		}
		h.User.AccountID = h.Account.ID
		must(t, s.AddAccount(t.Context(), parent, h))
		c := scheduler.Client{
			ID: scheduler.ClientID(scheduler.NewGUID(now)), AccountID: h.Account.ID, UserID: h.User.ID, Name: "below",
			SecretHash: "first", OldHash: "old", OldUntil: now.Add(time.Hour), CreatedAt: now,
		}
		must(t, s.AddClient(t.Context(), c, webhooks.NewSecret(now)))
		add := func(token scheduler.Token) error {
			n++
			hash := sha256.Sum256([]byte{byte(n)})
			token.Hash, token.CreatedAt, token.ExpiresAt = hash[:], now, now.Add(time.Hour)
			return s.AddTokens(t.Context(), token)
		}
		user := func(shown string) scheduler.Token { return scheduler.Token{UserID: &h.User.ID, Shown: shown} }
		client := func(shown string) scheduler.Token { return scheduler.Token{ClientID: &c.ID, Shown: shown} }
		for _, good := range []scheduler.Token{user("first"), client("first"), client("old")} {
			must(t, add(good))
		}
		must(t, s.SetPassword(t.Context(), h.User.ID, "first", "second", ""))
		wantKind(t, "another password for the one before", s.SetPassword(t.Context(), h.User.ID, "first", "third", ""), scheduler.Invalid)
		wantKind(t, "the password before", add(user("first")), scheduler.NotFound)
		must(t, add(user("second")))
		able := func(at time.Time) {
			_, err := s.UpdateClient(t.Context(), parent, c.ID, func(c *scheduler.Client) error { c.DisabledAt, c.OldHash = at, ""; return nil })
			must(t, err)
		}
		able(now)
		wantKind(t, "a disabled client", add(client("first")), scheduler.NotFound)
		able(time.Time{})
		must(t, add(client("first")))
		wantKind(t, "a secret before", add(client("old")), scheduler.NotFound)
		_, err := s.UpdateAccount(t.Context(), parent, h.Account.ID, func(h *scheduler.Holder) error { h.Account.DisabledAt = now; return nil })
		must(t, err)
		wantKind(t, "a user of a disabled account", add(user("second")), scheduler.NotFound)
		wantKind(t, "a client of a disabled account", add(client("first")), scheduler.NotFound)
	})
}

// TestRevokedTokens: what came of one sign-in ends together, also what is being
// refreshed meanwhile.
func TestRevokedTokens(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		revokeWhileRefreshing(t, storetest.Open(t, storetest.SQLiteURL(t)), func() {})
	})
	t.Run("postgres", func(t *testing.T) {
		url := storetest.PostgresURL(t)
		revokeWhileRefreshing(t, storetest.Open(t, url), func() { waitFor(t, url, 1) })
	})
}

func revokeWhileRefreshing(t *testing.T, s *store.Store, waiting func()) {
	c, now := storetest.Client(t, s), moment()
	hash := func(name string) []byte { h := sha256.Sum256([]byte(name)); return h[:] }
	token := func(name, signIn string, refresh bool) scheduler.Token {
		return scheduler.Token{Hash: hash(name), Refresh: refresh, ClientID: &c.ID, SignIn: signIn, CreatedAt: now, ExpiresAt: now.Add(time.Hour)}
	}
	must(t, s.AddTokens(t.Context(), token("access", "one", false), token("refresh", "one", true), token("other", "two", false)))
	other := storetest.Client(t, s)
	wantKind(t, "by another client", s.RevokeToken(t.Context(), hash("access"), &other.ID), scheduler.Forbidden)
	_, err := s.Principal(t.Context(), hash("access"), now)
	must(t, err)
	must(t, s.RevokeToken(t.Context(), hash("unknown"), nil))
	inside, revoked := make(chan struct{}), make(chan error, 1)
	go func() {
		<-inside
		revoked <- s.RevokeToken(context.Background(), hash("access"), &c.ID)
	}()
	must(t, s.UseRefreshToken(t.Context(), hash("refresh"), now, time.Minute, func(used scheduler.Token) []scheduler.Token {
		close(inside)
		waiting()
		return []scheduler.Token{token("next", used.SignIn, false), token("next refresh", used.SignIn, true)}
	}))
	must(t, <-revoked)
	for _, name := range []string{"access", "next"} {
		_, err := s.Principal(t.Context(), hash(name), now)
		wantKind(t, name, err, scheduler.NotFound)
	}
	for _, name := range []string{"refresh", "next refresh"} {
		err := s.UseRefreshToken(t.Context(), hash(name), now, time.Minute, func(scheduler.Token) []scheduler.Token { return nil })
		wantKind(t, name, err, scheduler.NotFound)
	}
	_, err = s.Principal(t.Context(), hash("other"), now)
	must(t, err)
}
