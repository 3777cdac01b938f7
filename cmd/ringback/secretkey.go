package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ringback/config"
)

// keySize is the size of the key that seals secrets at rest, in bytes.
const keySize = 32

// secretKey returns the key that was configured, or else the one kept beside
// the SQLite database; the first start makes it.
func secretKey(cfg config.Config) ([]byte, error) {
	if cfg.SecretKey != "" {
		return []byte(cfg.SecretKey), nil
	}
	path := keyPath(cfg)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, fmt.Errorf("secret key: %w", err)
		}
		key, err = readKey(path)
	}
	return key, err
}

// keyPath is where the key is kept beside a SQLite database.
func keyPath(cfg config.Config) string {
	return strings.TrimPrefix(cfg.DatabaseURL, "sqlite://") + ".key"
}

func readKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("secret key: %s does not hold %d bytes in hex", path, keySize)
	}
	return key, nil
}

// makeKey writes a new key that only the owner may read. Another process that
// was faster wins.
func makeKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	raw := make([]byte, keySize)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the program instead
	text := []byte(hex.EncodeToString(raw) + "\n")
	temp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
