// Package sip makes legs on a SIP trunk as a back-to-back user agent (RFC
// 3261): every leg is a call of its own, with our session description on both
// sides, and sound is relayed between them.
//
// It speaks UDP and G.711. sipgo parses, sends and keeps the transactions; the
// life of an INVITE is ours (uac.go), because a leg owes exactly one end
// whatever the peer does: a CANCEL waits for the first response, an answer
// that crosses it is acknowledged and ended, and nothing is concluded from the
// order in which responses arrive.
package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
)

// readBuffer is room for a burst of messages, in bytes.
const readBuffer = 4 << 20

// ourName is the user part of our own URIs, and our User-Agent.
const ourName = "ringback"

// Driver makes legs on one trunk. It implements dialer.Driver.
type Driver struct {
	log      *slog.Logger
	endpoint endpoint
	proxy    *msg.Uri
	codecs   []codec
	ports    ports
	host     netip.Addr // as the peer sees us
	port     int

	ua     *sipgo.UserAgent
	client *sipgo.Client
	conn   *net.UDPConn
	kill   chan struct{}  // closed: wait for nobody
	wg     sync.WaitGroup // legs, and what they sent
	served chan struct{}  // closed: the listener is gone

	mu     sync.Mutex
	legs   map[dialer.LegID]*leg
	closed bool
}

// New opens the trunk's SIP address and returns the driver; every fault of the
// options is reported at once. The caller closes it.
func New(o Options) (*Driver, error) {
	s, err := o.check()
	if err != nil {
		return nil, err
	}
	d := &Driver{
		log: s.log, endpoint: s.endpoint, proxy: s.proxy, codecs: s.codecs,
		ports: ports{host: s.listen.Addr().String(), low: s.low, high: s.high, next: s.low},
		host:  s.advertise.Addr(),
		kill:  make(chan struct{}), served: make(chan struct{}), legs: map[dialer.LegID]*leg{},
	}
	if d.conn, err = listenUDP(s.listen.Addr().String(), int(s.listen.Port())); err != nil {
		return nil, fmt.Errorf("open the SIP address: %w", err)
	}
	_ = d.conn.SetReadBuffer(readBuffer) // as far as the kernel lets us
	d.port = d.conn.LocalAddr().(*net.UDPAddr).Port
	if s.advertise.Port() != 0 {
		d.port = int(s.advertise.Port())
	}
	if err := d.start(); err != nil {
		_ = d.conn.Close()
		return nil, fmt.Errorf("start the SIP stack: %w", err)
	}
	return d, nil
}

// start brings up sipgo on our socket. Its log is left out: it holds whole
// messages, numbers included.
func (d *Driver) start() (err error) {
	silent := slog.New(slog.DiscardHandler)
	d.ua, err = sipgo.NewUA(sipgo.WithUserAgent(ourName),
		sipgo.WithUserAgentTransportLayerOptions(msg.WithTransportLayerLogger(silent)),
		sipgo.WithUserAgentTransactionLayerOptions(
			msg.WithTransactionLayerLogger(silent),
			msg.WithTransactionLayerUnhandledResponseHandler(func(*msg.Response) {})))
	if err != nil {
		return err
	}
	server, err := sipgo.NewServer(d.ua, sipgo.WithServerLogger(silent))
	if err != nil {
		return err
	}
	server.OnNoRoute(d.serve)
	d.client, err = sipgo.NewClient(d.ua, sipgo.WithClientLogger(silent),
		sipgo.WithClientConnectionAddr(d.conn.LocalAddr().String()))
	if err != nil {
		return err
	}
	reading := make(chan struct{})
	go func() {
		defer close(d.served)
		if err := server.ServeUDP(&announcing{UDPConn: d.conn, reading: reading}); err != nil {
			d.log.Error("sip listener failed", "err", err)
		}
	}()
	<-reading
	return nil
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

// Originate starts a leg: an INVITE with our session description.
func (d *Driver) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	if o.ID == "" || strings.ContainsFunc(string(o.ID), notCallID) {
		return errors.New("the id of the leg cannot be a Call-ID")
	}
	uri, err := d.endpoint.uri(o.Number)
	if err != nil {
		return err
	}
	codecs, dtmf := d.codecs, dtmfPayload
	var partner *leg
	if o.Partner != "" {
		if partner, err = d.answered(o.Partner); err != nil {
			return err
		}
		p := partner.media.path.Load()
		codecs, dtmf = []codec{p.codec}, p.dtmf
	}
	sound, err := newMedia(&d.ports, d.host, codecs, dtmf)
	if err != nil {
		return err
	}
	l := newLeg(d, o, sound, events)
	l.partner = partner
	l.invite = d.newInvite(uri, o, sound.offer())
	if err := d.add(l); err != nil {
		sound.close()
		return err
	}
	go func() {
		defer d.wg.Done()
		l.run(ctx)
	}()
	return nil
}

