package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringback/dialer/sip/sipptest"
)

// traceSlack is how far our clock and SIPp's may be apart on a busy machine: a
// time that is taken at the wrong moment is off by more.
const traceSlack = 250 * time.Millisecond

// tracedCall is what the call history says of times and codes.
type tracedCall struct {
	Init     string      `json:"init_time_gmt"`
	Bridged  *string     `json:"bridged_time_gmt"`
	Hangup   string      `json:"hangup_time_gmt"`
	Duration int64       `json:"duration"`
	Talk     *int64      `json:"bridged_duration"`
	Result   string      `json:"result"`
	By       string      `json:"hangup_disposition"`
	Cause    string      `json:"hangup_cause"`
	Legs     []tracedLeg `json:"cdr"`
}

type tracedLeg struct {
	Leg     string  `json:"leg"`
	Number  string  `json:"number"`
	Init    string  `json:"init_time_gmt"`
	Ring    string  `json:"ring_time_gmt"`
	Start   *string `json:"start_time_gmt"`
	Hangup  string  `json:"hangup_time_gmt"`
	Result  string  `json:"result"`
	SIPCode int     `json:"sip_code"`
	Q850    *int    `json:"q850"`
	PDD     int64   `json:"pdd_ms"`
}

// codes are what a leg says but for its times.
func (l tracedLeg) codes() string {
	q850 := "none"
	if l.Q850 != nil {
		q850 = fmt.Sprint(*l.Q850)
	}
	return fmt.Sprintf("%s %s %s %d %s", l.Leg, l.Number, l.Result, l.SIPCode, q850)
}

// near holds a time of the call history to one of SIPp's trace.
func near(t *testing.T, what, said string, wire time.Time) {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05.999999", said)
	if off := at.Sub(wire); err != nil || wire.IsZero() || off.Abs() > traceSlack {
		t.Errorf("%s is %q, %v after SIPp's %s, %v", what, said, off, wire.UTC(), err)
	}
}

// compare holds a leg to the trace of its peer; final is the response that
// ended the ringing, end what ended the leg.
func (l tracedLeg) compare(t *testing.T, peer *sipptest.Peer, final, end string) {
	t.Helper()
	invite, rang := peer.At("INVITE"), peer.At("180")
	near(t, l.Leg+": the request", l.Init, invite)
	near(t, l.Leg+": the ringing", l.Ring, rang)
	if off := time.Duration(l.PDD)*time.Millisecond - rang.Sub(invite); off.Abs() > traceSlack || l.PDD < 300 {
		t.Errorf("%s: the post-dial delay is %d ms, SIPp has %v", l.Leg, l.PDD, rang.Sub(invite))
	}
	if l.Start != nil {
		near(t, l.Leg+": the answer", *l.Start, peer.At(final))
	}
	near(t, l.Leg+": the end", l.Hangup, peer.At(end))
}

