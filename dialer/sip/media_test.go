package sip

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func TestParsePorts(t *testing.T) {
	for claim, c := range map[string]struct {
		in        string
		low, high int // 0: a fault
	}{
		"a range":                    {"20000-29999", 20000, 29998},
		"an odd range loses its rim": {"20001-20004", 20002, 20002},
		"one pair":                   {"20000-20001", 20000, 20000},
		"no pair":                    {"20001-20002", 0, 0},
		"backwards":                  {"29999-20000", 0, 0},
		"privileged":                 {"10-2000", 0, 0},
		"too high":                   {"60000-70000", 0, 0},
		"one number":                 {"20000", 0, 0},
		"words":                      {"a-b", 0, 0},
	} {
		t.Run(claim, func(t *testing.T) {
			low, high, err := parsePorts(c.in)
			if low != c.low || high != c.high || (err == nil) != (c.low > 0) {
				t.Errorf("got %d-%d %v", low, high, err)
			}
		})
	}
}

func TestPortsAreGivenBackAndComeLast(t *testing.T) {
	p := freePorts(t, 2)
	open := func() *media {
		t.Helper()
		m, err := newMedia(p, loopback, []codec{pcma}, noDTMF)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := open()
	if first.local.port != p.low {
		t.Errorf("port %d, want %d", first.local.port, p.low)
	}
	first.close()
	second, third := open(), open()
	defer second.close()
	if second.local.port != p.low+2 || third.local.port != p.low {
		t.Errorf("ports %d and %d: the one just returned must come last", second.local.port, third.local.port)
	}
	if _, err := newMedia(p, loopback, []codec{pcma}, noDTMF); err == nil {
		t.Error("a third pair of two")
	}
	third.close()
	third.close() // twice is no fault
	open().close()
}

// freePorts returns n pairs in a row that nobody uses.
func freePorts(t *testing.T, n int) *ports {
	t.Helper()
	for low := 30000; low < 32000; low += 2 * n {
		p := &ports{host: "127.0.0.1", low: low, high: low + 2*(n-1), next: low}
		free := true
		for port := low; port < low+2*n && free; port++ {
			conn, err := listenUDP("127.0.0.1", port)
			if free = err == nil; free {
				conn.Close()
			}
		}
		if free {
			return p
		}
	}
	t.Fatal("no free ports")
	return nil
}

func TestAPeerThatHoldsIsSentNothing(t *testing.T) {
	m, err := newMedia(freePorts(t, 1), loopback, []codec{pcma, pcmu}, dtmfPayload)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	ear, err := listenUDP("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	tell := func(attribute string) []byte {
		t.Helper()
		l := local{addr: loopback, port: ear.LocalAddr().(*net.UDPAddr).Port, codecs: []codec{pcma}, dtmf: noDTMF, dir: direction(attribute)}
		return l.marshal()
	}
	if err := m.accept(tell("sendrecv")); err != nil {
		t.Fatal(err)
	}
	packet := append([]byte{0x80, 8, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, make([]byte, frameSamples)...)
	hears := func() bool {
		t.Helper()
		m.relay(packet, 12, m.path.Load())
		_ = ear.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := ear.Read(make([]byte, 2048))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, c := range []struct {
		says, answer direction
		hears        bool
	}{
		{sendRecv, sendRecv, true}, {sendOnly, recvOnly, false}, {recvOnly, sendOnly, true}, {inactive, inactive, false},
	} {
		body, err := m.answer(tell(string(c.says)))
		if err != nil {
			t.Fatal(err)
		}
		if ours, err := parseSDP(body, []codec{pcma}); err != nil || ours.dir != c.answer {
			t.Errorf("%s is answered with %s %v, want %s", c.says, ours.dir, err, c.answer)
		}
		if got := hears(); got != c.hears {
			t.Errorf("a peer that says %s is sent sound: %t", c.says, got)
		}
	}
}
