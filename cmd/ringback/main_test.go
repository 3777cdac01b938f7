package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestExitCodes(t *testing.T) {
	tests := map[string]struct {
		args []string
		env  map[string]string
		want int
	}{
		"help is no fault":                        {[]string{"help"}, nil, exitOK},
		"no command asks for help":                {nil, nil, exitOK},
		"an unknown command is misuse":            {[]string{"dance"}, nil, exitUsage},
		"an unknown flag is misuse":               {[]string{"serve", "--colour"}, nil, exitUsage},
		"migrate to nowhere is misuse":            {[]string{"migrate", "down"}, nil, exitUsage},
		"rekey without a new key is misuse":       {[]string{"rekey"}, nil, exitUsage},
		"rekey without the former one is misuse":  {[]string{"rekey", "--database-url=sqlite://none.db"}, map[string]string{"RINGBACK_SECRET_KEY": testKey}, exitUsage},
		"rekey of a database not there fails":     {[]string{"rekey"}, map[string]string{"RINGBACK_SECRET_KEY": testKey, "RINGBACK_OLD_SECRET_KEY": testKey, "RINGBACK_DATABASE_URL": "postgres://127.0.0.1:1/d"}, exitFailed},
		"a bad setting is misuse":                 {[]string{"serve"}, map[string]string{"RINGBACK_WORKERS": "0"}, exitUsage},
		"serve without a dialer is misuse":        {[]string{"serve"}, nil, exitUsage},
		"a demonstration on PostgreSQL fails":     {[]string{"demo"}, map[string]string{"RINGBACK_DATABASE_URL": "postgres://h/d", "RINGBACK_SECRET_KEY": testKey}, exitFailed},
		"a database that is not there fails":      {[]string{"migrate", "status"}, map[string]string{"RINGBACK_DATABASE_URL": "postgres://127.0.0.1:1/d"}, exitFailed},
		"a key of the wrong size beside it fails": {[]string{"serve", "--dialer=sim", "--database-url=sqlite://bad.db"}, nil, exitFailed},
	}
	for claim, test := range tests {
		t.Run(claim, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("bad.db.key", []byte("0123\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("RINGBACK_LISTEN", "127.0.0.1:0")
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			var out bytes.Buffer
			if got := run(test.args, make(chan os.Signal), &out, &out); got != test.want {
				t.Errorf("exit code %d, want %d:\n%s", got, test.want, out.String())
			}
		})
	}
}

// TestNothingStaysBehind serves in this process and stops: every goroutine
// has one that waits for it.
func TestNothingStaysBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := t.TempDir()
	for name, value := range map[string]string{
		"LISTEN": "127.0.0.1:0", "DIALER": "sim", "DATABASE_URL": "sqlite://" + filepath.Join(dir, "ringback.db"),
		"ADMIN_USERNAME": adminName, "ADMIN_PASSWORD": adminPassword, "METRICS_LISTEN": "127.0.0.1:0",
	} {
		t.Setenv("RINGBACK_"+name, value)
	}
	signals := make(chan os.Signal, 1)
	read, write := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run([]string{"serve"}, signals, io.Discard, write)
		write.Close()
	}()
	buf := make([]byte, 4096)
	var said string
	for len(listening.FindStringSubmatch(said)) == 0 {
		n, err := read.Read(buf)
		if said += string(buf[:n]); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, read) }()
	resp, err := http.Get(listening.FindStringSubmatch(said)[1] + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	signals <- syscall.SIGTERM
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d:\n%s", got, said)
	}
	key, err := os.Stat(filepath.Join(dir, "ringback.db.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the key beside the database: %v, %v", key, err)
	}
}
