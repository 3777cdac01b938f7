package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/gorm"
)

//go:embed migrations
var migrations embed.FS

// Migrate brings the schema up to this release, one process at a time.
func (s *Store) Migrate(ctx context.Context) error {
	p, err := s.migrations(s.db)
	if err == nil {
		_, err = p.Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// MigrationsPending returns how many migrations the database lacks. It neither
// writes nor waits for one that does: migrations are numbered from 1, without
// gaps.
func (s *Store) MigrationsPending(ctx context.Context) (int, error) {
	p, err := s.migrations(s.reads)
	if err != nil {
		return 0, fmt.Errorf("read the database's version: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the database's version: %w", err)
	}
	return int(max(0, target-current)), nil
}

// migrations are those of the database in use, over a pool of it.
func (s *Store) migrations(pool *gorm.DB) (*goose.Provider, error) {
	db, err := pool.DB()
	if err != nil {
		return nil, err
	}
	if s.postgres == nil {
		files, err := fs.Sub(migrations, "migrations/sqlite")
		if err != nil {
			return nil, err
		}
		return goose.NewProvider(goose.DialectSQLite3, db, files)
	}
	files, err := fs.Sub(migrations, "migrations/postgres")
	if err != nil {
		return nil, err
	}
	// Two nodes that start at once migrate once: an advisory lock.
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
}
