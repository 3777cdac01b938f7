package storetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ringback/store"
)

// Each runs a test on SQLite and on PostgreSQL, each with an empty database.
func Each(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, Open(t, SQLiteURL(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, Open(t, migratedURL(t))) })
}

// EachKind is Each for a test that opens databases itself, several or in the
// bubble of a synctest: empty returns the URL of one without rows.
func EachKind(t *testing.T, test func(t *testing.T, empty func(testing.TB) string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteURL) })
	t.Run("postgres", func(t *testing.T) { test(t, migratedURL) })
}

// Open opens the database and brings its schema up to date. It is closed when
// the test ends.
func Open(t testing.TB, databaseURL string) *store.Store {
	t.Helper()
	if path, ok := strings.CutPrefix(databaseURL, "sqlite://"); ok {
		copyTemplate(t, path)
	}
	s, err := open(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(databaseURL string) (*store.Store, error) {
	s, err := store.Open(context.Background(), store.Options{URL: databaseURL, Secret: SecretKey()})
	if err != nil {
		return nil, err
	}
	// Looking costs less than being ready to migrate.
	if n, err := s.MigrationsPending(context.Background()); err == nil && n == 0 {
		return s, nil
	}
	if err := s.Migrate(context.Background()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
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
	return aServer(t).create(t, "")
}

// aServer is the server that tests share.
func aServer(t testing.TB) *server {
	t.Helper()
	s, err := sharedServer()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
	}
	return s
}

// create makes a database, a copy of another one if that is given, which is
// dropped when the test ends. It returns its URL.
func (s *server) create(t testing.TB, template string) string {
	t.Helper()
	name := randomName()
	made := "CREATE DATABASE " + name
	if template != "" {
		made += " TEMPLATE " + template
		// PostgreSQL 15 and later would write all of it to the log.
		if s.execute(made+" STRATEGY file_copy") == nil {
			made = ""
		}
	}
	if made != "" {
		s.exec(t, made)
	}
	t.Cleanup(func() { s.exec(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.database(name)
}

func randomName() string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return "ringback_test_" + hex.EncodeToString(random[:])
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
	if err := s.execute(statement); err != nil {
		t.Fatal(err)
	}
}

func (s *server) execute(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
