package store_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestSecretsRotate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := storetest.Client(t, s)
		now := moment()
		live := func() []webhooks.Secret {
			t.Helper()
			secrets, err := s.Secrets(t.Context(), c.ID)
			must(t, err)
			return secrets
		}
		rotate := func(at time.Time) webhooks.Secret {
			t.Helper()
			secret := webhooks.NewSecret(at)
			must(t, s.AddSecret(t.Context(), c.ID, secret, at))
			return secret
		}
		first := live()
		if len(first) != 1 || len(first[0].Key) != 32 || !first[0].ExpiresAt.IsZero() {
			t.Fatalf("a new client has %+v", first)
		}
		second := rotate(now)
		got := live()
		if len(got) != 2 || !bytes.Equal(got[0].Key, second.Key) || !got[0].ExpiresAt.IsZero() ||
			!bytes.Equal(got[1].Key, first[0].Key) || !got[1].ExpiresAt.Equal(now.Add(24*time.Hour)) {
			t.Fatalf("after a rotation: %+v", got)
		}
		third := rotate(now.Add(time.Hour))
		got = live()
		if len(got) != 3 || !got[2].ExpiresAt.Equal(now.Add(24*time.Hour)) {
			t.Errorf("a rotation moved the end of a former secret: %+v", got)
		}
		fourth := rotate(now.Add(time.Hour))
		got = live()
		if len(got) != 3 || !bytes.Equal(got[0].Key, fourth.Key) || !bytes.Equal(got[1].Key, third.Key) || !bytes.Equal(got[2].Key, second.Key) {
			t.Errorf("after three rotations, not the newest three: %+v", got)
		}
		last := rotate(now.Add(48 * time.Hour))
		got = live()
		if len(got) != 2 || !bytes.Equal(got[0].Key, last.Key) || !bytes.Equal(got[1].Key, fourth.Key) {
			t.Errorf("expired secrets stayed: %+v", got)
		}
		must(t, store.Exec(s, "UPDATE webhook_secrets SET expires_at = ? WHERE id = ?", now.Add(-time.Second), got[1].ID))
		if got = live(); len(got) != 1 {
			t.Errorf("an expired secret is told as live: %+v", got)
		}
	})
}

func TestSecretsOfConcurrentRotations(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c, now := storetest.Client(t, s), moment()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := s.AddSecret(context.Background(), c.ID, webhooks.NewSecret(now), now); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got, err := s.Secrets(t.Context(), c.ID); err != nil || len(got) != webhooks.MaxSecrets {
			t.Errorf("%d secrets are live, %v", len(got), err)
		}
	})
}

func TestSecretsAreSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a, b := storetest.Client(t, s), storetest.Client(t, s)
		secrets, err := s.Secrets(t.Context(), a.ID)
		must(t, err)
		rows, err := store.SealedSecrets(s)
		must(t, err)
		for _, sealed := range rows {
			if bytes.Contains(sealed, secrets[0].Key) {
				t.Error("the key lies open in the database")
			}
		}
		must(t, store.Exec(s, "UPDATE webhook_secrets SET client_id = ? WHERE client_id = ?", b.ID, a.ID))
		if _, err := s.Secrets(t.Context(), b.ID); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("a row given to another client opens: %v", err)
		}
		must(t, store.Exec(s, "UPDATE webhook_secrets SET key_id = 'other'"))
		if _, err := s.Secrets(t.Context(), b.ID); err == nil || !strings.Contains(err.Error(), "another RINGBACK_SECRET_KEY") {
			t.Errorf("a row sealed with another key: %v", err)
		}
		_, err = s.Secrets(t.Context(), scheduler.ClientID(scheduler.NewGUID(moment())))
		wantKind(t, "an unknown client", err, scheduler.NotFound)
	})
}
