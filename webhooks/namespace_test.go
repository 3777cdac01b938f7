package webhooks_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// namespaceVariable says that the test runs in a network of its own.
const namespaceVariable = "RINGBACK_TEST_NAMESPACE"

// inNamespace runs a test in a network of its own, where every address that
// there is leads to this process: only there can it be seen that a connection is
// made, or is not.
func inNamespace(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv(namespaceVariable) != "" {
		for _, args := range []string{"link set lo up", "route add local 0.0.0.0/0 dev lo", "-6 route add local ::/0 dev lo"} {
			if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v\n%s", args, err, out)
			}
		}
		test(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "5m")
	cmd.Env = append(os.Environ(), namespaceVariable+"=1", "HTTP_PROXY=http://127.0.0.1:3128", "http_proxy=http://127.0.0.1:3128",
		"HTTPS_PROXY=http://127.0.0.1:3128", "ALL_PROXY=socks5://127.0.0.1:3128")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil && os.Getenv("CI") != "true":
		t.Skipf("NOT TESTED: a network of its own cannot be had here: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// world is whoever is at the other end of every connection.
type world struct {
	*http.Server
	mu     sync.Mutex
	met    map[netip.Addr]int // connections, by the address that was connected to
	events int
	down   bool // answers 503
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{met: map[netip.Addr]int{}}
	w.Server = &http.Server{Handler: w, ErrorLog: quiet(), ReadHeaderTimeout: time.Minute, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.met[netip.MustParseAddrPort(c.LocalAddr().String()).Addr().Unmap()]++
		}
	}}
	w.SetKeepAlivesEnabled(false)
	var serving sync.WaitGroup
	for _, port := range []string{"80", "3128"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		serving.Go(func() { _ = w.Serve(l) })
	}
	t.Cleanup(func() { w.Close(); serving.Wait() })
	return w
}

// ServeHTTP takes an event, or leads inwards.
func (w *world) ServeHTTP(resp http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events++
	switch {
	case w.down:
		resp.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/redirect":
		http.Redirect(resp, r, "http://127.0.0.1/", http.StatusTemporaryRedirect)
	}
}

// connections returns how many there were since it was last asked, by address.
func (w *world) connections() map[netip.Addr]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	met := w.met
	w.met = map[netip.Addr]int{}
	return met
}

// names is a DNS server, whose answers are of the test's choice: a name has the
// addresses that are given here, all at once or in turn.
type names struct {
	all   map[string][]netip.Addr
	turns map[string][]netip.Addr
	mu    sync.Mutex
	asked map[string]int
}

// serve makes it the resolver of this process.
func (n *names) serve(t *testing.T) {
	t.Helper()
	l, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	was := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", "127.0.0.1:53")
	}}
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 4096)
		for {
			size, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := n.answer(buf[:size]); err == nil {
				_, _ = l.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() { net.DefaultResolver = was; l.Close(); serving.Wait() })
}

func (n *names) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("no question: %w", err)
	}
	q := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	m.Response, m.Additionals = true, nil
	for _, addr := range n.of(name, q.Type) {
		var body dnsmessage.ResourceBody
		if q.Type == dnsmessage.TypeAAAA {
			body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		} else {
			body = &dnsmessage.AResource{A: addr.As4()}
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: body})
	}
	return m.Pack()
}

// of returns the addresses of a name, IPv4 or IPv6.
func (n *names) of(name string, kind dnsmessage.Type) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	found := n.all[name]
	if turns := n.turns[name]; len(turns) > 0 {
		found = turns[n.asked[name]%len(turns) : n.asked[name]%len(turns)+1]
		if kind == dnsmessage.TypeA {
			n.asked[name]++
		}
	}
	var fit []netip.Addr
	for _, a := range found {
		if a.Is4() == (kind == dnsmessage.TypeA) {
			fit = append(fit, a)
		}
	}
	return fit
}

// spellings returns an IPv4 address as the C library's inet_aton takes it, and
// as IPv6 addresses that carry it.
func spellings(a netip.Addr) []string {
	b := a.As4()
	whole := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	return []string{
		strconv.Itoa(int(whole)), fmt.Sprintf("0x%x", whole), fmt.Sprintf("0X%X", whole), fmt.Sprintf("0%o", whole),
		fmt.Sprintf("%d.%d", b[0], whole&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], whole&0xffff),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("00%o.%d.0x%x.%d", b[0], b[1], b[2], b[3]), fmt.Sprintf("0x%x.%d", b[0], whole&0xffffff), a.String() + ".",
		fmt.Sprintf("[::ffff:%s]", a), fmt.Sprintf("[::ffff:%x:%x]", whole>>16, whole&0xffff), fmt.Sprintf("[0:0:0:0:0:FFFF:%X:%X]", whole>>16, whole&0xffff),
	}
}

// loose resolves a host as inet_aton does, which Go's own resolver does not:
// an operator's may.
func loose(host string) (netip.Addr, bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var whole uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			whole += n
		} else {
			whole += n << (24 - 8*i)
		}
	}
	return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
}
