package sip

import (
	"net/netip"
)

// isReport reports whether a datagram is RTCP (RFC 3550, section 6.1): version
// 2, and a packet type of those that stand clear of RTP's (RFC 5761, section 4).
func isReport(b []byte) bool {
	return len(b) >= 8 && b[0]>>6 == 2 && b[1] >= 192 && b[1] <= 223
}

// listenReports passes on what the peer reports until the socket is closed.
// Packets keep their source when they are relayed, so that reports are about
// what their reader knows.
func (m *media) listenReports() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := m.rtcp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if !isReport(buf[:n]) || !m.reports(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())) {
			continue
		}
		if sink := m.sink.Load(); sink != nil {
			sink.report(buf[:n])
		}
	}
}

// reports notes where a report came from, and says whether that is the peer:
// the host that its sound comes from.
func (m *media) reports(from netip.AddrPort) bool {
	p := m.path.Load()
	if p == nil || from.Addr() != p.dest().Addr() {
		return false
	}
	m.reporter.Store(&from)
	return true
}

// report sends this peer a report: to where its own come from, else to the
// port after that of its sound (RFC 3550, section 11).
func (m *media) report(packet []byte) {
	p := m.path.Load()
	if p == nil {
		return
	}
	to := netip.AddrPortFrom(p.dest().Addr(), p.dest().Port()+1)
	if known := m.reporter.Load(); known != nil && known.Addr() == to.Addr() {
		to = *known
	}
	if to.IsValid() {
		_, _ = m.rtcp.WriteToUDPAddrPort(packet, to)
	}
}
