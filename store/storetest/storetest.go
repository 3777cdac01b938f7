package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/store"
)

// Each runs a test on SQLite and on PostgreSQL, each with an empty database.
func Each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, Open(t, SQLiteURL(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, Open(t, PostgresURL(t))) })
}

// Open opens the database and brings its schema up to date. It is closed when
// the test ends.
func Open(t testing.TB, databaseURL string) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{URL: databaseURL, Secret: SecretKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// SecretKey is the key that Open seals secrets with.
func SecretKey() []byte { return []byte("a key of 32 bytes for tests only") }

// SQLiteURL returns the URL of a SQLite database that does not exist yet, in a
// directory of the test.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	return "sqlite://" + filepath.Join(t.TempDir(), "ringback.db")
}

// PostgresURL returns the URL of an empty database of its own, which is dropped
// when the test ends. Where PostgreSQL cannot be had the test is skipped; with
// CI=true it fails.
func PostgresURL(t testing.TB) string {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
	}
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	name := "ringback_test_" + hex.EncodeToString(random[:])
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.exec(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.database(name)
}

// database returns the URL of one of the server's databases.
func (s *server) database(name string) string {
	u := s.url
	u.Path = "/" + name
	return u.String()
}

// exec runs a statement as the server's administrator.
func (s *server) exec(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
