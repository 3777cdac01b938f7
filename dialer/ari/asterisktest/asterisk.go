// Package asterisktest runs real Asterisks beside a test. They are installed
// by make test-peers, each in a Debian of its own below a directory that
// RINGBACK_ASTERISK names; their ARI and PJSIP are configured as
// docs/trunks.md says.
package asterisktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/sip/sipptest"
)

// Env names the environment variable with the directories of the systems that
// have an Asterisk, separated by colons.
const Env = "RINGBACK_ASTERISK"

// limit is how long an Asterisk may take to start or to stop.
const limit = 30 * time.Second

// Each runs a test on every Asterisk there is, and skips it loudly if there is
// none.
func Each(t *testing.T, f func(t *testing.T, root string)) {
	t.Helper()
	roots := filepath.SplitList(os.Getenv(Env))
	if len(roots) == 0 {
		t.Skipf("NOT TESTED here: %s is not set; make test-peers installs Asterisk and runs this", Env)
	}
	for _, root := range roots {
		t.Run(filepath.Base(root), func(t *testing.T) { f(t, root) })
	}
}

// Options say how an Asterisk is set up.
type Options struct {
	Root    string // the system it is installed in
	Carrier string // host:port of the SIP peer behind PJSIP/…@carrier; "": none
}

// PBX is an Asterisk. Its addresses stay the same when it is started again.
type PBX struct {
	URL                string // of its ARI
	Username, Password string

	t       testing.TB
	root    string
	dir     string // its own, as it sees it
	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{} // closed: the process is gone
	output  *output
	replace *strings.Replacer
}

// output gathers what Asterisk says.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds text.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Start starts an Asterisk on free ports of loopback and returns when its ARI
// answers. It ends with the test.
func Start(t testing.TB, o Options) *PBX {
	t.Helper()
	real, err := os.MkdirTemp(filepath.Join(o.Root, "tmp"), "ringback-")
	if err != nil {
		t.Fatal(err)
	}
	p := &PBX{
		Username: "ringback", Password: "change-me-please", t: t, root: o.Root, dir: "/tmp/" + filepath.Base(real), output: &output{},
	}
	web, sip := sipptest.FreePort(t), sipptest.FreePort(t)
	p.URL = fmt.Sprintf("http://127.0.0.1:%d/ari", web)
	p.replace = strings.NewReplacer(
		"bindport = 8088", fmt.Sprintf("bindport = %d", web),
		"http://127.0.0.1:8088", fmt.Sprintf("http://127.0.0.1:%d", web),
		"bind = 0.0.0.0:5060", fmt.Sprintf("bind = 127.0.0.1:%d", sip),
		"sip.example.net:5060", orElse(o.Carrier, "127.0.0.1:9"),
		"rtp_symmetric = yes", "rtp_symmetric = yes\nmedia_address = 127.0.0.1\nbind_rtp_to_media_address = yes",
	)
	p.configure()
	t.Cleanup(func() {
		p.Stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("asterisk said\n%s", p.output)
		}
		if err := os.RemoveAll(real); err != nil {
			t.Error(err)
		}
	})
	p.Run()
	return p
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// Doc returns a block of docs/trunks.md: what stands below the first line that
// has a mark in it, with the addresses of this Asterisk.
func (p *PBX) Doc(mark string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(p.t), "docs", "trunks.md"))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), mark)
	_, rest, fence := strings.Cut(rest, "\n```")
	_, rest, line := strings.Cut(rest, "\n")
	block, _, end := strings.Cut(rest, "\n```")
	if !ok || !fence || !line || !end {
		p.t.Fatalf("docs/trunks.md has no block after %q", mark)
	}
	return p.replace.Replace(block) + "\n"
}

// repository is the directory of go.mod.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == "/" {
			t.Fatal("there is no go.mod above")
		}
	}
}

// Run starts Asterisk again after Stop.
func (p *PBX) Run() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command("/usr/sbin/asterisk", "-f", "-n", "-C", p.dir+"/etc/asterisk.conf")
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = "/", p.output, p.output
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.dir}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: p.root, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start asterisk: %v", err)
	}
	cmd, ended := p.cmd, make(chan struct{})
	p.ended = ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	for end := time.Now().Add(limit); ; {
		var info json.RawMessage
		err := p.get("asterisk/info", &info)
		if err == nil {
			return
		}
		select {
		case <-ended:
			p.t.Fatalf("asterisk ended at once:\n%s", p.output)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(end) {
			p.t.Fatalf("asterisk does not answer: %v\n%s", err, p.output)
		}
	}
}

// Stop sends a signal and waits until Asterisk is gone.
func (p *PBX) Stop(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Error("asterisk did not end when it was told to")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Signal sends a signal, such as SIGSTOP, and does not wait.
func (p *PBX) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(s)
}

// Dir makes a directory of the PBX and returns its path as Asterisk sees it,
// which is below Options.Root.
func (p *PBX) Dir(name string) string {
	p.t.Helper()
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Join(p.root, dir), 0o700); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

// Channels returns the ids of all channels.
func (p *PBX) Channels() []string { return p.ids("channels") }

// Bridges returns the ids of all bridges.
func (p *PBX) Bridges() []string { return p.ids("bridges") }

func (p *PBX) ids(what string) []string {
	p.t.Helper()
	var list []struct{ ID string }
	if err := p.get(what, &list); err != nil {
		p.t.Fatalf("list the %s of asterisk: %v", what, err)
	}
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	return ids
}

// Request sends a request to ARI as somebody else would.
func (p *PBX) Request(method, path string) (int, error) {
	resp, err := p.request(method, path)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (p *PBX) get(path string, to any) error {
	resp, err := p.request(http.MethodGet, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(to)
}

func (p *PBX) request(method, path string) (*http.Response, error) {
	req, err := http.NewRequest(method, p.URL+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(p.Username, p.Password)
	req.Close = true
	return (&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
}
