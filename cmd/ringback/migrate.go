package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ringback/config"
	"ringback/store"
)

// migrateCommand runs `migrate up` and `migrate status`.
func migrateCommand(args []string, signals <-chan os.Signal, stdout io.Writer) (err error) {
	if len(args) == 0 || args[0] != "up" && args[0] != "status" {
		return usageError("migrate needs up or status")
	}
	cfg, err := load(config.Source{Args: args[1:]})
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(signals)
	defer cancel()
	// Migrations neither seal nor open secrets: any key will do.
	db, err := store.Open(ctx, store.Options{URL: cfg.DatabaseURL, Secret: make([]byte, keySize), Log: newLog(cfg, io.Discard)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if args[0] == "up" {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
	}
	return tellPending(ctx, db, stdout)
}

// tellPending prints how many migrations the database lacks.
func tellPending(ctx context.Context, db *store.Store, stdout io.Writer) error {
	pending, err := db.MigrationsPending(ctx)
	if err != nil {
		return err
	}
	if pending == 0 {
		fmt.Fprintln(stdout, "the database is up to date")
		return nil
	}
	fmt.Fprintf(stdout, "the database lacks %d migrations: ringback migrate up\n", pending)
	return nil
}
