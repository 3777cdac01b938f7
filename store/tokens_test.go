package store_test

import (
	"crypto/sha256"
	"reflect"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
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
				token, err := s.UseRefreshToken(t.Context(), hash("refresh"), at, time.Minute)
				if err == nil && (token.UserID == nil || *token.UserID != user) {
					t.Errorf("got %+v", token)
				}
				return err
			}
			must(t, use(now))
			must(t, use(now.Add(59*time.Second)))
			wantKind(t, "after the grace", use(now.Add(time.Minute)), scheduler.NotFound)
		})
		t.Run("an access token refreshes nothing", func(t *testing.T) {
			_, err := s.UseRefreshToken(t.Context(), hash("client"), now, time.Minute)
			wantKind(t, "access token", err, scheduler.NotFound)
		})
	})
}
