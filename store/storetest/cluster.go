// Package storetest gives tests and benchmarks real databases: a SQLite file
// in a temporary directory, and a database of its own on a private PostgreSQL
// cluster that lives as long as the test process.
package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/gofrs/flock"
)

// serverVariable names a server to be used instead of a private cluster: the
// URL of a role that may create databases.
const serverVariable = "RINGBACK_TEST_DATABASE_URL"

// sharedServer starts the one cluster of this process when it is first asked
// for.
var sharedServer = sync.OnceValues(startServer)

// server is a PostgreSQL server that tests may create databases on.
type server struct {
	url  url.URL
	life io.Closer // open as long as a private cluster shall run
	dir  string    // of a private cluster
	bin  string    // its programs
}

func startServer() (*server, error) {
	if given := os.Getenv(serverVariable); given != "" {
		u, err := url.Parse(given)
		if err != nil {
			return nil, fmt.Errorf("%s is no URL", serverVariable)
		}
		return &server{url: *u}, nil
	}
	bin, err := findPostgres()
	if err != nil {
		return nil, err
	}
	// Another process may take the free port before PostgreSQL does.
	for range 3 {
		var s *server
		if s, err = startCluster(bin); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// findPostgres returns the directory of PostgreSQL's programs, and installs
// them first where it may and they are missing.
func findPostgres() (string, error) {
	if bin := installedPostgres(); bin != "" {
		return bin, nil
	}
	if os.Getuid() != 0 {
		return "", errors.New("PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	// Test processes run beside each other; one of them installs.
	lock := flock.New(filepath.Join(os.TempDir(), "ringback-install.lock"))
	if err := lock.Lock(); err != nil {
		return "", fmt.Errorf("install PostgreSQL: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if bin := installedPostgres(); bin != "" {
		return bin, nil
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "postgresql"}} {
		cmd := exec.Command("apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("install PostgreSQL: %w\n%s", err, out)
		}
	}
	if bin := installedPostgres(); bin != "" {
		return bin, nil
	}
	return "", errors.New("the package postgresql is installed and brought no initdb")
}

// installedPostgres returns the directory of the newest PostgreSQL of Debian's
// packages, else of the one in the PATH, else "".
func installedPostgres() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	newest, bin := 0, ""
	for _, path := range found {
		dir := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && v > newest {
			newest, bin = v, dir
		}
	}
	if bin != "" {
		return bin
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return ""
	}
	return filepath.Dir(path)
}

// clusterScript runs a cluster in the directory $1 on port $2 until its
// standard input ends, which the kernel sees to when the test process is gone,
// whatever ended it.
const clusterScript = `
cd "$1" || exit
if initdb -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 &&
	cat >>data/postgresql.conf <<-end &&
		port = $2
		unix_socket_directories = '$1'
		listen_addresses = '127.0.0.1'
		fsync = off
		synchronous_commit = off
		full_page_writes = off
		max_connections = 200
		shared_buffers = 256MB
		max_wal_size = 4GB
	end
	pg_ctl -D data -l log -w -t 60 start >/dev/null 2>>log </dev/null
then echo ready
else echo failed
fi
cat >/dev/null
pg_ctl -D data -m immediate stop >/dev/null 2>&1
cd / && rm -rf "$1"
`

func startCluster(bin string) (*server, error) {
	dir, err := os.MkdirTemp("", "ringback-pg-")
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	cmd := exec.Command("/bin/sh", "-c", clusterScript, "sh", dir, strconv.Itoa(port))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt is for the tests
	if os.Getuid() == 0 {                                // PostgreSQL refuses to run as root
		if err := asPostgres(cmd, dir); err != nil {
			return nil, fmt.Errorf("start PostgreSQL: %w", err)
		}
	}
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if line, _ := bufio.NewReader(said).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		_ = life.Close()
		_ = cmd.Wait()
		return nil, fmt.Errorf("start PostgreSQL: it did not come up:\n%s", log)
	}
	return &server{life: life, dir: dir, bin: bin, url: url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + strconv.Itoa(port),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}}, nil
}

// asPostgres makes the command run as user postgres, who is given dir.
func asPostgres(cmd *exec.Cmd, dir string) error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(dir, int(uid), int(gid))
}

func freePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	addr, err := net.ResolveTCPAddr("tcp", l.Addr().String())
	if err != nil {
		return 0, err
	}
	return addr.Port, nil
}
