package sip_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
)

// TestOtherCodecsAreOfferedThrough: what A speaks is offered to B as A calls
// it, and relayed untouched; where B takes only G.711, and A does too, that is.
func TestOtherCodecsAreOfferedThrough(t *testing.T) {
	const g722, opus = "a=rtpmap:9 G722/8000", "a=rtpmap:96 opus/48000/2"
	for claim, c := range map[string]struct {
		codecs               []string
		offerA, formatsA, sA string // what A is offered, takes, and how it explains that
		offerB, formatsB, sB string
		saysA, hearsB        uint8 // payload types
		saysB, hearsA        uint8
	}{
		"a codec with a fixed type": {
			codecs: []string{"G722", "PCMA"}, offerA: "9 8 101", formatsA: "9 8", sA: g722,
			offerB: "9 8", formatsB: "9", sB: g722, saysA: 9, hearsB: 9, saysB: 9, hearsA: 9,
		},
		"a codec with a type of A's": {
			codecs: []string{"opus", "PCMU"}, offerA: "111 0 101", formatsA: "96", sA: opus,
			offerB: "96", formatsB: "96", sB: opus, saysA: 96, hearsB: 96, saysB: 96, hearsA: 96,
		},
		"G.711 where only that is shared": {
			codecs: []string{"G722", "PCMA"}, offerA: "9 8 101", formatsA: "9 8", sA: g722,
			offerB: "9 8", formatsB: "8", sB: "a=rtpmap:8 PCMA/8000", saysA: 8, hearsB: 8, saysB: 8, hearsA: 8,
		},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			earA, earB := newProbe(t), newProbe(t)
			peerA := scenario(t, "codecs", map[string]string{"sound": earA.port, "offer": c.offerA, "formats": c.formatsA, "explained": c.sA})
			peerB := scenario(t, "codecs", map[string]string{"sound": earB.port, "offer": c.offerB, "formats": c.formatsB, "explained": c.sB})
			d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", exchangeOf(t, peerA, peerB)), Codecs: c.codecs})
			a := place(t, d, nil)
			a.next(dialer.Ringing)
			a.next(dialer.Answered)
			b := place(t, d, toB(a))
			b.next(dialer.Ringing)
			b.next(dialer.Answered)
			if err := d.Bridge(context.Background(), a.id, b.id); err != nil {
				t.Fatal(err)
			}
			portA, portB := rtpPort(t, peerA), rtpPort(t, peerB)
			until(t, func() bool {
				earA.say(portA, c.saysA, "hello")
				return earB.count(c.hearsB) > 0 && earB.got("hello") > 0
			})
			until(t, func() bool { earB.say(portB, c.saysB, "hi"); return earA.count(c.hearsA) > 0 && earA.got("hi") > 0 })
			a.hangUp(dialer.HangupNormal)
			b.hangUp(dialer.HangupNormal)
			a.next(dialer.Ended)
			b.next(dialer.Ended)
			peerA.Wait()
			peerB.Wait()
		})
	}
}

// TestAPeerWithoutG711HearsNoSound of ours, which is told; a leg without
// anything in common fails.
func TestAPeerWithoutG711HearsNoSound(t *testing.T) {
	t.Parallel()
	ear := newProbe(t)
	peer := scenario(t, "codecs", map[string]string{"sound": ear.port, "offer": "9 8 101", "formats": "9", "explained": "a=rtpmap:9 G722/8000"})
	d := openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Codecs: []string{"G722", "PCMA"}})
	a := place(t, d, nil)
	a.next(dialer.Ringing)
	a.next(dialer.Answered)
	if err := d.Play(t.Context(), a.id, dialer.Sound{ID: "x", PCM: make([]int16, 800)}); err == nil {
		t.Error("a sound was played")
	}
	a.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	peer.Wait()
}

// TestReportsAreRelayed: RTCP goes from peer to peer, to where the peer's own
// reports come from; what is none, and what a stranger sends, does not.
func TestReportsAreRelayed(t *testing.T) {
	t.Parallel()
	earA, earB := newProbe(t), newProbe(t)
	peerA := scenario(t, "probe", map[string]string{"sound": earA.port})
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
	reports := func(host string) *net.UDPConn {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	fromA, fromB, stranger := reports("127.0.0.1"), reports("127.0.0.1"), reports("127.0.0.9")
	next := func(p netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(p.Addr(), p.Port()+1) }
	portA, portB := next(rtpPort(t, peerA)), next(rtpPort(t, peerB))
	report := func(word byte) []byte { return []byte{0x80, 201, 0, 1, 0, 0, 0, word} } // an empty receiver report
	heard := make(chan []byte, 100)
	go func() {
		buf := make([]byte, 100)
		for {
			n, err := fromB.Read(buf)
			if err != nil {
				close(heard)
				return
			}
			heard <- bytes.Clone(buf[:n])
		}
	}()
	send := func(conn *net.UDPConn, to netip.AddrPort, what []byte) {
		if _, err := conn.WriteToUDPAddrPort(what, to); err != nil {
			t.Fatal(err)
		}
	}
	until(t, func() bool { // B's own reports say where it is
		send(fromB, portB, report('b'))
		send(stranger, portA, report('s'))
		send(fromA, portA, []byte("no report at all"))
		send(fromA, portA, report('a'))
		select {
		case got := <-heard:
			if !bytes.Equal(got, report('a')) {
				t.Errorf("B was sent %q", got)
			}
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	a.hangUp(dialer.HangupNormal)
	b.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	b.next(dialer.Ended)
	peerA.Wait()
	peerB.Wait()
	fromB.Close()
	for got := range heard {
		if !bytes.Equal(got, report('a')) {
			t.Errorf("B was sent %q", got)
		}
	}
}
