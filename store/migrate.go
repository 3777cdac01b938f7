package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// Migrate brings the schema up to this release, one process at a time.
func (s *Store) Migrate(ctx context.Context) error {
	return s.migrating(func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// MigrationsPending returns how many migrations the database lacks.
func (s *Store) MigrationsPending(ctx context.Context) (int, error) {
	pending := 0
	err := s.migrating(func(p *goose.Provider) error {
		status, err := p.Status(ctx)
		for _, m := range status {
			if m.State == goose.StatePending {
				pending++
			}
		}
		return err
	})
	return pending, err
}

// migrating calls do with the migrations of the database in use.
func (s *Store) migrating(do func(*goose.Provider) error) error {
	dialect, dir, opts := goose.DialectSQLite3, "migrations/sqlite", []goose.ProviderOption(nil)
	db, err := s.db.DB()
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if s.postgres != nil {
		dialect, dir = goose.DialectPostgres, "migrations/postgres"
		// Two nodes that start at once migrate once: an advisory lock.
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("migrate database: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	if err := provide(dialect, db, dir, opts, do); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

func provide(dialect goose.Dialect, db *sql.DB, dir string, opts []goose.ProviderOption, do func(*goose.Provider) error) error {
	files, err := fs.Sub(migrations, dir)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(dialect, db, files, opts...)
	if err != nil {
		return err
	}
	return do(p)
}
