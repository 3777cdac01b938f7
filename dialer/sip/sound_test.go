package sip_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// probe is the ear and mouth of a peer: an RTP socket that counts what it gets.
type probe struct {
	t    testing.TB
	conn *net.UDPConn
	port string

	mu     sync.Mutex
	from   netip.AddrPort // the last sender
	heard  [][]byte       // payloads
	types  map[uint8]int  // packets by payload type
	number uint16
}

func newProbe(t testing.TB) *probe {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &probe{t: t, conn: conn, types: map[uint8]int{}}
	p.port = strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
	var done sync.WaitGroup
	done.Go(p.listen)
	t.Cleanup(func() {
		conn.Close()
		done.Wait()
	})
	return p
}

func (p *probe) listen() {
	buf := make([]byte, 2048)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		var packet rtp.Packet
		if packet.Unmarshal(buf[:n]) != nil {
			continue
		}
		p.mu.Lock()
		p.from = from
		p.heard = append(p.heard, bytes.Clone(packet.Payload))
		p.types[packet.PayloadType]++
		p.mu.Unlock()
	}
}

// say sends one packet to the driver's port of this leg.
func (p *probe) say(to netip.AddrPort, payload uint8, word string) {
	p.number++
	packet := rtp.Packet{
		Header:  rtp.Header{Version: 2, PayloadType: payload, SequenceNumber: p.number, Timestamp: 160 * uint32(p.number), SSRC: 7},
		Payload: []byte(word),
	}
	b, err := packet.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.conn.WriteToUDPAddrPort(b, to); err != nil {
		p.t.Fatal(err)
	}
}

// got counts the packets with this word.
func (p *probe) got(word string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, h := range p.heard {
		if string(h) == word {
			n++
		}
	}
	return n
}

func (p *probe) count(payload uint8) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.types[payload]
}

func (p *probe) sender() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from
}

// rtpPort finds where the driver wants to be sent to, from the INVITE a peer got.
func rtpPort(t testing.TB, peer *sipptest.Peer) netip.AddrPort {
	t.Helper()
	var port string
	until(t, func() bool {
		_, rest, ok := strings.Cut(peer.Messages(), "\nm=audio ")
		port, _, _ = strings.Cut(rest, " ")
		return ok && port != ""
	})
	return netip.MustParseAddrPort("127.0.0.1:" + port)
}

const numberB = "442071838750"

// exchangeOf puts two peers behind one address: A has the test's number, B numberB.
func exchangeOf(t *testing.T, a, b *sipptest.Peer) netip.AddrPort {
	t.Helper()
	exchange := sipptest.NewExchange(t)
	exchange.Connect("393331112233", a.Addr)
	exchange.Connect(numberB, b.Addr)
	return exchange.Addr
}

func toB(a call) func(*dialer.Originate) {
	return func(o *dialer.Originate) {
		o.Role, o.Partner, o.ID = scheduler.LegB, a.id, a.id+"-b1"
		o.Number = scheduler.Number{Given: numberB, E164: "+" + numberB}
	}
}

func TestTwoPeersHearEachOther(t *testing.T) {
	t.Parallel()
	ear := newProbe(t)
	peerA := scenario(t, "probe", map[string]string{"sound": ear.port})
	peerB := sipptest.Start(t, sipptest.Options{Scenario: "testdata/answer.xml", Echo: true})
	d := open(t, exchangeOf(t, peerA, peerB))
	ctx := context.Background()

	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	if err := d.Ringback(ctx, a.id, true); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return ear.count(8) >= 5 }) // the tone
	b := place(t, d, toB(a))
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	if err := d.Ringback(ctx, a.id, false); err != nil {
		t.Fatal(err)
	}
	if err := d.Bridge(ctx, a.id, b.id); err != nil {
		t.Fatal(err)
	}
	const words = 50
	until(t, func() bool { // B gives every word back, through the driver twice
		ear.say(ear.sender(), 8, "hello")
		return ear.got("hello") >= words
	})
	toneSoFar := ear.count(8) - ear.got("hello")
	ear.say(ear.sender(), 8, "again")
	until(t, func() bool { return ear.got("again") == 1 })
	if n := ear.count(8) - ear.got("hello") - ear.got("again"); n > toneSoFar+1 {
		t.Errorf("the tone went on: %d packets more", n-toneSoFar)
	}
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

