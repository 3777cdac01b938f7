package storetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Cluster is a PostgreSQL of a test's own, which it may stop.
type Cluster struct {
	t testing.TB
	s *server
}

// NewCluster starts a cluster that ends with the test. Where PostgreSQL cannot
// be had, or is not ours to stop, the test is skipped; with CI=true it fails.
func NewCluster(t testing.TB) *Cluster {
	t.Helper()
	bin, err := findPostgres()
	var s *server
	if err == nil {
		s, err = startCluster(bin)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED ON POSTGRESQL: %v", err)
	}
	t.Cleanup(func() { _ = s.life.Close() })
	// What was committed must be there after a crash of the server. The machine
	// does not crash: without fsync nothing is lost.
	s.exec(t, "ALTER SYSTEM SET synchronous_commit = on")
	s.exec(t, "SELECT pg_reload_conf()")
	return &Cluster{t: t, s: s}
}

// URL is a database of the cluster.
func (c *Cluster) URL() string { return c.s.url.String() }

// Crash stops the server as if it had crashed.
func (c *Cluster) Crash() { c.control("-m", "immediate", "stop") }

// Start starts it again, and returns when it answers.
func (c *Cluster) Start() { c.control("-l", "log", "-w", "-t", "60", "start") }

func (c *Cluster) control(args ...string) {
	c.t.Helper()
	cmd := exec.Command(filepath.Join(c.s.bin, "pg_ctl"), append([]string{"-D", "data"}, args...)...)
	cmd.Dir, cmd.SysProcAttr = c.s.dir, &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		if err := asPostgres(cmd, c.s.dir); err != nil {
			c.t.Fatal(err)
		}
	}
	// No pipe: the server would keep its end.
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(c.s.dir, "log"))
		c.t.Fatalf("pg_ctl %v: %v\n%s", args, err, log)
	}
}
