package sipptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// What is installed once in a process.
var (
	sipp     = sync.OnceValues(func() (string, error) { return install("sipp", "sip-tester") })
	kamailio = sync.OnceValues(func() (string, error) { return install("kamailio", "kamailio") })
	// Its package has no program of its own, so what is looked for is the module.
	kamailioTLS = sync.OnceValues(func() (string, error) {
		if found, _ := filepath.Glob("/usr/lib/*/kamailio/modules/tls.so"); len(found) > 0 {
			return found[0], nil
		}
		return install("", "kamailio-tls-modules")
	})
)

// install returns the path of a program, from its Debian package if need be;
// of a package without a program, nothing.
func install(program, pkg string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", errors.New(program + " is not installed (Debian: apt-get install " + pkg + ")")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", pkg}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s cannot be installed: %w: %s", program, err, out)
		}
	}
	if program == "" {
		return "", nil
	}
	return exec.LookPath(program)
}

// Path returns the path of SIPp, installing its package if that is possible.
// Without it the test is skipped, or fails if the environment has CI=true.
func Path(t testing.TB) string { return path(t, sipp) }

func path(t testing.TB, find func() (string, error)) string {
	t.Helper()
	path, err := find()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("NOT TESTED: %v", err)
	default:
		t.Skipf("NOT TESTED: %v", err)
	}
	return path
}
