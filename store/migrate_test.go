package store_test

import (
	"context"
	"testing"

	"ringback/store"
	"ringback/store/storetest"
)

func TestMigrations(t *testing.T) {
	urls := map[string]func(testing.TB) string{"sqlite": storetest.SQLiteURL, "postgres": storetest.PostgresURL}
	for name, url := range urls {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s, err := store.Open(ctx, store.Options{URL: url(t), Secret: storetest.SecretKey()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			if n, err := s.MigrationsPending(ctx); err != nil || n == 0 {
				t.Errorf("an empty database lacks %d migrations: %v", n, err)
			}
			for range 2 {
				if err := s.Migrate(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := s.MigrationsPending(ctx); err != nil || n != 0 {
				t.Errorf("after them it lacks %d: %v", n, err)
			}
		})
	}
}
