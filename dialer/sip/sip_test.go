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
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// TestMain makes the timers of SIP short: T1 is 40 ms, so nobody is waited for
// longer than 2.56 s.
func TestMain(m *testing.M) {
	msg.SetTimers(40*time.Millisecond, 320*time.Millisecond, 400*time.Millisecond)
	goleak.VerifyTestMain(m)
}

const patience = 10 * time.Second

// open returns a driver whose trunk is at addr.
func open(t testing.TB, addr netip.AddrPort) *sip.Driver {
	t.Helper()
	d, err := sip.New(sip.Options{
		Name: "test", Endpoint: fmt.Sprintf("sip:{number}@%s;transport=udp", addr), Listen: "127.0.0.1:0",
	})
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
		ID: dialer.LegID(scheduler.NewCallID(time.Now()) + "-a1"), Role: scheduler.LegA, Number: number,
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

func TestARefusedLegEndsAsThePeerSays(t *testing.T) {
	t.Parallel()
	const none = "Server: peer"
	type want struct {
		disposition scheduler.Disposition
		q850        int
	}
	for claim, c := range map[string]struct {
		status, phrase, extra string
		silent                bool // refuses without ringing
		want                  want
	}{
		"486 is busy":                            {status: "486", phrase: "Busy Here", extra: none, want: want{scheduler.UserBusy, 0}},
		"486 without ringing is busy":            {status: "486", phrase: "Busy Here", extra: none, silent: true, want: want{scheduler.UserBusy, 0}},
		"603 is rejected":                        {status: "603", phrase: "Decline", extra: none, want: want{scheduler.Rejected, 0}},
		"404 is an invalid number":               {status: "404", phrase: "Not Found", extra: none, silent: true, want: want{scheduler.InvalidNumber, 0}},
		"503 is congestion":                      {status: "503", phrase: "Service Unavailable", extra: none, silent: true, want: want{scheduler.Congestion, 0}},
		"480 is no answer":                       {status: "480", phrase: "Temporarily Unavailable", extra: none, want: want{scheduler.NoAnswer, 0}},
		"480 with cause 20 is absent":            {status: "480", phrase: "Temporarily Unavailable", extra: `Reason: Q.850;cause=20;text="Subscriber absent"`, want: want{scheduler.Absent, 20}},
		"404 with cause 3 is congestion":         {status: "404", phrase: "Not Found", extra: "Reason: SIP;cause=404, Q.850 ; cause = 3", silent: true, want: want{scheduler.Congestion, 3}},
		"486 with cause 16 stays busy":           {status: "486", phrase: "Busy Here", extra: "Reason: Q.850;cause=16", want: want{scheduler.UserBusy, 16}},
		"408 after ringing is no answer":         {status: "408", phrase: "Request Timeout", extra: none, want: want{scheduler.NoAnswer, 0}},
		"408 without ringing is failed":          {status: "408", phrase: "Request Timeout", extra: none, silent: true, want: want{scheduler.Failed, 0}},
		"488 is failed":                          {status: "488", phrase: "Not Acceptable Here", extra: none, silent: true, want: want{scheduler.Failed, 0}},
		"407 without a password to it is failed": {status: "407", phrase: "Proxy Authentication Required", extra: `Proxy-Authenticate: Digest realm="x", nonce="y"`, silent: true, want: want{scheduler.Failed, 0}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			name := "refuse"
			if c.silent {
				name = "refuse_at_once"
			}
			peer := scenario(t, name, map[string]string{"status": c.status, "phrase": c.phrase, "extra": c.extra})
			leg := place(t, open(t, peer.Addr), nil)
			if !c.silent {
				leg.next(dialer.Ringing)
			}
			var code int
			_, _ = fmt.Sscan(c.status, &code)
			leg.ends(dialer.End{
				Disposition: c.want.disposition, Q850: c.want.q850, SIP: code, Native: c.phrase, By: scheduler.ByPeer,
			})
			peer.Wait()
		})
	}
}

func TestALegThatIsHungUpBeforeAnAnswer(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		scenario string
		reason   dialer.HangupReason
		rings    bool
		want     dialer.End
	}{
		"a ring time-out is no answer": {
			"cancelled", dialer.HangupTimeout, true, dialer.End{Disposition: scheduler.NoAnswer, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"an order from outside is cancelled": {
			"cancelled", dialer.HangupCancel, true, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"a fork that lost is told that another answered": {
			"cancelled_elsewhere", dialer.HangupElsewhere, true, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"the CANCEL waits for the first response": {
			"slow", dialer.HangupCancel, false, dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs},
		},
		"a peer that ignores the CANCEL is not waited for, and its late answer is ended": {
			"deaf_to_cancel", dialer.HangupTimeout, true, dialer.End{Disposition: scheduler.NoAnswer, By: scheduler.ByUs},
		},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, c.scenario, nil)
			leg := place(t, open(t, peer.Addr), nil)
			if c.rings {
				leg.next(dialer.Ringing)
			}
			leg.hangUp(c.reason)
			leg.hangUp(dialer.HangupNormal) // only the first counts
			leg.ends(c.want)
			peer.Wait()
		})
	}
}

func TestACancelledContextHangsUp(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "cancelled", nil)
	leg := place(t, open(t, peer.Addr), nil)
	leg.next(dialer.Ringing)
	leg.stop()
	leg.ends(dialer.End{Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs})
	peer.Wait()
}

