package storetest_test

import (
	"context"
	"testing"

	"ringback/store"
	"ringback/store/storetest"
)

func TestEach(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		if n, err := s.MigrationsPending(context.Background()); err != nil || n != 0 {
			t.Errorf("%d migrations are pending, %v", n, err)
		}
	})
}
