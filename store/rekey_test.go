package store_test

import (
	"bytes"
	"testing"

	"ringback/store"
	"ringback/store/storetest"
	"ringback/webhooks"
)

func TestSecretsAreSealedWithAnotherKey(t *testing.T) {
	newKey, wrong := bytes.Repeat([]byte("n"), 32), bytes.Repeat([]byte("w"), 32)
	for name, url := range map[string]func(testing.TB) string{"sqlite": storetest.SQLiteURL, "postgres": storetest.PostgresURL} {
		t.Run(name, func(t *testing.T) {
			at := url(t)
			open := func(key []byte) *store.Store {
				t.Helper()
				s, err := store.Open(t.Context(), store.Options{URL: at, Secret: key})
				must(t, err)
				return s
			}
			s := open(storetest.SecretKey())
			must(t, s.Migrate(t.Context()))
			a, b := storetest.Client(t, s), storetest.Client(t, s)
			must(t, s.AddSecret(t.Context(), a.ID, webhooks.NewSecret(moment()), moment()))
			before, err := s.Secrets(t.Context(), a.ID)
			must(t, err)
			must(t, s.Close())

			s = open(newKey)
			if n, err := s.Rekey(t.Context(), wrong); err == nil || n != 0 {
				t.Errorf("with the wrong key %d were sealed, %v", n, err)
			}
			if n, err := s.Rekey(t.Context(), storetest.SecretKey()); err != nil || n != 3 {
				t.Errorf("%d of 3 were sealed, %v", n, err)
			}
			if n, err := s.Rekey(t.Context(), storetest.SecretKey()); err != nil || n != 0 {
				t.Errorf("the second time %d were sealed, %v", n, err)
			}
			after, err := s.Secrets(t.Context(), a.ID)
			must(t, err)
			if len(after) != 2 || !bytes.Equal(after[0].Key, before[0].Key) || !bytes.Equal(after[1].Key, before[1].Key) {
				t.Errorf("the secrets were %v and are %v", before, after)
			}
			if _, err := s.Secrets(t.Context(), b.ID); err != nil {
				t.Error(err)
			}
			must(t, s.Close())
			s = open(storetest.SecretKey())
			if _, err := s.Secrets(t.Context(), a.ID); err == nil {
				t.Error("the former key still opens them")
			}
			must(t, s.Close())
		})
	}
}
