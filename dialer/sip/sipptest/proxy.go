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
	TLSCert, TLSKey    string // PEM files: it is called over TLS; "": over UDP
}

// proxyConfig makes Kamailio ask who sends an INVITE, and a BYE of the caller,
// and keeps it in the way of what follows. One process reads the socket: of
// two, the one with a BYE may overtake the one with the ACK before it.
const proxyConfig = `#!KAMAILIO
debug=0
log_stderror=yes
children=1
auto_aliases=no
listen=udp:ADDRESS
SECURE
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
	$du = "sip:" + $rd + ":" + $rp; # over UDP, however it came
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
	program := path(t, kamailio)
	if o.TLSCert != "" {
		path(t, kamailioTLS)
	}
	var output string
	for range 3 { // another process may take the port we found free
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(FreePort(t)))
		var ok bool
		if ok, output = startProxy(t, program, addr, o); ok {
			return addr
		}
	}
	t.Fatalf("kamailio does not start\n%s", output)
	return netip.AddrPort{}
}

// config writes Kamailio's configuration and returns its path.
func (o ProxyOptions) config(t testing.TB, dir string, addr netip.AddrPort) string {
	t.Helper()
	secure := "disable_tcp=yes"
	if o.TLSCert != "" {
		secure = fmt.Sprintf("enable_tls=yes\ntcp_children=1\nlisten=tls:%s\nloadmodule \"tls.so\"\nmodparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"+
			"modparam(\"tls\", \"certificate\", %q)\nmodparam(\"tls\", \"private_key\", %q)", addr, o.TLSCert, o.TLSKey)
	}
	text := strings.NewReplacer("ADDRESS", addr.String(), "ALGORITHM", o.Algorithm, "REALM", "sip.example.net",
		"SECURE", secure, "USERNAME", o.Username, "PASSWORD", o.Password).Replace(proxyConfig)
	file := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startProxy returns once Kamailio listens, or what it said when it ended.
func startProxy(t testing.TB, program string, addr netip.AddrPort, o ProxyOptions) (ok bool, output string) {
	t.Helper()
	dir := t.TempDir()
	var said bytes.Buffer
	cmd := exec.CommandContext(context.Background(), program, "-f", o.config(t, dir, addr), "-DD", "-Y", dir, "-w", dir, "-m", "16", "-M", "4")
	cmd.Stdout, cmd.Stderr = &said, &said
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
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(Limit)
	for {
		select {
		case <-ended:
			return false, said.String()
		case <-limit:
			t.Fatal("kamailio does not listen")
		case <-tick.C:
			if listens(addr.Port(), o.TLSCert != "") {
				return true, ""
			}
		}
	}
}
