package ari_test

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/ari"
	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// TestAHearsTheEarlyMediaOfB: what A, a baresip, hears while B has not answered
// is B's tone and not Asterisk's ringing; and nothing of it is left.
func TestAHearsTheEarlyMediaOfB(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		const tone, calledA, calledB = 950.0, "390655510001", "390655520002"
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		phone := sipptest.StartPhone(t, calledA, 440)
		mouth, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer mouth.Close()
		peer := sipptest.Start(t, sipptest.Options{Scenario: "../sip/testdata/early_only.xml", Keys: map[string]string{
			"sound": fmt.Sprint(mouth.LocalAddr().(*net.UDPAddr).Port),
		}})
		o := options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", phone.Addr))
		o.Endpoints["far"] = fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", peer.Addr)
		d := open(t, o)

		call := string(scheduler.NewCallID(time.Now()))
		a := told(t, d, dialer.Originate{ID: dialer.LegID(call + "-a1"), Trunk: "peer", Number: scheduler.Number{E164: "+" + calledA}})
		await(t, a, dialer.Answered)
		if err := d.Ringback(t.Context(), dialer.LegID(call+"-a1"), true); err != nil {
			t.Fatal(err)
		}
		b := told(t, d, dialer.Originate{
			ID: dialer.LegID(call + "-b1"), Trunk: "far", Role: scheduler.LegB, Partner: dialer.LegID(call + "-a1"),
			Number: scheduler.Number{E164: "+" + calledB},
		})
		await(t, b, dialer.EarlyMedia)
		stop := make(chan struct{})
		var says sync.WaitGroup
		says.Go(func() { say(mouth, audioPort(t, peer), tone, stop) })
		phone.Listen(2500 * time.Millisecond)
		if err := d.Hangup(t.Context(), dialer.LegID(call+"-a1"), dialer.HangupNormal); err != nil {
			t.Error(err)
		}
		await(t, a, dialer.Ended)
		if err := d.Hangup(t.Context(), dialer.LegID(call+"-b1"), dialer.HangupNormal); err != nil {
			t.Error(err)
		}
		await(t, b, dialer.Ended)
		close(stop)
		says.Wait()
		peer.Wait()
		phone.Stop()
		// What is late on a busy machine costs some of it.
		if share, ringing := phone.Heard(tone), phone.Heard(440)+phone.Heard(480); share < 0.5 || ringing > 0.01 {
			t.Errorf("only %.2f of what A heard is B's early media, and %.2f is ringing", share, ringing)
		}
		eventually(t, func() error {
			if channels, bridges := pbx.Channels(), pbx.Bridges(); len(channels)+len(bridges) > 0 {
				return fmt.Errorf("asterisk still has channels %q and bridges %q", channels, bridges)
			}
			return nil
		})
	})
}

// TestEarlyMediaEndsWithTheAnswer: B sends early media and answers: it is
// connected to A, and what let A hear it before is gone.
func TestEarlyMediaEndsWithTheAnswer(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		near := sipptest.Start(t, sipptest.Options{Scenario: "../sip/testdata/behaves.xml", Calls: sipptest.Many, Echo: true})
		far := sipptest.Start(t, sipptest.Options{Scenario: "../sip/testdata/early.xml", Keys: map[string]string{"sound": "9"}})
		o := options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", near.Addr))
		o.Endpoints["far"] = fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", far.Addr)
		d := open(t, o)
		e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "peer", Driver: d, Prefixes: []string{"+39"}}, {Name: "far", Driver: d, Prefixes: []string{"+44"}}}})
		if err != nil {
			t.Fatal(err)
		}
		outcome := e.Dial(t.Context(), scheduler.Call{
			ID: scheduler.NewCallID(time.Now()), A: []scheduler.Number{number(scheduler.LegA, dialertest.Answers, 0)},
			B: scheduler.Number{E164: "+442071838750"}, Ring: 10 * time.Second, MaxDuration: time.Second,
		}, func(time.Time) {
			if bridges := pbx.Bridges(); len(bridges) != 1 {
				t.Errorf("in the talk there are bridges %q", bridges)
			}
			for _, id := range pbx.Channels() { // Asterisk lists a spy until the channel ends that it spied on
				if strings.HasSuffix(id, ".ear") {
					if code, err := pbx.Request("DELETE", "channels/"+id); code != http.StatusNotFound || err != nil {
						t.Errorf("the spy was still there: %d %v", code, err)
					}
				}
			}
		})
		if outcome.BridgedAt.IsZero() {
			t.Errorf("outcome %+v", outcome)
		}
		near.Finish()
		far.Wait()
		eventually(t, func() error {
			if channels, bridges := pbx.Channels(), pbx.Bridges(); len(channels)+len(bridges) > 0 {
				return fmt.Errorf("asterisk still has channels %q and bridges %q", channels, bridges)
			}
			return nil
		})
	})
}

func told(t *testing.T, d *ari.Driver, o dialer.Originate) chan dialer.Event {
	t.Helper()
	events := make(chan dialer.Event, 10)
	if err := d.Originate(t.Context(), o, func(e dialer.Event) { events <- e }); err != nil {
		t.Fatal(err)
	}
	return events
}

// await waits for an event, whatever comes before it.
func await(t *testing.T, told chan dialer.Event, k dialer.EventKind) {
	t.Helper()
	for {
		select {
		case e := <-told:
			if e.Kind == k {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("event %d was not told", k)
		}
	}
}

// audioPort is where the INVITE that a peer got wants sound to be sent.
func audioPort(t *testing.T, peer *sipptest.Peer) int {
	port := 0
	_, rest, _ := strings.Cut(peer.Messages(), "\nm=audio ")
	if _, err := fmt.Sscan(rest, &port); err != nil {
		t.Errorf("no port in the INVITE: %v", err)
	}
	return port
}

// say sends a tone in µ-law until stop is closed.
func say(from *net.UDPConn, port int, hertz float64, stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		stamp := uint32(n * 160)
		packet := []byte{0x80, 0, byte(n >> 8), byte(n), byte(stamp >> 24), byte(stamp >> 16), byte(stamp >> 8), byte(stamp), 0, 0, 0, 7}
		for i := range 160 {
			packet = append(packet, ulaw(8000*math.Sin(2*math.Pi*hertz*float64(n*160+i)/8000)))
		}
		_, _ = from.WriteToUDP(packet, to)
	}
}

// ulaw encodes a sample (ITU-T G.711).
func ulaw(v float64) byte {
	sign := byte(0x80)
	if v < 0 {
		v, sign = -v, 0
	}
	m := int(v)/4 + 33
	segment := 0
	for m>>(segment+6) > 0 {
		segment++
	}
	return ^(sign ^ 0x80 | byte(segment<<4) | byte(m>>(segment+1))&0x0f)
}
