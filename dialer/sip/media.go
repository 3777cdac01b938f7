package sip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

// maxDatagram is more than any packet of 20 ms of G.711; a longer one is cut
// and no longer worth relaying.
const maxDatagram = 2048

// ports hands out pairs of UDP ports: even for RTP, the next for RTCP (RFC
// 3550, section 11).
type ports struct {
	host      string
	low, high int // even; the first and the last pair

	mu   sync.Mutex
	next int
}

// parsePorts reads a range such as "20000-29999".
func parsePorts(s string) (low, high int, err error) {
	a, b, ok := strings.Cut(s, "-")
	low, errLow := strconv.Atoi(strings.TrimSpace(a))
	high, errHigh := strconv.Atoi(strings.TrimSpace(b))
	if !ok || errLow != nil || errHigh != nil || low < 1024 || high > 65535 {
		return 0, 0, errors.New(`must be a range of ports such as "20000-29999", from 1024 to 65535`)
	}
	low += low % 2
	high = (high - 1) / 2 * 2
	if high < low {
		return 0, 0, errors.New("must hold at least one pair of an even port and the next")
	}
	return low, high, nil
}

// open binds the next free pair. A pair that was just returned comes last, so
// that late packets of one call do not reach the next.
func (p *ports) open() (rtpConn, rtcpConn *net.UDPConn, err error) {
	pairs := (p.high-p.low)/2 + 1
	for range pairs {
		p.mu.Lock()
		port := p.next
		p.next += 2
		if p.next > p.high {
			p.next = p.low
		}
		p.mu.Unlock()
		if rtpConn, err = listenUDP(p.host, port); err != nil {
			continue
		}
		if rtcpConn, err = listenUDP(p.host, port+1); err != nil {
			_ = rtpConn.Close()
			continue
		}
		return rtpConn, rtcpConn, nil
	}
	return nil, nil, fmt.Errorf("no free pair of RTP ports in %d-%d: %w", p.low, p.high+1, err)
}

// listenUDP binds a UDP port on host; "0.0.0.0" is every IPv4 address.
func listenUDP(host string, port int) (*net.UDPConn, error) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	network := "udp6"
	if addr.Is4() {
		network = "udp4"
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))))
}

// path is what was agreed with a peer, and where it was found to be. It is
// never changed, only replaced.
type path struct {
	remote
	latched netip.AddrPort // where its packets come from
}

// dest is where the peer is sent to: where it was heard from, else where it
// said it is.
func (p *path) dest() netip.AddrPort {
	if p.latched.IsValid() {
		return p.latched
	}
	return p.addr
}

// codecs are what the peer takes.
func (p *path) codecs() []codec {
	if p.law == (codec{}) || p.law == p.codec {
		return []codec{p.codec}
	}
	return []codec{p.codec, p.law}
}

// knows reports whether a payload type was agreed.
func (p *path) knows(payload int) bool {
	return payload == int(p.codec.payload) || payload == p.dtmf || p.law.isLaw() && payload == int(p.law.payload)
}

// media is one leg's sound: its sockets, what was agreed, and whom its peer is
// heard by.
type media struct {
	conn     *net.UDPConn
	rtcp     *net.UDPConn // of reports, rtcp.go
	path     atomic.Pointer[path]
	sink     atomic.Pointer[media]          // who hears this peer
	reporter atomic.Pointer[netip.AddrPort] // where the peer's reports come from
	fed      atomic.Bool                    // this peer hears somebody, not our tone
	busy     atomic.Int32                   // over 0: this peer is played a sound, and hears nobody
	last     atomic.Int64                   // when the peer was heard last, in Unix nanoseconds
	wg       sync.WaitGroup

	mu    sync.Mutex // over what follows, and over replacing path
	local local
	tone  chan struct{} // stops what is played; nil: nothing
	over  bool
}

// newMedia opens the sockets of a leg that offers codecs at addr.
func newMedia(p *ports, addr netip.Addr, codecs []codec, dtmf int) (*media, error) {
	conn, rtcp, err := p.open()
	if err != nil {
		return nil, err
	}
	m := &media{conn: conn, rtcp: rtcp}
	m.local = local{
		id: uint64(rand.Uint32()), version: 1, addr: addr, port: conn.LocalAddr().(*net.UDPAddr).Port,
		codecs: codecs, dtmf: dtmf, dir: sendRecv,
	}
	m.wg.Go(m.listen)
	m.wg.Go(m.listenReports)
	return m, nil
}

// offer returns our session description as it stands.
func (m *media) offer() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.describe()
}

func (m *media) describe() []byte {
	l := m.local
	if p := m.path.Load(); p != nil {
		l.codecs = p.codecs()
	}
	return l.marshal()
}

