package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// trunk is a way out as the driver uses it.
type trunk struct {
	name     string
	log      *slog.Logger
	kill     <-chan struct{} // closed: wait for nobody
	station  *station
	endpoint endpoint
	proxy    *msg.Uri
	codecs   []codec
	ports    ports
	host     netip.Addr // as the peer sees us
	port     int

	credentials credentials   // username "": the trunk asks for none
	probeEvery  time.Duration // 0: never
	direct      bool          // sound may go past us
	silence     time.Duration // after which a leg that sends no sound is dead; 0: never
	register    bool
	condition   condition
	finder      finder
}

// newTrunk returns a trunk on an address of ours.
func newTrunk(s settings, at *station, kill <-chan struct{}) *trunk {
	t := &trunk{
		name: s.name, log: s.log, kill: kill, station: at, endpoint: s.endpoint, proxy: s.proxy, codecs: s.codecs,
		ports: ports{host: s.listen.Addr().String(), low: s.low, high: s.high, next: s.low},
		host:  s.advertise.Addr(), port: int(at.addr.Port()), credentials: s.credentials, probeEvery: s.probe, finder: s.finder, silence: s.silence, register: s.register, direct: s.direct,
	}
	if list, err := netip.ParseAddr(strings.Trim(s.next().Host, "[]")); err == nil {
		t.condition.peers = []netip.Addr{list.Unmap()}
	}
	t.condition.avoid = map[netip.AddrPort]time.Time{}
	if t.register {
		t.condition.unregistered = errNotYet
	}
	if s.advertise.Port() != 0 {
		t.port = int(s.advertise.Port())
	}
	return t
}

// via is the Via header of a request of ours; rport asks for the answer to
// come back the way it went (RFC 3581).
func (t *trunk) via() *msg.ViaHeader {
	v := &msg.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: string(t.station.over),
		Host: uriHost(t.host.String()), Port: t.port,
	}
	v.Params.Add("branch", msg.RFC3261BranchMagicCookie+rand.Text())
	v.Params.Add("rport", "")
	return v
}

func (t *trunk) contact() *msg.ContactHeader {
	uri := msg.Uri{Scheme: "sip", User: ourName, Host: uriHost(t.host.String()), Port: t.port}
	if t.station.over != overUDP {
		uri.UriParams.Add("transport", strings.ToLower(string(t.station.over)))
	}
	return &msg.ContactHeader{Address: uri}
}

// deliver sends a request of its own transaction and waits for its final
// response; an unreachable peer costs 64 × T1 (RFC 3261, section 17.1.2) and
// gives nil. A challenge is answered: last is the request that was sent last.
func (t *trunk) deliver(req *msg.Request) (last *msg.Request, res *msg.Response) {
	for {
		tx := t.send(req)
		if tx == nil {
			return req, nil
		}
		if res = t.settle(tx); res == nil {
			return req, nil
		}
		next, ok := t.prove(req, res)
		if !ok {
			return req, res
		}
		req = next
	}
}

// send begins a transaction; nil if the request could not be sent.
func (t *trunk) send(req *msg.Request) msg.ClientTransaction {
	tx, err := t.begin(context.Background(), req)
	if err != nil {
		t.log.Warn("sip request not sent", "leg", req.CallID().Value(), "err", unsent(err))
		return nil
	}
	return tx
}

// connectLimit is how long a connection may take that a request needs.
const connectLimit = 8 * time.Second

// begin starts a transaction over the trunk's transport, connecting first if
// there is need.
func (t *trunk) begin(ctx context.Context, req *msg.Request) (msg.ClientTransaction, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	if req.MessageData.Destination() == "" {
		if err := t.locate(ctx, req); err != nil {
			return nil, err
		}
	}
	t.fit(req)
	req.SetTransport(string(t.station.over))
	return t.station.client.TransactionRequest(ctx, req)
}

// unsent is why a request was not sent, without the request itself, which
// sipgo repeats, numbers included.
func unsent(err error) error {
	switch text := err.Error(); {
	case errors.Is(err, msg.ErrUDPMTUCongestion):
		return errors.New("request too long for a datagram")
	case strings.Contains(text, "req="):
		return errors.New("not sent: " + text[strings.LastIndex(text, ": ")+1:])
	}
	return err
}

// fit leaves out what a request can do without if it is too long for a
// datagram (RFC 3261, section 18.1.1).
func (t *trunk) fit(req *msg.Request) {
	const limit = 1300
	if t.station.over != overUDP || len(req.String()) <= limit {
		return
	}
	from := *req.From()
	from.DisplayName = ""
	req.ReplaceHeader(&from)
	if len(req.String()) > limit {
		req.RemoveHeader("User-Agent")
		req.RemoveHeader("Allow")
	}
}

// settle waits for the final response; nil if none comes.
func (t *trunk) settle(tx msg.ClientTransaction) *msg.Response {
	defer tx.Terminate()
	return t.final(tx)
}

// final is settle without the end of the transaction.
func (t *trunk) final(tx msg.ClientTransaction) *msg.Response {
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res
			}
		case <-tx.Done():
			return nil
		case <-t.kill:
			return nil
		}
	}
}
