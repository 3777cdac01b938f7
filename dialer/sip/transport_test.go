package sip_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

func TestACallOverTCP(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		scenario string
		byPeer   bool
		want     dialer.End
	}{
		"that we end":     {"answer", false, dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs}},
		"that is refused": {"refuse", true, dialer.End{Disposition: scheduler.UserBusy, SIP: 486, Native: "Busy Here", By: scheduler.ByPeer}},
		"that is cancelled": {"cancelled", false, dialer.End{
			Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs,
		}},
		"that the peer ends": {"hangs_up", true, dialer.End{
			Disposition: scheduler.Answered, Q850: 31, SIP: 200, By: scheduler.ByPeer,
			Native: `SIP;cause=200;text="a, b;cause=9", Q.850;cause=31;text="Normal, unspecified"`,
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := sipptest.Start(t, sipptest.Options{
				Scenario: "testdata/" + c.scenario + ".xml", TCP: true,
				Keys: map[string]string{"status": "486", "phrase": "Busy Here", "extra": "Server: peer"},
			})
			d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s;transport=tcp", peer.Addr)})
			leg := place(t, d, nil)
			leg.next(dialer.Ringing)
			if c.want.Disposition == scheduler.Answered {
				leg.next(dialer.Answered)
			}
			if !c.byPeer {
				leg.hangUp(dialer.HangupCancel)
			}
			leg.ends(c.want)
			peer.Wait()
			if !strings.Contains(peer.Messages(), "Via: SIP/2.0/TCP 127.0.0.1:") || !strings.Contains(peer.Messages(), ";transport=tcp>") {
				t.Errorf("the INVITE does not say TCP\n%s", peer.Messages())
			}
		})
	}
}

func TestNobodyThereOverTCPSignalsNothing(t *testing.T) {
	t.Parallel()
	d := openTrunks(t, sip.Trunk{Endpoint: "sip:{number}@127.0.0.1:9;transport=tcp"})
	if end := place(t, d, nil).next(dialer.Ended).End; end.Disposition != scheduler.LocalError {
		t.Errorf("end %+v", end)
	}
}

// certificate makes one for names, which vouches for itself, and returns its
// PEM files.
func certificate(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestACallOverTLS goes through Kamailio, since SIPp's package has no TLS: the
// proxy asks who we are, and keeps itself in the way.
func TestACallOverTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t, "localhost")
	stranger, _ := certificate(t, "localhost")
	for claim, c := range map[string]struct {
		ca, cert, key string
		fine          bool
	}{
		"to a proxy that proves its name":    {cert, "", "", true},
		"with a certificate of our own":      {cert, cert, key, true},
		"to a proxy that nobody vouches for": {stranger, "", "", false},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			proxy := sipptest.StartProxy(t, sipptest.ProxyOptions{
				Username: "acme", Password: "secret", Algorithm: "MD5", TLSCert: cert, TLSKey: key,
			})
			peer := scenario(t, "behind_proxy", nil)
			d := openTrunks(t, sip.Trunk{
				Endpoint: fmt.Sprintf("sip:{number}@%s;transport=tls", peer.Addr), OutboundProxy: proxy.String(),
				Username: "acme", Password: "secret", TLSCA: c.ca, TLSCert: c.cert, TLSKey: c.key,
			})
			leg := place(t, d, nil)
			if !c.fine {
				if end := leg.next(dialer.Ended).End; end.Disposition != scheduler.LocalError || !strings.Contains(end.Native, "certificate") {
					t.Errorf("end %+v", end)
				}
				return
			}
			if e := <-leg.events; e.Kind == dialer.Ringing { // else the answer, in the same segment, was faster
				leg.next(dialer.Answered)
			} else if e.Kind != dialer.Answered {
				t.Fatalf("event %+v", e)
			}
			leg.hangUp(dialer.HangupNormal)
			leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
			peer.Wait()
		})
	}
}

func TestALongInviteIsMadeToFitADatagram(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		extra int
		want  []string
		lacks []string
	}{
		"without the name":              {425, []string{"From: <sip:", "User-Agent: "}, []string{"Rossi"}},
		"and without what we would say": {560, []string{"From: <sip:"}, []string{"Rossi", "User-Agent: ", "Allow: "}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, "cancelled", nil)
			leg := place(t, openTrunks(t, sip.Trunk{
				Endpoint: fmt.Sprintf("sip:{number}@%s;x=%s", peer.Addr, strings.Repeat("x", c.extra)),
			}), func(o *dialer.Originate) { o.Caller.Name = "Rossi " + strings.Repeat("é", 58) })
			leg.next(dialer.Ringing)
			leg.hangUp(dialer.HangupCancel)
			leg.next(dialer.Ended)
			peer.Wait()
			invite, _, _ := strings.Cut(peer.Messages(), "v=0")
			for _, w := range c.want {
				if !strings.Contains(invite, w) {
					t.Errorf("no %q in\n%s", w, invite)
				}
			}
			for _, w := range c.lacks {
				if strings.Contains(invite, w) {
					t.Errorf("%q in\n%s", w, invite)
				}
			}
		})
	}
	d := openTrunks(t, sip.Trunk{Endpoint: "sip:{number}@127.0.0.1:9;x=" + strings.Repeat("x", 1200)})
	if end := place(t, d, nil).next(dialer.Ended).End; end.Disposition != scheduler.LocalError || end.Native != "request too long for a datagram" {
		t.Errorf("an INVITE that cannot be sent: %+v", end)
	}
}

func TestTrunksOnOneAddressShareIt(t *testing.T) {
	t.Parallel()
	one, other := scenario(t, "cancelled", nil), scenario(t, "cancelled", nil)
	at := fmt.Sprintf("127.0.0.1:%d", sipptest.FreePort(t))
	d := openTrunks(t,
		sip.Trunk{Name: "test", Listen: at, Endpoint: fmt.Sprintf("sip:{number}@%s", one.Addr)},
		sip.Trunk{Name: "other", Listen: at, Endpoint: fmt.Sprintf("sip:{number}@%s", other.Addr)},
		sip.Trunk{Name: "third", Listen: at, Endpoint: "sip:{number}@127.0.0.1:9;transport=tcp"})
	for _, trunk := range []string{"test", "other"} {
		leg := place(t, d, func(o *dialer.Originate) { o.Trunk = trunk })
		leg.next(dialer.Ringing)
		leg.hangUp(dialer.HangupCancel)
		leg.next(dialer.Ended)
	}
	one.Wait()
	other.Wait()
	for _, peer := range []*sipptest.Peer{one, other} {
		if !strings.Contains(peer.Messages(), "Via: SIP/2.0/UDP "+at) {
			t.Error("a trunk called from another address")
		}
	}
}
