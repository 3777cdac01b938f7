package sip

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"

	"github.com/emiago/sipgo"
	msg "github.com/emiago/sipgo/sip"
)

// readBuffer is room for a burst of messages, in bytes.
const readBuffer = 4 << 20

// transport is what SIP is carried over, as Via names it.
type transport string

const (
	overUDP transport = "UDP"
	overTCP transport = "TCP"
	overTLS transport = "TLS"
)

// station is a SIP address of our own; trunks that listen on the same one
// share it, but over TLS each has its own: the name that its peer proves
// differs.
type station struct {
	listen netip.AddrPort // as it was configured
	over   transport
	tls    *tls.Config // of overTLS
	ua     *sipgo.UserAgent
	client *sipgo.Client
	addr   netip.AddrPort
	shut   func() error  // closes the socket that is listened on
	served chan struct{} // closed: the listener is gone
}

// newStation opens a SIP address and serves what comes there: requests, and
// responses that nobody waits for.
func newStation(s settings, serve sipgo.RequestHandler, stray func(*station, *msg.Response)) (*station, error) {
	at := &station{listen: s.listen, over: s.endpoint.over, tls: s.tls, served: make(chan struct{})}
	server, err := at.stack(serve, func(res *msg.Response) { stray(at, res) })
	if err != nil {
		return nil, fmt.Errorf("start the SIP stack: %w", err)
	}
	if err := at.open(server, s.log); err != nil {
		_ = at.ua.Close()
		return nil, fmt.Errorf("open the SIP address: %w", err)
	}
	return at, nil
}

// stack brings up sipgo. Its log is left out: it holds whole messages, numbers
// included.
func (s *station) stack(serve sipgo.RequestHandler, stray msg.UnhandledResponseHandler) (server *sipgo.Server, err error) {
	silent := slog.New(slog.DiscardHandler)
	s.ua, err = sipgo.NewUA(sipgo.WithUserAgent(ourName), sipgo.WithUserAgenTLSConfig(s.tls),
		sipgo.WithUserAgentTransportLayerOptions(msg.WithTransportLayerLogger(silent)),
		sipgo.WithUserAgentTransactionLayerOptions(
			msg.WithTransactionLayerLogger(silent),
			msg.WithTransactionLayerUnhandledResponseHandler(stray)))
	if err != nil {
		return nil, err
	}
	if server, err = sipgo.NewServer(s.ua, sipgo.WithServerLogger(silent)); err != nil {
		return nil, err
	}
	server.OnNoRoute(serve)
	s.client, err = sipgo.NewClient(s.ua, sipgo.WithClientLogger(silent))
	return server, err
}

// open binds the address and serves it.
func (s *station) open(server *sipgo.Server, log *slog.Logger) error {
	var run func() error
	switch {
	case s.over == overUDP:
		conn, err := listenUDP(s.listen.Addr().String(), int(s.listen.Port()))
		if err != nil {
			return err
		}
		_ = conn.SetReadBuffer(readBuffer) // as far as the kernel lets us
		s.addr, s.shut = conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn.Close
		if s.client, err = sipgo.NewClient(s.ua, sipgo.WithClientLogger(slog.New(slog.DiscardHandler)),
			sipgo.WithClientConnectionAddr(conn.LocalAddr().String())); err != nil {
			return errors.Join(err, conn.Close())
		}
		reading := make(chan struct{})
		defer func() { <-reading }()
		run = func() error { return server.ServeUDP(&announcing{UDPConn: conn, reading: reading}) }
	case s.over == overTLS && len(s.tls.Certificates) == 0: // the peer talks on the connection that we open
		s.addr = s.listen
		stop := make(chan struct{})
		s.shut = func() error { close(stop); return nil }
		run = func() error { <-stop; return nil }
	default:
		listener, err := listenTCP(s.listen)
		if err != nil {
			return err
		}
		s.addr, s.shut = listener.Addr().(*net.TCPAddr).AddrPort(), listener.Close
		run = func() error { return server.ServeTCP(listener) }
		if s.over == overTLS {
			run = func() error { return server.ServeTLS(tls.NewListener(listener, s.tls)) }
		}
	}
	go func() {
		defer close(s.served)
		if err := run(); err != nil && !errors.Is(err, net.ErrClosed) {
			log.Error("sip listener failed", "err", err)
		}
	}()
	return nil
}

// listenTCP binds a TCP port; "0.0.0.0" is every IPv4 address.
func listenTCP(at netip.AddrPort) (*net.TCPListener, error) {
	network := "tcp6"
	if at.Addr().Is4() {
		network = "tcp4"
	}
	return net.ListenTCP(network, net.TCPAddrFromAddrPort(at))
}

// close gives the address back.
func (s *station) close() {
	_ = s.ua.Close() // its sockets are ours
	_ = s.shut()
	<-s.served
}

// announcing tells when it is read first: only then does sipgo know the socket
// and send from it.
type announcing struct {
	*net.UDPConn
	once    sync.Once
	reading chan struct{}
	early   bool // what was read last is a provisional response
}

// ReadFrom reads one datagram; after a provisional response, once that is on
// its way: sipgo gives each message to a goroutine of its own, and of two that
// came together the scheduler would run the later one first.
func (a *announcing) ReadFrom(b []byte) (int, net.Addr, error) {
	a.once.Do(func() { close(a.reading) })
	if a.early {
		runtime.Gosched()
	}
	n, from, err := a.UDPConn.ReadFrom(b)
	a.early = bytes.HasPrefix(b[:max(n, 0)], []byte("SIP/2.0 1"))
	return n, from, err
}
