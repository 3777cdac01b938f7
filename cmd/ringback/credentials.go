package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// credentials are what the demonstration made up once and keeps over restarts,
// in a file that a shell can read.
type credentials struct {
	path          string
	URL           string // of the API, as of the latest start
	AdminUsername string
	AdminPassword string
	ClientID      string // "": nothing is made up yet
	ClientSecret  string
	Queue         string
	Extension     string
	Receiver      string // base URL of the receiver of events
}

// fields are the lines of the file.
func (c *credentials) fields() []struct {
	name  string
	value *string
} {
	return []struct {
		name  string
		value *string
	}{
		{"RINGBACK_URL", &c.URL}, {"ADMIN_USERNAME", &c.AdminUsername}, {"ADMIN_PASSWORD", &c.AdminPassword},
		{"CLIENT_ID", &c.ClientID}, {"CLIENT_SECRET", &c.ClientSecret}, {"QUEUE", &c.Queue}, {"EXTENSION", &c.Extension},
		{"RECEIVER", &c.Receiver},
	}
}

// openCredentials reads the file; the first start makes it.
func openCredentials(path string) (*credentials, error) {
	c := &credentials{path: path}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c.AdminUsername, c.AdminPassword = "demo", rand.Text()
		return c, c.save()
	}
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), "="); ok {
			values[name] = value
		}
	}
	for _, f := range c.fields() {
		*f.value = values[f.name]
	}
	if c.AdminPassword == "" {
		return nil, fmt.Errorf("%s is damaged: remove %s to begin anew", path, filepath.Dir(path))
	}
	return c, nil
}

// save writes the file, for the owner alone.
func (c *credentials) save() error {
	var text bytes.Buffer
	for _, f := range c.fields() {
		fmt.Fprintf(&text, "%s=%s\n", f.name, *f.value)
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	temp := c.path + ".new"
	if err := os.WriteFile(temp, text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, c.path)
}
