package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/config"
)

// TestTrunksOfOnePBX: trunks on one application of an Asterisk share a driver,
// as a second connection would throw out the first, and those on one FreeSWITCH
// do; others have their own.
func TestTrunksOfOnePBX(t *testing.T) {
	trunk := func(name, url, app string) config.Trunk {
		return config.Trunk{
			Name: name, Driver: "ari", URL: url, App: app, Username: "u", Password: "p", Endpoint: "PJSIP/{number}@" + name,
		}
	}
	const here, there = "http://127.0.0.1:9/ari", "http://127.0.0.1:19/ari" // nobody listens
	cfg := config.Config{Node: "n", Trunks: []config.Trunk{
		trunk("a", here, "x"), trunk("b", here, "x"), trunk("c", here, "y"), trunk("d", there, "x"),
		{Name: "e", Driver: "sim"},
		{Name: "f", Driver: "esl", Address: "127.0.0.1:9", Password: "p", Endpoint: "user/{number}"},
		{Name: "g", Driver: "esl", Address: "127.0.0.1:9", Password: "p", Endpoint: "user/{e164}"},
		{Name: "h", Driver: "esl", Address: "127.0.0.1:19", Password: "p", Endpoint: "user/{number}"},
	}}
	c, err := openCarriers(cfg, carrierOptions{now: time.Now, observed: newMetrics(), log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.drivers) != 6 {
		t.Errorf("%d drivers, want 6", len(c.drivers))
	}
	of := endpoints(cfg.Trunks, network{"ari", here, "x"})
	if len(of) != 2 || of["a"] != "PJSIP/{number}@a" || of["b"] != "PJSIP/{number}@b" {
		t.Errorf("the endpoints of a and b are %v", of)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}

// TestEveryFaultOfTheTrunksIsTold at one start, whoever finds it.
func TestEveryFaultOfTheTrunksIsTold(t *testing.T) {
	datagrams, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	used := fmt.Sprintf(`trunks:
  - {name: a, driver: sip, endpoint: 'sip:{number}@127.0.0.1:9', listen: '%s'}
  - {name: b, driver: sip, endpoint: 'sip:{number}@127.0.0.1:9;transport=tcp', listen: '%s'}
  - {name: c, driver: sip, endpoint: 'sip:{number}@127.0.0.1:99999', listen: '127.0.0.1:0'}
`, datagrams.LocalAddr(), listener.Addr())
	inUse := []string{
		"trunk a: open the SIP address: listen udp4 " + datagrams.LocalAddr().String() + ": bind: address already in use",
		"trunk b: open the SIP address: listen tcp4 " + listener.Addr().String() + ": bind: address already in use",
		"trunk c: endpoint must have a port up to 65535",
	}
	for claim, c := range map[string]struct {
		more  string // trunks
		want  []string
		exit  int
		after string // setting
	}{
		"by the drivers": {"", append(inUse, "RINGBACK_SOUNDS_DIR: "), exitFailed, "sounds_dir: /nowhere\nlisten: '127.0.0.1:0'\n"},
		"by the settings and by the drivers": {`  - {name: d, driver: smoke, endpoint: 'up{number}'}
  - {name: e, driver: ari, url: 'http://127.0.0.1:9/ari', username: u, password: p, endpoint: 'PJSIP/{nr}@t'}
`, append(inUse, "trunks[3].driver: must be one of", "trunks[4].endpoint: must be a dial string"), exitUsage, ""},
	} {
		t.Run(claim, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "ringback.yaml"), []byte(used+c.more+c.after), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Chdir(dir)
			t.Setenv("RINGBACK_ADMIN_USERNAME", adminName)
			t.Setenv("RINGBACK_ADMIN_PASSWORD", adminPassword)
			var said bytes.Buffer
			if exit := run([]string{"serve"}, make(chan os.Signal), &said, &said); exit != c.exit {
				t.Errorf("exit code %d, want %d", exit, c.exit)
			}
			for _, fault := range c.want {
				if strings.Count(said.String(), fault) != 1 {
					t.Errorf("not told once: %s, in\n%s", fault, said.String())
				}
			}
		})
	}
}
