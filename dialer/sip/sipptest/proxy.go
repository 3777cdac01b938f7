package sipptest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ProxyOptions are what a proxy asks for.
type ProxyOptions struct {
	Username, Password string
	Algorithm          string // of the digest: MD5 or SHA-256
}

// proxyConfig makes Kamailio ask who sends an INVITE, and a BYE of the caller,
// and keeps it in the way of what follows.
const proxyConfig = `#!KAMAILIO
debug=0
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:ADDRESS
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "auth.so"
modparam("rr", "append_fromtag", 1)
modparam("auth", "algorithm", "ALGORITHM")
request_route {
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans()) t_relay();
			exit;
		}
		if (is_method("BYE") && is_direction("downstream")) route(WHO);
		t_relay();
		exit;
	}
	if (!is_method("INVITE")) {
		sl_send_reply("200", "OK");
		exit;
	}
	route(WHO);
	record_route();
	t_relay();
	exit;
}
route[WHO] {
	if (!pv_proxy_authorize("REALM", "PASSWORD", "0") || $au != "USERNAME") {
		proxy_challenge("REALM", "1");
		exit;
	}
	consume_credentials();
}
`

// StartProxy runs Kamailio (Debian package kamailio) as an outbound proxy on a
// free port of 127.0.0.1 until the end of the test, and returns its address
// when it listens.
func StartProxy(t testing.TB, o ProxyOptions) netip.AddrPort {
	t.Helper()
	program, dir := path(t, kamailio), t.TempDir()
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(freePort(t)))
	config := strings.NewReplacer("ADDRESS", addr.String(), "ALGORITHM", o.Algorithm, "REALM", "sip.example.net",
		"USERNAME", o.Username, "PASSWORD", o.Password).Replace(proxyConfig)
	file := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(context.Background(), program, "-f", file, "-DD", "-Y", dir, "-w", dir, "-m", "16", "-M", "4")
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := cmd.Start(); err != nil {
		t.Fatalf("start kamailio: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	bound := fmt.Appendf(nil, " 0100007F:%04X ", addr.Port())
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Limit)
	for {
		if table, err := os.ReadFile("/proc/net/udp"); err == nil && bytes.Contains(table, bound) {
			return addr
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatalf("kamailio does not start\n%s", output.String())
		case <-limit:
			t.Fatal("kamailio does not listen")
		}
	}
}