// add notes a leg that is about to run.
func (d *Driver) add(l *leg) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("the driver is closed")
	}
	if _, ok := d.legs[l.id]; ok {
		return fmt.Errorf("leg %s exists already", l.id)
	}
	d.legs[l.id] = l
	d.wg.Add(1)
	return nil
}

func (d *Driver) forget(l *leg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.legs, l.id)
}

func (d *Driver) leg(id dialer.LegID) *leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.legs[id]
}

// answered returns a leg that was answered and has not ended.
func (d *Driver) answered(id dialer.LegID) (*leg, error) {
	l := d.leg(id)
	if l == nil || !l.talking() {
		return nil, fmt.Errorf("leg %s is not answered", id)
	}
	return l, nil
}

// Ringback plays ringing tone to an answered leg, or stops it. It gives way to
// early media of the leg's partner.
func (d *Driver) Ringback(_ context.Context, id dialer.LegID, on bool) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	l.media.ring(on)
	return nil
}

// Bridge relays sound between two answered legs.
func (d *Driver) Bridge(_ context.Context, a, b dialer.LegID) error {
	x, errX := d.answered(a)
	y, errY := d.answered(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if cx, cy := x.media.path.Load().codec, y.media.path.Load().codec; cx != cy {
		return fmt.Errorf("legs %s and %s speak %s and %s", a, b, cx.name, cy.name)
	}
	x.media.ring(false)
	y.media.ring(false)
	x.media.hearsFrom(y.media)
	y.media.hearsFrom(x.media)
	return nil
}

// Hangup ends a leg: by a CANCEL before it was answered, by a BYE after.
func (d *Driver) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	if l := d.leg(id); l != nil {
		l.hangUp(reason)
	}
	return nil
}

// Health is nil while our SIP address is open. Whether the peer answers is
// learnt from calls.
func (d *Driver) Health(context.Context) error {
	select {
	case <-d.served:
		return errors.New("the SIP address is closed")
	default:
		return nil
	}
}

// Close hangs up every leg and waits until the peers have heard of it, or
// until ctx is over; then it returns ctx's error. The legs' ends are told
// before it returns.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.served
		return nil
	}
	d.closed = true
	for _, l := range d.legs {
		l.hangUp(dialer.HangupCancel)
	}
	d.mu.Unlock()
	quiet := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(quiet)
	}()
	var err error
	select {
	case <-quiet:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	close(d.kill)
	<-quiet
	_ = d.ua.Close() // its sockets are ours
	_ = d.conn.Close()
	<-d.served
	return err
}

// deliver sends a request of its own transaction and waits for its final
// response; an unreachable peer costs 64 × T1 (RFC 3261, section 17.1.2).
func (d *Driver) deliver(req *msg.Request) {
	if tx := d.send(req); tx != nil {
		d.settle(tx)
	}
}

// send begins a transaction; nil if the request could not be sent.
func (d *Driver) send(req *msg.Request) msg.ClientTransaction {
	tx, err := d.client.TransactionRequest(context.Background(), req)
	if err != nil {
		d.log.Warn("sip request not sent", "leg", req.CallID().Value(), "err", err)
		return nil
	}
	return tx
}

// settle waits for the final response.
func (d *Driver) settle(tx msg.ClientTransaction) {
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return
			}
		case <-tx.Done():
			return
		case <-d.kill:
			return
		}
	}
}

// locate finds the address of the next hop, so that an INVITE and its CANCEL
// go to the same one.
func (d *Driver) locate(ctx context.Context, req *msg.Request) error {
	next := req.Recipient
	if d.proxy != nil {
		next = *d.proxy
	}
	host, port, err := net.SplitHostPort(hostPort(next))
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		network := "ip6"
		if d.host.Is4() {
			network = "ip4"
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		found, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
		if err != nil {
			return err
		}
		host = found[0].Unmap().String()
	}
	req.SetDestination(net.JoinHostPort(host, port))
	return nil
}