func TestAnAnswerThatCrossesTheCancelIsToldAndEnded(t *testing.T) {
	t.Parallel()
	peer := scenario(t, "glare", nil)
	leg := place(t, open(t, peer.Addr), nil)
	leg.next(dialer.Ringing)
	leg.hangUp(dialer.HangupTimeout)
	leg.next(dialer.Answered)
	leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
	peer.Wait()
}

func TestAnAnsweredLeg(t *testing.T) {
	t.Parallel()
	ours := dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs}
	for claim, c := range map[string]struct {
		scenario string
		silent   bool // answers without ringing
		byPeer   bool
		want     dialer.End
	}{
		"is ended by our BYE": {scenario: "answer", want: ours},
		"is ended by the peer's BYE, whose Q.850 cause is kept": {scenario: "hangs_up", byPeer: true, want: dialer.End{
			Disposition: scheduler.Answered, Q850: 31, SIP: 200, By: scheduler.ByPeer,
			Native: `SIP;cause=200;text="a, b;cause=9", Q.850;cause=31;text="Normal, unspecified"`,
		}},
		"gets its ACK again when it was lost":          {scenario: "lost_ack", silent: true, want: ours},
		"goes on when a second branch answers as well": {scenario: "fork", silent: true, want: ours},
		"may hold, resume, and ask": {scenario: "asks_again", byPeer: true, want: dialer.End{
			Disposition: scheduler.Answered, Q850: 31, SIP: 200, By: scheduler.ByPeer,
			Native: `SIP;cause=200;text="a, b;cause=9", Q.850;cause=31;text="Normal, unspecified"`,
		}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, c.scenario, nil)
			leg := place(t, open(t, peer.Addr), nil)
			if !c.silent {
				leg.next(dialer.Ringing)
			}
			leg.next(dialer.Answered)
			if !c.byPeer {
				until(t, func() bool { return c.scenario != "fork" || strings.Contains(peer.Messages(), "cause=26") })
				if c.scenario == "lost_ack" {
					time.Sleep(time.Second)
					t.Log(peer.Messages())
				}
				until(t, func() bool { return c.scenario != "lost_ack" || strings.Count(peer.Messages(), "\nACK sip:") == 2 })
				leg.hangUp(dialer.HangupNormal)
			}
			leg.ends(c.want)
			peer.Wait()
		})
	}
}

// until waits for what a peer has yet to do.
func until(t testing.TB, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited in vain")
		}
	}
}

func TestAnAnswerWithoutUsableSoundIsEnded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bad_sdp", "other_codec"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := scenario(t, name, nil)
			leg := place(t, open(t, peer.Addr), nil)
			end := leg.next(dialer.Ended).End
			if end.Disposition != scheduler.Failed || end.SIP != 200 || end.Q850 != 88 || end.By != scheduler.ByUs {
				t.Errorf("end %+v", end)
			}
			peer.Wait()
		})
	}
}

func TestNobodyThereIsFailed(t *testing.T) {
	t.Parallel()
	nobody := netip.MustParseAddrPort("127.0.0.1:9") // discard: nothing listens
	leg := place(t, open(t, nobody), nil)
	leg.ends(dialer.End{Disposition: scheduler.Failed, SIP: 408, Native: "no response", By: scheduler.ByUs})
}

func TestALegThatNobodyAnsweredIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	leg := place(t, open(t, netip.MustParseAddrPort("127.0.0.1:9")), nil)
	begin := time.Now()
	leg.hangUp(dialer.HangupTimeout)
	leg.ends(dialer.End{Disposition: scheduler.NoAnswer, By: scheduler.ByUs})
	if took := time.Since(begin); took > 64*msg.T1 {
		t.Errorf("the end came after %v", took)
	}
}

func TestAHostThatDoesNotResolveSignalsNothing(t *testing.T) {
	t.Parallel()
	d, err := sip.New(sip.Options{Endpoint: "sip:{number}@no.such.host.invalid", Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
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
	d, err := sip.New(sip.Options{
		Endpoint: "sip:00{number}@carrier.invalid", Listen: "127.0.0.1:0", OutboundProxy: peer.Addr.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
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
	if err := d.Originate(context.Background(), dialer.Originate{ID: "late", Number: number}, nil); err == nil {
		t.Error("a closed driver took a leg")
	}
	if d.Health(context.Background()) == nil {
		t.Error("a closed driver is healthy")
	}
}

func TestCloseDoesNotWaitLongerThanItMay(t *testing.T) {
	t.Parallel()
	d, err := sip.New(sip.Options{Endpoint: "sip:{number}@127.0.0.1:9", Listen: "127.0.0.1:0"})
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
	fine := dialer.Originate{ID: "0192-b1", Number: number}
	for claim, change := range map[string]func(*dialer.Originate){
		"a number with a line break": func(o *dialer.Originate) { o.Number.E164 = "+39333\r\nX-Evil: 1" },
		"a number with an @":         func(o *dialer.Originate) { o.Number.E164 = "+39333@elsewhere" },
		"a number without digits":    func(o *dialer.Originate) { o.Number = scheduler.Number{} },
		"an endless number":          func(o *dialer.Originate) { o.Number.E164 = strings.Repeat("1", 33) },
		"an id with a line break":    func(o *dialer.Originate) { o.ID = "a\r\nb" },
		"no id":                      func(o *dialer.Originate) { o.ID = "" },
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
