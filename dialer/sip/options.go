package sip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// What stands for an option that is not given.
const (
	defaultListen = "0.0.0.0:5060"
	defaultPorts  = "20000-29999"
)

// Options are what a Driver works with.
type Options struct {
	Trunks   []Trunk // at least one
	Log      *slog.Logger
	Resolver *net.Resolver // of the names of trunks; nil: the system's
}

// Trunk is a SIP trunk as it is configured. Trunks that name the same Listen
// share that address.
type Trunk struct {
	Name          string        // unique; dialer.Originate says it
	Endpoint      string        // "sip:{number}@host:port;transport=udp"; {number}: digits only, {e164}: with the +
	Listen        string        // our SIP address, IP:port; "": 0.0.0.0:5060; port 0: any
	Advertise     string        // our address as the peer sees it, IP or IP:port; "": the one that is used toward it
	RTPPorts      string        // "" is 20000-29999; trunks may share them
	Codecs        []string      // of PCMA and PCMU, the preferred first; none: both
	Username      string        // answers to a challenge of the trunk; "": it asks for none
	Password      string        // of Username
	Probe         time.Duration // between two OPTIONS that see whether the peer is there; 0: none
	Silence       time.Duration // of an answered leg's peer that ends it: it is taken for dead; 0: none does
	Direct        bool          // sound goes from peer to peer, past us, where both trunks of a call say so
	Register      bool          // the trunk wants Username to be registered
	TLSCert       string        // PEM file of our certificate, shown to the peer; "": none, and no TLS is listened for
	TLSKey        string        // PEM file of its key
	TLSCA         string        // PEM file of who may vouch for the peer; "": the system's
	OutboundProxy string        // host:port that every INVITE is sent to; "": the endpoint's host
}

// settings are options that were understood.
type settings struct {
	name string
	credentials
	probe     time.Duration
	silence   time.Duration
	register  bool
	direct    bool
	tls       *tls.Config // nil unless over TLS
	log       *slog.Logger
	endpoint  endpoint
	proxy     *msg.Uri
	listen    netip.AddrPort
	advertise netip.AddrPort // port 0: the one that is listened on
	low, high int            // RTP ports
	codecs    []codec
	finder    finder
}

// Check returns every fault of the options, of addresses that are in use, too,
// and leaves nothing open.
func Check(o Options) error {
	d, err := open(o)
	if err == nil {
		d.shut()
	}
	return err
}

// check reads the options and returns every fault of them, beside the trunks
// that have none.
func (o Options) check() ([]settings, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	resolver := o.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	var list []settings
	var faults []error
	if len(o.Trunks) == 0 {
		faults = append(faults, errors.New("there is no trunk"))
	}
	names := map[string]bool{}
	for _, t := range o.Trunks {
		s, err := t.check(resolver)
		if names[t.Name] {
			err = errors.Join(errors.New("is there twice"), err)
		}
		names[t.Name] = true
		if err != nil {
			faults = append(faults, fmt.Errorf("trunk %s: %w", t.Name, err))
			continue
		}
		s.log = log.With("trunk", t.Name)
		list = append(list, s)
	}
	return list, errors.Join(faults...)
}

// check reads the options of one trunk.
func (o Trunk) check(resolver *net.Resolver) (settings, error) {
	s := settings{name: o.Name, credentials: credentials{o.Username, o.Password}, probe: o.Probe, silence: o.Silence, register: o.Register, direct: o.Direct}
	var faults []error
	fault := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %w", field, err))
		}
	}
	var err, badEndpoint, badListen error
	s.endpoint, badEndpoint = parseEndpoint(o.Endpoint)
	fault("endpoint", badEndpoint)
	s.proxy, err = parseProxy(o.OutboundProxy, s.endpoint.over)
	fault("outbound_proxy", err)
	s.listen, badListen = parseListen(or(o.Listen, defaultListen))
	fault("listen", badListen)
	s.low, s.high, err = parsePorts(or(o.RTPPorts, defaultPorts))
	fault("rtp_ports", err)
	s.codecs, err = parseCodecs(o.Codecs)
	fault("codecs", err)
	s.finder = finder{resolver: resolver, over: s.endpoint.over, v4: s.listen.Addr().Is4()}
	switch {
	case o.Advertise != "":
		s.advertise, err = parseAdvertise(o.Advertise)
		fault("advertise", err)
	case badEndpoint == nil && badListen == nil:
		s.advertise, err = s.ownAddress()
		fault("advertise", err)
	}
	s.tls, err = tlsConfig(o, s.endpoint.over, s.next().Host)
	fault("tls", err)
	if o.Register && o.Username == "" {
		fault("register", errors.New("needs a username and a password"))
	}
	if (o.Username == "") != (o.Password == "") {
		fault("username", errors.New("and password go together"))
	}
	if len(faults) == 0 && s.advertise.Addr().Is4() != s.listen.Addr().Is4() {
		fault("advertise", errors.New("must be of the same IP version as listen"))
	}
	return s, errors.Join(faults...)
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func parseListen(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, errors.New("must be an IP address and a port such as 0.0.0.0:5060")
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

func parseAdvertise(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil && !addr.IsUnspecified() {
		return netip.AddrPortFrom(addr.Unmap(), 0), nil
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil || addr.Addr().IsUnspecified() {
		return netip.AddrPort{}, errors.New("must be an IP address, with or without a port")
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

// next is where requests outside of dialogs go, as it is named.
func (s settings) next() msg.Uri {
	if s.proxy != nil {
		return *s.proxy
	}
	return s.endpoint.template
}

// ownAddress returns the address we have toward the peer: the one we listen on,
// or, if that is all of them, the one the kernel would send from.
func (s settings) ownAddress() (netip.AddrPort, error) {
	if !s.listen.Addr().IsUnspecified() {
		return netip.AddrPortFrom(s.listen.Addr(), 0), nil
	}
	ctx := context.Background()
	peers, err := s.finder.find(ctx, s.next())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("is needed, our address toward %s is not known: %w", s.next().Host, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", peers[0].String()) // sends nothing
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("is needed, our address toward %s is not known: %w", peers[0], err)
	}
	defer conn.Close()
	addr, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), 0), nil
}

// tlsConfig reads the certificates of a trunk whose peer goes by name.
func tlsConfig(o Trunk, over transport, name string) (*tls.Config, error) {
	given := o.TLSCert != "" || o.TLSKey != "" || o.TLSCA != ""
	switch {
	case over != overTLS && given:
		return nil, errors.New("files are of use only with transport=tls in the endpoint")
	case over != overTLS:
		return nil, nil
	case (o.TLSCert == "") != (o.TLSKey == ""):
		return nil, errors.New("certificate and key go together")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: strings.Trim(name, "[]")}
	if o.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("certificate cannot be used: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if o.TLSCA != "" {
		pem, err := os.ReadFile(o.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("authority cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("authority has no certificate in " + o.TLSCA)
		}
	}
	return c, nil
}