func TestAStrangersSoundIsNotRelayed(t *testing.T) {
	t.Parallel()
	earA, earB, stranger := newProbe(t), newProbe(t), newProbe(t)
	peerA := scenario(t, "probe", map[string]string{"sound": earA.port})
	peerB := scenario(t, "probe", map[string]string{"sound": earB.port})
	d := open(t, exchangeOf(t, peerA, peerB))
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	if err := d.Ringback(context.Background(), a.id, true); err != nil {
		t.Fatal(err)
	}
	b := place(t, d, toB(a))
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	if err := d.Bridge(context.Background(), a.id, b.id); err != nil {
		t.Fatal(err)
	}
	tone := earA.count(8)
	port := rtpPort(t, peerA)
	until(t, func() bool { earA.say(port, 8, "mine"); return earB.got("mine") > 0 })
	const noise = "comfort noise, which was not agreed"
	for range 20 {
		stranger.say(port, 8, "theirs")
		earA.say(port, 13, noise)
		if _, err := earA.conn.WriteToUDPAddrPort([]byte("no rtp"), port); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { earA.say(port, 8, "mine"); return earB.got("mine") > 10 }) // a tone would be heard by now
	until(t, func() bool { earA.say(port, 101, "key"); return earB.got("key") > 0 })
	if n := earB.got("theirs"); n > 0 {
		t.Errorf("%d packets of a stranger were relayed", n)
	}
	if earB.count(101) == 0 {
		t.Errorf("packets by payload type: %v", earB.types)
	}
	if n := earB.got(noise); n > 0 {
		t.Errorf("%d packets of another payload type were relayed", n)
	}
	if n := earA.count(8); n > tone+1 {
		t.Errorf("A hears the tone in the bridge: %d packets", n-tone)
	}
	if got := len(stranger.heard); got > 0 {
		t.Errorf("the stranger was sent %d packets", got)
	}
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

func TestAPeerBehindANATIsSentToWhereItIsHeardFrom(t *testing.T) {
	t.Parallel()
	earA, earB, inside := newProbe(t), newProbe(t), newProbe(t)
	peerA := scenario(t, "probe", map[string]string{"sound": inside.port}) // what it tells is not where it is
	peerB := scenario(t, "probe", map[string]string{"sound": earB.port})
	d := open(t, exchangeOf(t, peerA, peerB))
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	b := place(t, d, toB(a))
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	if err := d.Bridge(context.Background(), a.id, b.id); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { earA.say(rtpPort(t, peerA), 8, "here"); return earB.got("here") > 0 })
	until(t, func() bool { earB.say(rtpPort(t, peerB), 8, "there"); return earA.got("there") > 0 })
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

func TestEarlyMediaOfBTakesThePlaceOfTheTone(t *testing.T) {
	t.Parallel()
	earA, earB := newProbe(t), newProbe(t)
	peerA := scenario(t, "probe", map[string]string{"sound": earA.port})
	peerB := scenario(t, "early", map[string]string{"sound": earB.port})
	d := open(t, exchangeOf(t, peerA, peerB))
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	if err := d.Ringback(context.Background(), a.id, true); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return earA.count(8) > 0 })
	b := place(t, d, toB(a))
	b.next(dialer.EarlyMedia)
	until(t, func() bool { earB.say(rtpPort(t, peerB), 8, "the number you"); return earA.got("the number you") > 1 })
	earB.mu.Lock()
	if len(earB.heard) > 0 {
		t.Error("A was heard before B answered")
	}
	earB.mu.Unlock()
	b.next(dialer.Answered)
	tone := earA.count(8) - earA.got("the number you")
	until(t, func() bool { earB.say(rtpPort(t, peerB), 8, "have"); return earA.got("have") > 10 })
	if n := earA.count(8) - earA.got("the number you") - earA.got("have"); n > tone {
		t.Errorf("the tone went on beside the early media: %d packets", n-tone)
	}
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

func TestBIsOfferedOnlyTheCodecOfA(t *testing.T) {
	t.Parallel()
	peerA, peerB := scenario(t, "pcmu", nil), scenario(t, "only_pcmu", nil)
	d := open(t, exchangeOf(t, peerA, peerB))
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	b := place(t, d, toB(a))
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

// TestLegsOnTwoTrunks: A is reached by one trunk and B by another, which speaks
// the other G.711: each hears the other all the same.
func TestLegsOnTwoTrunks(t *testing.T) {
	t.Parallel()
	earA, earB := newProbe(t), newProbe(t)
	peerA, peerB := scenario(t, "probe", map[string]string{"sound": earA.port}), scenario(t, "probe_pcmu", map[string]string{"sound": earB.port})
	d := openTrunks(t,
		sip.Trunk{Name: "test", Endpoint: fmt.Sprintf("sip:{number}@%s", peerA.Addr), Codecs: []string{"PCMA"}},
		sip.Trunk{Name: "other", Endpoint: fmt.Sprintf("sip:{number}@%s", peerB.Addr), Codecs: []string{"PCMU"}})
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	b := place(t, d, func(o *dialer.Originate) { toB(a)(o); o.Trunk = "other" })
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	if err := d.Bridge(context.Background(), a.id, b.id); err != nil {
		t.Fatal(err)
	}
	portA, portB := rtpPort(t, peerA), rtpPort(t, peerB)
	loud := strings.Repeat("\xaa", 160) // A-law for the loudest sample, which µ-law calls 0x80
	until(t, func() bool { earA.say(portA, 8, loud); return earB.got(strings.Repeat("\x80", 160)) > 0 })
	until(t, func() bool { earB.say(portB, 0, strings.Repeat("\x80", 160)); return earA.got(loud) > 0 })
	if earA.count(0)+earB.count(8) > 0 {
		t.Error("a peer was sent what it was not offered")
	}
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
}

// TestACallThroughTheEngine places one whole call: A, then B, bridged, until B
// hangs up; both dialogues are judged by their peers.
func TestACallThroughTheEngine(t *testing.T) {
	t.Parallel()
	peerA, peerB := scenario(t, "answer", nil), scenario(t, "hangs_up", nil)
	d := open(t, exchangeOf(t, peerA, peerB))
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "test", Driver: d}}})
	if err != nil {
		t.Fatal(err)
	}
	bridges := 0
	o := e.Dial(t.Context(), scheduler.Call{
		ID: scheduler.NewCallID(time.Now()), A: []scheduler.Number{number},
		B:    scheduler.Number{Given: numberB, E164: "+" + numberB},
		Ring: 5 * time.Second, MaxDuration: time.Minute,
	}, func(time.Time) { bridges++ })
	if bridges != 1 || len(o.Legs) != 2 || o.BridgedAt.IsZero() {
		t.Fatalf("bridged %d times, outcome %+v", bridges, o)
	}
	if b := o.Legs[1]; b.By != scheduler.ByPeer || b.Q850 != 31 || b.PDD() <= 0 || o.Legs[0].By != scheduler.ByUs {
		t.Errorf("legs %+v", o.Legs)
	}
	peerA.Wait()
	peerB.Wait()
}