// traced posts a task over SIP, with A as it is given, and returns its call.
func traced(t *testing.T, a, b *sipptest.Peer, number string) tracedCall {
	t.Helper()
	dir := t.TempDir()
	trunks := fmt.Sprintf(`trunks:
  - {name: near, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340001"], uri_hosts: [127.0.0.1], listen: '127.0.0.1:0', options_interval: 0s}
  - {name: far, driver: sip, endpoint: 'sip:{number}@%s', prefixes: ["+390612340002"], listen: '127.0.0.1:0', options_interval: 0s}
`, a.Addr, b.Addr)
	if err := os.WriteFile(filepath.Join(dir, "ringback.yaml"), []byte(trunks), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProgram("", dir, []string{"serve"}, []string{"RINGBACK_ADMIN_USERNAME=" + adminName, "RINGBACK_ADMIN_PASSWORD=" + adminPassword})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if code, err := p.stop(syscall.SIGINT); code != 0 || err != nil {
			t.Errorf("stop: exit code %d, %v\n%s", code, err, p.out.String())
		}
	}()
	client, err := newTenant(p.url, 1)
	if err != nil {
		t.Fatal(err)
	}
	task := map[string]any{"name": "traced", "a_number": number, "b_number": "+390612340002", "extension_id": client.extension}
	if err := client.must(http.StatusCreated, "POST", client.tasks(), map[string]any{"tasks": []any{task}}, nil); err != nil {
		t.Fatal(err)
	}
	var got wireTask
	err = await(patience, func() error {
		if got, err = client.task("traced"); err == nil && got.Status != "finished" {
			err = fmt.Errorf("the task is still %s", got.Status)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.out.String())
	}
	a.Wait()
	b.Wait()
	var call tracedCall
	if err := client.must(http.StatusOK, "GET", client.path("/call_history/"+got.CDR), nil, &call); err != nil {
		t.Fatal(err)
	}
	if len(call.Legs) != 2 {
		t.Fatalf("legs %+v", call.Legs)
	}
	return call
}

// TestTheCallHistoryIsWhatHappened on the wire, as SIPp logged it.
func TestTheCallHistoryIsWhatHappened(t *testing.T) {
	for claim, c := range map[string]struct {
		b     string
		keys  map[string]string
		byURI bool
		call  string
		legs  [2]string // A's number left out
		final string    // of B
		end   string    // of B
	}{
		"a call that B ends": {
			b: "measured_end", keys: map[string]string{"ring": "600", "talk": "1500"}, call: "bridged callee_bye NORMAL_UNSPECIFIED",
			legs: [2]string{"answered 200 16", "b +390612340002 answered 200 31"}, final: "200", end: "BYE",
		},
		"a call to a SIP URI": {
			b: "measured_end", keys: map[string]string{"ring": "600", "talk": "1500"}, byURI: true, call: "bridged callee_bye NORMAL_UNSPECIFIED",
			legs: [2]string{"answered 200 16", "b +390612340002 answered 200 31"}, final: "200", end: "BYE",
		},
		"a call that B refuses": {
			b: "measured_refusal", keys: map[string]string{"ring": "600"}, call: "busy callee_refuse USER_BUSY",
			legs: [2]string{"answered 200 16", "b +390612340002 busy 486 17"}, end: "486",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			scenarios := filepath.Join("..", "..", "dialer", "sip", "testdata")
			a := sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, "measured.xml"), Keys: map[string]string{"ring": "700"}, Limit: patience})
			b := sipptest.Start(t, sipptest.Options{Scenario: filepath.Join(scenarios, c.b+".xml"), Keys: c.keys, Limit: patience})
			number := "+390612340001"
			if c.byURI {
				number = "sip:anna%20b@" + a.Addr.String()
			}
			call := traced(t, a, b, number)
			if c.byURI && !strings.HasPrefix(a.Trace()[0].First(), "INVITE "+number) {
				t.Errorf("the INVITE is %s", a.Trace()[0].First())
			}
			if got := call.Result + " " + call.By + " " + call.Cause; got != c.call {
				t.Errorf("the call is %q, want %q", got, c.call)
			}
			if got, want := call.Legs[0].codes(), "a "+number+" "+c.legs[0]; got != want {
				t.Errorf("A is %q, want %q", got, want)
			}
			if got := call.Legs[1].codes(); got != c.legs[1] {
				t.Errorf("B is %q, want %q", got, c.legs[1])
			}
			call.Legs[0].compare(t, a, "200", "BYE")
			call.Legs[1].compare(t, b, c.final, c.end)
			near(t, "the beginning", call.Init, a.At("INVITE"))
			near(t, "the hang-up", call.Hangup, a.At("BYE"))
			if off := time.Duration(call.Duration)*time.Second - a.At("BYE").Sub(a.At("INVITE")); off.Abs() > time.Second+traceSlack {
				t.Errorf("the duration is %d s, %v off", call.Duration, off)
			}
			if call.Bridged == nil != (c.final == "") {
				t.Fatalf("bridged at %v", call.Bridged)
			}
			if call.Bridged != nil {
				near(t, "the bridge", *call.Bridged, b.At("200"))
				if off := time.Duration(*call.Talk)*time.Second - b.At("BYE").Sub(b.At("200")); off.Abs() > time.Second+traceSlack {
					t.Errorf("they talked %d s, %v off", *call.Talk, off)
				}
			}
		})
	}
}
