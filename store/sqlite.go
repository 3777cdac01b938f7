package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	gormlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// sqlite is one file, held by one process.
type sqlite struct {
	path string
	lock *flock.Flock
}

// sqliteReaders is how many connections read beside the one that writes.
const sqliteReaders = 4

func (s *Store) openSQLite(ctx context.Context, path string) error {
	if path == "" {
		return errors.New("a SQLite URL needs a path: sqlite://./data/ringback.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	lock := flock.New(path + ".lock")
	held, err := lock.TryLock()
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("%s is in use by another process: SQLite serves one node; use PostgreSQL for several", path)
	}
	lite := &sqlite{path: path, lock: lock}
	if s.db, err = lite.dial(ctx, 1, s.gormConfig()); err == nil {
		s.reads, err = lite.dial(ctx, sqliteReaders, s.gormConfig())
	}
	if err != nil {
		return errors.Join(err, lite.close(s.db, s.reads))
	}
	s.sqlite = lite
	return nil
}

// dial opens a pool of n connections.
func (l *sqlite) dial(ctx context.Context, n int, cfg *gorm.Config) (*gorm.DB, error) {
	q := url.Values{
		"_pragma": {
			"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", "busy_timeout(5000)", "cache_size(-8192)",
		},
		// A transaction that reads and then writes must be a writer from its start.
		"_txlock":              {"immediate"},
		"_time_integer_format": {"unix_micro"},
		"_inttotime":           {"1"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: l.path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return gorm.Open(gormlite.Dialector{Conn: db}, cfg)
}

func (l *sqlite) close(pools ...*gorm.DB) error {
	var errs []error
	for _, pool := range pools {
		if pool == nil {
			continue
		}
		db, err := pool.DB()
		if err == nil {
			err = db.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, l.lock.Unlock())...)
}

func sqliteCode(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func sqliteRefusesRow(err error) bool {
	switch sqliteCode(err) & 0xff { // extended codes keep the primary one in their low byte
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH, lib.SQLITE_TOOBIG:
		return true
	}
	return false
}