// next labels a new description of ours.
func (m *media) next() label {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local.version++
	return label{m.local.id, m.local.version, m.local.addr}
}

// resume returns a new offer that lets the peer speak and hear.
func (m *media) resume() []byte {
	m.next()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.local.dir = sendRecv
	return m.describe()
}

// accept takes a peer's answer to our offer; a later one replaces it, because
// early media may have come from another branch.
func (m *media) accept(body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agree(body, m.local.codecs)
}

// answer takes a peer's new offer and returns our answer. The codec stays.
func (m *media) answer(body []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.agree(body, m.path.Load().codecs()); err != nil {
		return nil, err
	}
	p := m.path.Load()
	m.local.dir, m.local.dtmf = p.dir.mirror(), p.dtmf
	m.local.version++
	return m.describe(), nil
}

func (m *media) agree(body []byte, codecs []codec) error {
	r, err := parseSDP(body, codecs)
	if err != nil {
		return err
	}
	p := &path{remote: r}
	m.last.Store(time.Now().UnixNano()) // its silence begins anew
	if old := m.path.Load(); old != nil && old.addr == r.addr {
		p.latched = old.latched
	}
	m.path.Store(p)
	return nil
}

// listen relays what the peer says until the socket is closed.
func (m *media) listen() {
	buf := make([]byte, maxDatagram)
	var header rtp.Header
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		size, err := header.Unmarshal(buf[:n])
		if err != nil || header.Version != 2 {
			continue
		}
		p := m.heard(int(header.PayloadType), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		if p == nil {
			continue
		}
		m.last.Store(time.Now().UnixNano())
		if sink := m.sink.Load(); sink != nil {
			sink.relay(buf[:n], size, p)
		}
	}
}

// heard returns the path a packet came by; nil if it is not the peer's. The
// first source of a sensible packet is the peer (it may be behind a NAT);
// afterwards nobody else is believed, except the address it told us itself.
func (m *media) heard(payload int, from netip.AddrPort) *path {
	p := m.path.Load()
	if p == nil || !p.knows(payload) {
		return nil
	}
	if p.latched == from {
		return p
	}
	if p.latched.IsValid() && from != p.addr {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	latched := *m.path.Load()
	latched.latched = from
	m.path.Store(&latched)
	return &latched
}

// silentAt is when the peer will have been silent for so long; zero: never,
// because it may be, or holds.
func (m *media) silentAt(limit time.Duration) time.Time {
	p := m.path.Load()
	if limit == 0 || p == nil || p.dir == recvOnly || p.dir == inactive {
		return time.Time{}
	}
	return time.Unix(0, m.last.Load()).Add(limit)
}

// relay sends this peer a packet of another leg, whose sound begins at from: as
// it is, if both speak its codec, or from one G.711 into the other.
func (m *media) relay(packet []byte, from int, spoken *path) {
	p := m.path.Load()
	if p == nil || m.busy.Load() > 0 {
		return
	}
	var payload int
	switch pt := int(packet[1] & 0x7f); pt {
	case spoken.dtmf:
		payload = p.dtmf
	case int(spoken.codec.payload):
		payload = p.fit(packet, from, spoken.codec)
	default:
		payload = p.fit(packet, from, spoken.law)
	}
	if payload < 0 { // this peer does not speak it
		return
	}
	packet[1] = packet[1]&0x80 | uint8(payload)
	if !m.fed.Load() {
		m.fed.Store(true)
	}
	m.write(p, packet)
}

// fit makes a packet one that the peer takes, and returns its payload type
// there; less than 0: there is none.
func (p *path) fit(packet []byte, from int, spoken codec) int {
	switch {
	case p.codec.same(spoken):
		return int(p.codec.payload)
	case p.law.same(spoken):
		return int(p.law.payload)
	case !spoken.isLaw() || !p.law.isLaw():
		return -1
	}
	if packet[0]&0x20 == 0 { // else its end is padding
		convert(packet[from:], p.law)
	}
	return int(p.law.payload)
}

// write sends a packet unless the peer holds. A lost packet is no matter.
func (m *media) write(p *path, packet []byte) {
	if dest := p.dest(); dest.IsValid() && p.dir.hears() {
		_, _ = m.conn.WriteToUDPAddrPort(packet, dest)
	}
}

// hearsFrom lets this peer hear other.
func (m *media) hearsFrom(other *media) { other.sink.Store(m) }

// close ends the leg's sound and gives the ports back. It may be called twice.
func (m *media) close() {
	m.mu.Lock()
	m.over = true
	m.quiet()
	m.mu.Unlock()
	m.sink.Store(nil)
	_ = m.conn.Close()
	_ = m.rtcp.Close()
	m.wg.Wait()
}
