// Package sipptest runs SIPp (Debian package sip-tester) as the peer of a SIP
// trunk, Kamailio (package kamailio) as the proxy before it, and baresip
// (package baresip-core) as a telephone that is heard. SIPp judges the dialogue
// by its scenario; a test passes only if it ended by itself and was content.
package sipptest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Limit is how long a SIPp may take when Options do not say.
const Limit = 20 * time.Second

// Many as Options.Calls lets SIPp take calls until Finish.
const Many = -1

// Options say what a SIPp plays.
type Options struct {
	Scenario string            // path of the XML file
	Keys     map[string]string // what stands for the scenario's own [keywords]
	Echo     bool              // sends RTP back to where it came from
	Args     []string          // more arguments of SIPp
	Target   string            // host:port it calls; "": it is called
	Calls    int               // 0: one; Many: any number
	Quiet    bool              // keeps no messages: for measuring
	Limit    time.Duration     // 0: Limit
	Port     int               // its SIP port; 0: a free one
	TCP      bool              // speaks TCP instead of UDP
}

// Peer is a SIPp that runs.
type Peer struct {
	Addr netip.AddrPort // its SIP address, on loopback

	t      testing.TB
	cmd    *exec.Cmd
	dir    string
	tcp    bool
	output bytes.Buffer
	ended  chan struct{} // closed: the process is gone
	late   bool          // it had to be killed
	judged bool          // Wait was called
	err    error
	limit  *time.Timer
	mu     sync.Mutex // over late
}

// Start runs SIPp on a free port of 127.0.0.1 and returns when it listens.
// What it still does at the end of the test is killed.
func Start(t testing.TB, o Options) *Peer {
	t.Helper()
	path := Path(t)
	var p *Peer
	for range 3 { // another process may take the port we found free
		p = start(t, path, o)
		if p.listens() {
			return p
		}
		<-p.ended
	}
	t.Fatalf("sipp does not start: %v\n%s", p.err, p.trace())
	return nil
}

func start(t testing.TB, path string, o Options) *Peer {
	t.Helper()
	dir := t.TempDir()
	port, media := o.Port, FreePort(t)
	if port == 0 {
		port = FreePort(t)
	}
	if o.Calls == 0 {
		o.Calls = 1
	}
	if o.Limit == 0 {
		o.Limit = Limit
	}
	args := []string{
		"-sf", writeScenario(t, dir, o), "-i", "127.0.0.1", "-p", strconv.Itoa(port), "-mi", "127.0.0.1", "-mp", strconv.Itoa(media),
		"-nostdin", "-trace_err", "-error_file", filepath.Join(dir, "errors"),
	}
	if !o.Quiet {
		args = append(args, "-trace_msg", "-message_file", filepath.Join(dir, "messages"))
	}
	if o.Calls != Many {
		args = append(args, "-m", strconv.Itoa(o.Calls))
	}
	if o.TCP {
		args = append(args, "-t", "t1")
	}
	if o.Echo {
		args = append(args, "-rtp_echo")
	}
	args = append(args, o.Args...)
	if o.Target != "" {
		args = append(args, o.Target)
	}
	p := &Peer{
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)),
		tcp:  o.TCP,
		t:    t, dir: dir, ended: make(chan struct{}),
	}
	p.cmd = exec.CommandContext(context.Background(), path, args...) // ended by Wait's limit and the clean-up
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start sipp: %v", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	p.limit = time.AfterFunc(o.Limit, p.kill)
	t.Cleanup(func() {
		p.kill()
		<-p.ended
		if t.Failed() && !p.judged {
			t.Logf("sipp at %s was in the middle of\n%s", p.Addr, p.trace())
		}
	})
	return p
}

// writeScenario fills in the scenario's own keywords: SIPp wants to know a
// status code before it starts.
func writeScenario(t testing.TB, dir string, o Options) string {
	t.Helper()
	text, err := os.ReadFile(o.Scenario)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range o.Keys {
		text = bytes.ReplaceAll(text, []byte("["+k+"]"), []byte(v))
	}
	path := filepath.Join(dir, filepath.Base(o.Scenario))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kill ends SIPp if it runs.
func (p *Peer) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
	default:
		p.late = true
		_ = p.cmd.Process.Kill()
	}
}

// listens waits until SIPp has bound its port; false if it ended instead.
func (p *Peer) listens() bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if listens(p.Addr.Port(), p.tcp) {
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-tick.C:
		}
	}
}

// listens reports whether the kernel has bound a port of loopback.
func listens(port uint16, tcp bool) bool {
	table, line := "/proc/net/udp", fmt.Sprintf(" 0100007F:%04X ", port)
	if tcp {
		table, line = "/proc/net/tcp", fmt.Sprintf(" 0100007F:%04X 00000000:0000 0A ", port)
	}
	lines, err := os.ReadFile(table)
	return err == nil && bytes.Contains(lines, []byte(line))
}

// Wait returns once SIPp ended by itself with a successful scenario, and fails
// the test otherwise: SIPp reports success when it is killed, too.
func (p *Peer) Wait() {
	p.t.Helper()
	<-p.ended
	p.limit.Stop()
	p.judged = true
	p.mu.Lock()
	late := p.late
	p.mu.Unlock()
	if late || p.err != nil {
		p.t.Errorf("sipp at %s is not content (killed: %t, %v)\n%s", p.Addr, late, p.err, p.trace())
	}
}

// noCalls is SIPp's exit code if it had nothing to judge.
const noCalls = 99

// Finish tells SIPp to take no more calls and waits until the last one is
// over; it fails the test if one of them went wrong.
func (p *Peer) Finish() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		p.t.Errorf("sipp at %s is gone: %v", p.Addr, err)
	}
	<-p.ended
	if p.cmd.ProcessState.ExitCode() == noCalls {
		p.err = nil
	}
	p.Wait()
}

// Messages returns what SIPp sent and received so far.
func (p *Peer) Messages() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "messages"))
	return string(b)
}

func (p *Peer) trace() string {
	faults, _ := os.ReadFile(filepath.Join(p.dir, "errors"))
	select {
	case <-p.ended:
	default:
		return string(faults)
	}
	return string(faults) + p.Messages() + lastLines(p.output.String(), 5)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Ports for tests lie below those that the system hands out by itself, so that
// nobody is given one between our look and its use.
const (
	lowPort  = 10000
	highPort = 19996
)

// turn makes every port of this process another one; processes begin anywhere.
var turn = rand.Uint32()

// FreePort returns an even port of loopback that is free, with the three after
// it, for UDP and TCP.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := lowPort + int(atomic.AddUint32(&turn, 1)%((highPort-lowPort)/4))*4
		if isFree(port) {
			return port
		}
	}
	t.Fatal("no free ports")
	return 0
}

func isFree(port int) bool {
	var open []io.Closer
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return false
	}
	open = append(open, listener)
	for i := range 4 {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port + i})
		if err != nil {
			return false
		}
		open = append(open, conn)
	}
	return true
}
