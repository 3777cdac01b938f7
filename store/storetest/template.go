package storetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// sqliteTemplate is a SQLite database without rows: to copy it takes a fraction
// of the time that migrations take.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "ringback-template-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "ringback.db")
	s, err := open("sqlite://" + path)
	if err == nil {
		err = s.Close() // what its log holds goes into the file
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// copyTemplate makes a migrated SQLite database, unless there is a file already.
func copyTemplate(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	template, err := sqliteTemplate()
	if err == nil {
		err = os.WriteFile(path, template, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// postgresTemplate is the name of a database without rows, on the private
// cluster, which ends with the process; "" on a server that was given, where it
// would be left behind.
var postgresTemplate = sync.OnceValues(func() (string, error) {
	s, err := sharedServer()
	if err != nil || s.life == nil {
		return "", err
	}
	name := randomName()
	if err := s.execute("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	migrated, err := open(s.database(name))
	if err != nil {
		return "", err
	}
	return name, migrated.Close() // nobody may be connected to what is copied
})

// migratedURL returns the URL of a database of its own without rows, which is
// dropped when the test ends.
func migratedURL(t testing.TB) string {
	t.Helper()
	s := aServer(t)
	template, err := postgresTemplate()
	if err != nil {
		t.Fatal(err)
	}
	return s.create(t, template)
}
