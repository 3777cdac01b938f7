package sip_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
	"go.uber.org/goleak"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

func TestMain(m *testing.M) {
	shortTimers()
	dialertest.WaitTogether()
	goleak.VerifyTestMain(m)
}

// shortTimers makes T1 40 ms, so that nobody is waited for longer than 2.56 s.
// Requests are not sent again that soon: SIPp takes a copy for what it did not
// expect, once it has gone on, and nothing is lost on loopback.
func shortTimers() {
	msg.SetTimers(40*time.Millisecond, 320*time.Millisecond, 400*time.Millisecond)
	msg.Timer_A, msg.Timer_E = time.Second, time.Second
}

const patience = 10 * time.Second

// open returns a driver whose trunk is at addr.
func open(t testing.TB, addr netip.AddrPort) *sip.Driver {
	t.Helper()
	return openTrunks(t, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s;transport=udp", addr)})
}

// openTrunks returns a driver of trunks; what they do not say is that they are
// called test and listen on any port of loopback.
func openTrunks(t testing.TB, trunks ...sip.Trunk) *sip.Driver {
	t.Helper()
	for i := range trunks {
		if trunks[i].Name == "" {
			trunks[i].Name = "test"
		}
		if trunks[i].Listen == "" {
			trunks[i].Listen = "127.0.0.1:0"
		}
	}
	d, err := sip.New(sip.Options{Trunks: trunks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// call is a leg under test.
type call struct {
	t      testing.TB
	d      *sip.Driver
	id     dialer.LegID
	events chan dialer.Event
	stop   context.CancelFunc
}

// number is what A is called by; B's differs.
var number = scheduler.Number{Given: "333 111 2233", E164: "+393331112233"}

func place(t testing.TB, d *sip.Driver, change func(*dialer.Originate)) call {
	t.Helper()
	o := dialer.Originate{
		Trunk: "test", ID: dialer.LegID(scheduler.NewCallID(time.Now()) + "-a1"), Role: scheduler.LegA, Number: number,
		Caller: scheduler.CallerID{Name: `Rossi "& Figli"`, Number: "+390612345678"},
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c := call{t: t, d: d, id: o.ID, events: make(chan dialer.Event, 16), stop: cancel}
	if err := d.Originate(ctx, o, func(e dialer.Event) { c.events <- e }); err != nil {
		t.Fatal(err)
	}
	return c
}

// next waits for an event, which must be of this kind.
func (c call) next(kind dialer.EventKind) dialer.Event {
	c.t.Helper()
	select {
	case e := <-c.events:
		if e.Kind != kind {
			c.t.Fatalf("leg %s: event %d %+v, want %d", c.id, e.Kind, e.End, kind)
		}
		return e
	case <-time.After(patience):
		c.t.Fatalf("leg %s: no event, want %d", c.id, kind)
	}
	return dialer.Event{}
}

// ends waits for the end and checks that nothing comes after it.
func (c call) ends(want dialer.End) {
	c.t.Helper()
	if got := c.next(dialer.Ended).End; got != want {
		c.t.Errorf("leg %s: end %+v, want %+v", c.id, got, want)
	}
	select {
	case e := <-c.events:
		c.t.Errorf("leg %s: event %d %+v after the end", c.id, e.Kind, e.End)
	default:
	}
}

func (c call) hangUp(reason dialer.HangupReason) {
	c.t.Helper()
	if err := c.d.Hangup(context.Background(), c.id, reason); err != nil {
		c.t.Error(err)
	}
}

func scenario(t testing.TB, name string, keys map[string]string) *sipptest.Peer {
	t.Helper()
	return sipptest.Start(t, sipptest.Options{Scenario: "testdata/" + name + ".xml", Keys: keys})
}

func TestAHostThatDoesNotResolveSignalsNothing(t *testing.T) {
	t.Parallel()
	d := openTrunks(t, sip.Trunk{Endpoint: "sip:{number}@no.such.host.invalid"})
	leg := place(t, d, nil)
	if end := leg.next(dialer.Ended).End; end.Disposition != scheduler.LocalError || end.Native == "" {
		t.Errorf("end %+v", end)
	}
}

func TestAStrangerIsTurnedAway(t *testing.T) {
	t.Parallel()
	d := open(t, netip.MustParseAddrPort("127.0.0.1:9"))
	sipptest.Start(t, sipptest.Options{Scenario: "testdata/stranger.xml", Target: sip.Address(d)}).Wait()
}

func TestTheOutboundProxyGetsEveryInvite(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "cancelled", nil)
	d := openTrunks(t, sip.Trunk{Endpoint: "sip:00{number}@carrier.invalid", OutboundProxy: peer.Addr.String()})
	leg := place(t, d, nil)
	leg.next(dialer.Ringing)
	leg.hangUp(dialer.HangupCancel)
	leg.next(dialer.Ended)
	peer.Wait()
	for _, line := range []string{
		"INVITE sip:00393331112233@carrier.invalid SIP/2.0", "CANCEL sip:00393331112233@carrier.invalid SIP/2.0",
		fmt.Sprintf("Route: <sip:%s;lr>", peer.Addr), "To: <sip:00393331112233@carrier.invalid>",
		`From: "Rossi \"& Figli\"" <sip:+390612345678@127.0.0.1>`,
	} {
		if !strings.Contains(peer.Messages(), line) {
			t.Errorf("the peer did not get %q", line)
		}
	}
}

func TestCloseEndsEveryLeg(t *testing.T) {
	t.Parallel()
	ringing, talking := scenario(t, "cancelled", nil), scenario(t, "answer", nil)
	exchange := sipptest.NewExchange(t)
	exchange.Connect("393331112233", ringing.Addr)
	exchange.Connect("101", talking.Addr)
	d := open(t, exchange.Addr)
	a := place(t, d, nil)
	b := place(t, d, func(o *dialer.Originate) { o.ID += "x"; o.Number = scheduler.Number{Given: "101"} })
	a.next(dialer.Ringing)
	b.next(dialer.Ringing)
	b.next(dialer.Answered)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if len(a.events) != 1 || len(b.events) != 1 {
		t.Fatal("the ends were not told before Close returned")
	}
	a.ends(dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs})
	b.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	ringing.Wait()
	talking.Wait()
	if err := d.Originate(context.Background(), dialer.Originate{ID: "late", Trunk: "test", Number: number}, nil); err == nil {
		t.Error("a closed driver took a leg")
	}
	if d.Health(context.Background()) == nil {
		t.Error("a closed driver is healthy")
	}
}

func TestCloseDoesNotWaitLongerThanItMay(t *testing.T) {
	t.Parallel()
	d, err := sip.New(sip.Options{Trunks: []sip.Trunk{{Name: "test", Endpoint: "sip:{number}@127.0.0.1:9", Listen: "127.0.0.1:0"}}})
	if err != nil {
		t.Fatal(err)
	}
	leg := place(t, d, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := d.Close(ctx); err == nil {
		t.Error("a leg that cannot be ended was no error")
	}
	leg.ends(dialer.End{Disposition: scheduler.Cancelled, By: scheduler.ByUs})
}

func TestOriginateRefusesWhatItCannotSignal(t *testing.T) {
	t.Parallel()
	d := open(t, netip.MustParseAddrPort("127.0.0.1:9"))
	fine := dialer.Originate{ID: "0192-b1", Trunk: "test", Number: number}
	for claim, change := range map[string]func(*dialer.Originate){
		"a number with a line break": func(o *dialer.Originate) { o.Number.E164 = "+39333\r\nX-Evil: 1" },
		"a number with an @":         func(o *dialer.Originate) { o.Number.E164 = "+39333@elsewhere" },
		"a number without digits":    func(o *dialer.Originate) { o.Number = scheduler.Number{} },
		"an endless number":          func(o *dialer.Originate) { o.Number.E164 = strings.Repeat("1", 33) },
		"an id with a line break":    func(o *dialer.Originate) { o.ID = "a\r\nb" },
		"no id":                      func(o *dialer.Originate) { o.ID = "" },
		"a trunk that is not":        func(o *dialer.Originate) { o.Trunk = "other" },
		"a partner that is not":      func(o *dialer.Originate) { o.Partner = "nobody" },
	} {
		t.Run(claim, func(t *testing.T) {
			o := fine
			change(&o)
			err := d.Originate(context.Background(), o, func(dialer.Event) { t.Error("an event") })
			if err == nil {
				t.Error("no error")
			}
		})
	}
	for _, err := range []error{
		d.Ringback(context.Background(), "nobody", true), d.Bridge(context.Background(), "nobody", "else"),
	} {
		if err == nil {
			t.Error("a leg that is not was no error")
		}
	}
	if err := d.Hangup(context.Background(), "nobody", dialer.HangupNormal); err != nil {
		t.Errorf("a leg that is gone: %v", err)
	}
}

func TestACallerCannotBeSplicedIntoAHeader(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "refuse_at_once", map[string]string{"status": "486", "phrase": "Busy Here", "extra": "Server: peer"})
	leg := place(t, open(t, peer.Addr), func(o *dialer.Originate) {
		o.Caller = scheduler.CallerID{
			Name:   "Eve\"\r\nX-Evil: name\r\n\r\n" + strings.Repeat("é", 400),
			Number: "1>;tag=2\r\nX-Evil: number\x00@host",
		}
	})
	leg.next(dialer.Ended)
	peer.Wait()
	invite, _, _ := strings.Cut(peer.Messages(), "\r\n\r\n")
	lines := strings.Split(peer.Messages(), "\n")
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "X-Evil") }); i >= 0 {
		t.Errorf("a header was spliced in:\n%s", invite)
	}
	if !strings.Contains(peer.Messages(), `From: "Eve\"  X-Evil: name    ééé`) ||
		!strings.Contains(peer.Messages(), "<sip:1%3E%3Btag%3D2%0D%0AX-Evil%3A%20number%00%40host@127.0.0.1>") {
		t.Errorf("the caller is not shown as it should:\n%s", peer.Messages())
	}
}
