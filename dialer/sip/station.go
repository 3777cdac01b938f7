package sip

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"github.com/emiago/sipgo"
	msg "github.com/emiago/sipgo/sip"
)

// readBuffer is room for a burst of messages, in bytes.
const readBuffer = 4 << 20

// station is a SIP address of our own; trunks that listen on the same one
// share it.
type station struct {
	listen netip.AddrPort // as it was configured
	ua     *sipgo.UserAgent
	client *sipgo.Client
	conn   *net.UDPConn
	served chan struct{} // closed: the listener is gone
}

// newStation opens a SIP address and serves what comes there.
func newStation(listen netip.AddrPort, serve sipgo.RequestHandler, log *slog.Logger) (*station, error) {
	conn, err := listenUDP(listen.Addr().String(), int(listen.Port()))
	if err != nil {
		return nil, fmt.Errorf("open the SIP address: %w", err)
	}
	_ = conn.SetReadBuffer(readBuffer) // as far as the kernel lets us
	s := &station{listen: listen, conn: conn, served: make(chan struct{})}
	if err := s.start(serve, log); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("start the SIP stack: %w", err)
	}
	return s, nil
}

// start brings up sipgo on our socket. Its log is left out: it holds whole
// messages, numbers included.
func (s *station) start(serve sipgo.RequestHandler, log *slog.Logger) (err error) {
	silent := slog.New(slog.DiscardHandler)
	s.ua, err = sipgo.NewUA(sipgo.WithUserAgent(ourName),
		sipgo.WithUserAgentTransportLayerOptions(msg.WithTransportLayerLogger(silent)),
		sipgo.WithUserAgentTransactionLayerOptions(
			msg.WithTransactionLayerLogger(silent),
			msg.WithTransactionLayerUnhandledResponseHandler(func(*msg.Response) {})))
	if err != nil {
		return err
	}
	server, err := sipgo.NewServer(s.ua, sipgo.WithServerLogger(silent))
	if err != nil {
		return err
	}
	server.OnNoRoute(serve)
	s.client, err = sipgo.NewClient(s.ua, sipgo.WithClientLogger(silent),
		sipgo.WithClientConnectionAddr(s.conn.LocalAddr().String()))
	if err != nil {
		return err
	}
	reading := make(chan struct{})
	go func() {
		defer close(s.served)
		if err := server.ServeUDP(&announcing{UDPConn: s.conn, reading: reading}); err != nil {
			log.Error("sip listener failed", "err", err)
		}
	}()
	<-reading
	return nil
}

// port is the one that is listened on.
func (s *station) port() int { return s.conn.LocalAddr().(*net.UDPAddr).Port }

// close gives the address back.
func (s *station) close() {
	_ = s.ua.Close() // its sockets are ours
	_ = s.conn.Close()
	<-s.served
}

// announcing tells when it is read first: only then does sipgo know the socket
// and send from it.
type announcing struct {
	*net.UDPConn
	once    sync.Once
	reading chan struct{}
}

// ReadFrom reads one datagram.
func (a *announcing) ReadFrom(b []byte) (int, net.Addr, error) {
	a.once.Do(func() { close(a.reading) })
	return a.UDPConn.ReadFrom(b)
}
