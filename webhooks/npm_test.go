package webhooks_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/webhooks"
)

// judge asks the official library for JavaScript about every request.
const judge = `const { Webhook } = require("standardwebhooks");
const cases = JSON.parse(require("node:fs").readFileSync(0));
console.log(JSON.stringify(cases.map((c) => {
  try { new Webhook(c.secret).verify(Buffer.from(c.body, "base64").toString("latin1"), c.headers); return true; } catch { return false; }
})));`

// wants skips a test for want of something; with CI=true it fails.
func wants(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("NOT TESTED: %s: %v", what, err)
}

// program returns the path of a program that a test runs.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	wants(t, "there is no "+name+" here", err)
	return path
}

// library installs what testdata/npm pins, by the hashes of its lock, where this
// user's caches are, and returns the NODE_PATH that leads to it.
func library(t *testing.T) string {
	t.Helper()
	npm := program(t, "npm")
	lock, err := os.ReadFile("testdata/npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	cache = filepath.Join(cache, "ringback-tests")
	dir := filepath.Join(cache, fmt.Sprintf("npm-%x", sha256.Sum256(lock))[:20])
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(cache, "npm-")
	if err == nil {
		err = os.CopyFS(fresh, os.DirFS("testdata/npm"))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	cmd := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = fresh
	out, err := cmd.CombinedOutput()
	wants(t, fmt.Sprintf("standardwebhooks cannot be installed (%s)", out), err)
	if err := os.Rename(fresh, dir); err != nil {
		if _, lost := os.Stat(modules); lost != nil { // another process was no quicker either
			t.Fatal(err)
		}
	}
	return modules
}

// The library is npm's standardwebhooks.
func TestTheOfficialLibraryForJavaScriptTakesTheSignatureAndNoOther(t *testing.T) {
	node := program(t, "node")
	modules := library(t)
	type request struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    []byte            `json:"body"`
	}
	now := time.Now()
	current, former, other := webhooks.NewSecret(now), webhooks.NewSecret(now), webhooks.NewSecret(now)
	former.ExpiresAt = now.Add(time.Hour)
	body, h := webhooks.Body(sample(), "evt_1"), http.Header{}
	webhooks.Sign(h, "evt_1", body, []webhooks.Secret{former, current}, now)
	headers := map[string]string{}
	for name := range h {
		headers[strings.ToLower(name)] = h.Get(name)
	}
	cases := []request{{current.String(), headers, body}, {former.String(), headers, body}, {other.String(), headers, body}}
	for i := range body {
		flipped := append([]byte{}, body...)
		flipped[i] ^= 1
		cases = append(cases, request{current.String(), headers, flipped})
	}
	given, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", judge)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(given)), os.Stderr
	out, err := cmd.Output()
	var took []bool
	if err != nil || json.Unmarshal(out, &took) != nil || len(took) != len(cases) {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, ok := range took {
		if ok != (i < 2) {
			t.Errorf("request %d was taken: %v", i, ok)
		}
	}
	t.Logf("%d requests with one byte changed, none was taken", len(body))
}
