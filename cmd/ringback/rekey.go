package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"ringback/config"
	"ringback/store"
)

// rekeyCommand seals the webhook secrets with another key. The former one is
// configured, or else the one beside the SQLite database.
func rekeyCommand(args []string, signals <-chan os.Signal, stdout io.Writer) (err error) {
	cfg, err := load(config.Source{Args: args})
	if err != nil {
		return err
	}
	if cfg.SecretKey == "" {
		return usageError("rekey needs the new key in RINGBACK_SECRET_KEY: openssl rand -base64 32")
	}
	old := []byte(cfg.OldSecretKey)
	if len(old) == 0 {
		if old, err = readKey(keyPath(cfg)); err != nil {
			return usageError(fmt.Sprintf("rekey needs the former key in RINGBACK_OLD_SECRET_KEY, or beside a SQLite database: %v", err))
		}
	}
	ctx, cancel := untilSignal(signals)
	defer cancel()
	db, err := store.Open(ctx, store.Options{URL: cfg.DatabaseURL, Secret: []byte(cfg.SecretKey), Log: newLog(cfg, io.Discard)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	n, err := db.Rekey(ctx, old)
	if err != nil {
		return fmt.Errorf("rekey: %w", err)
	}
	fmt.Fprintf(stdout, "%d secrets are sealed with the new key; start every node with it\n", n)
	return nil
}
