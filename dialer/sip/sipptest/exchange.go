package sipptest

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Exchange is a telephone exchange in front of several peers, so that one
// trunk reaches them by number. It passes datagrams on unchanged; requests
// within a call go past it, to the peer's Contact.
type Exchange struct {
	Addr netip.AddrPort // what the trunk calls

	conn   *net.UDPConn
	mu     sync.Mutex
	lines  map[string]netip.AddrPort // by the user part that is called
	calls  map[string]netip.AddrPort // the called peer by Call-ID
	caller map[string]netip.AddrPort // the trunk by Call-ID
}

// NewExchange opens an exchange on loopback; it is closed with the test.
func NewExchange(t testing.TB) *Exchange {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	e := &Exchange{
		Addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn,
		lines: map[string]netip.AddrPort{}, calls: map[string]netip.AddrPort{}, caller: map[string]netip.AddrPort{},
	}
	var done sync.WaitGroup
	done.Go(e.run)
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return e
}

// Connect gives a peer a number, as digits.
func (e *Exchange) Connect(number string, addr netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines[number] = addr
}

func (e *Exchange) run() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := e.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if to, ok := e.route(string(buf[:n]), from); ok {
			_, _ = e.conn.WriteToUDPAddrPort(buf[:n], to)
		}
	}
}

// route finds where a datagram goes: an INVITE by its number, all else by its
// Call-ID to the other side.
func (e *Exchange) route(text string, from netip.AddrPort) (netip.AddrPort, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first, rest, _ := strings.Cut(text, "\r\n")
	_, rest, _ = strings.Cut("\r\n"+rest, "\r\nCall-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	peer, known := e.calls[id]
	if !known && strings.HasPrefix(first, "INVITE sip:") {
		user, _, _ := strings.Cut(strings.TrimPrefix(first, "INVITE sip:"), "@")
		if peer, known = e.lines[user]; known {
			e.calls[id], e.caller[id] = peer, from
		}
	}
	if from == peer {
		return e.caller[id], known
	}
	return peer, known
}
