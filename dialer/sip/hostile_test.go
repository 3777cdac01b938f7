package sip_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/scheduler"
)

// TestAPeerThatSays500ToEverything is not waited for, and ends no other way.
func TestAPeerThatSays500ToEverything(t *testing.T) {
	t.Parallel()
	t.Run("while it rings", func(t *testing.T) {
		t.Parallel()
		peer := scenario(t, "broken_ringing", nil)
		leg := place(t, open(t, peer.Addr), nil)
		leg.next(dialer.Ringing)
		leg.hangUp(dialer.HangupTimeout)
		leg.ends(dialer.End{Disposition: scheduler.Congestion, SIP: 500, Native: "Server Internal Error", By: scheduler.ByPeer})
		peer.Wait()
	})
	t.Run("in the middle of a talk", func(t *testing.T) {
		t.Parallel()
		peer := scenario(t, "broken_talking", nil)
		leg := place(t, open(t, peer.Addr), nil)
		leg.next(dialer.Answered)
		until(t, func() bool { return strings.Contains(peer.Messages(), "500 Server Internal Error") })
		leg.hangUp(dialer.HangupNormal)
		leg.ends(dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByUs})
		peer.Wait()
	})
}

// rogue is a peer that says what it is told to the INVITE of a call, and is
// polite else.
type rogue struct {
	addr netip.AddrPort

	mu   sync.Mutex
	says map[string][]string // by Call-ID
}

// newRogue opens a rogue on loopback until the end of the test.
func newRogue(t testing.TB) *rogue {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &rogue{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), says: map[string][]string{}}
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			for _, answer := range r.answers(string(buf[:n])) {
				_, _ = conn.WriteToUDPAddrPort([]byte(answer), from)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		done.Wait()
	})
	return r
}

func (r *rogue) tell(call dialer.LegID, says string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.says[string(call)] = strings.Split(says, "\n---\n")
}

var headerLine = regexp.MustCompile(`(?m)^(Via|From|To|Call-ID|CSeq): ([^\r\n]*)`)

// answers are what is said to a request: of what was told, $Via and its like
// stand for the headers of the request.
func (r *rogue) answers(req string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(req, "ACK ") || strings.HasPrefix(req, "SIP/2.0") {
		return nil
	}
	var fill []string
	call := ""
	for _, m := range headerLine.FindAllStringSubmatch(req, -1) {
		fill = append(fill, "$"+m[1], m[2])
		if m[1] == "Call-ID" {
			call = m[2]
		}
	}
	with := strings.NewReplacer(append(fill, "\n", "\r\n")...)
	if strings.HasPrefix(req, "INVITE ") {
		list := make([]string, len(r.says[call]))
		for i, s := range r.says[call] {
			list[i] = with.Replace(s)
		}
		return list
	}
	return []string{with.Replace("SIP/2.0 200 OK\nVia: $Via\nFrom: $From\nTo: $To\nCall-ID: $Call-ID\nCSeq: $CSeq\nContent-Length: 0\n\n")}
}

const (
	rogueHead = "Via: $Via\nFrom: $From\nTo: $To;tag=x\nCall-ID: $Call-ID\nCSeq: $CSeq\n"
	rogueSDP  = "v=0\no=p 5 5 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 8\n"
)

// rogueSays are malformed messages, each in answer to an INVITE.
var rogueSays = []string{
	"", "\n\n", "SIP/2.0", "SIP/2.0 200", "SIP/2.0 200 OK\n\n", "SIP/2.0 99999999999 x\n" + rogueHead + "\n", "SIP/2.0 -1 x\n" + rogueHead + "\n",
	"SIP/2.0 180 Ringing\n" + rogueHead + "Content-Length: -5\n\nabc", "SIP/2.0 180 Ringing\n" + rogueHead + "Content-Length: 99999999999999999999\n\n",
	"SIP/2.0 200 OK\n" + rogueHead + "Content-Length: 0\n\n",
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: *\nContent-Type: application/sdp\n\n" + rogueSDP,
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: <sip:@:99999>\nContent-Type: application/sdp\n\n" + rogueSDP,
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: <tel:1>\nRecord-Route: <>, <sip:;lr>, x\n\n" + rogueSDP,
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: <sip:p@127.0.0.1:9>\nSession-Expires: -1;refresher=;;=\nMin-SE: x\n\n" + rogueSDP,
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: <sip:p@127.0.0.1:9>\nSession-Expires: 1;refresher=uac\nAllow: UPDATE\n\n" + rogueSDP,
	"SIP/2.0 200 OK\nVia: $Via\nFrom: $From\nTo: $To\nCall-ID: $Call-ID\nCSeq: $CSeq\n\n" + rogueSDP, // no tag
	"SIP/2.0 200 OK\nVia: $Via\nCSeq: $CSeq\n\n" + rogueSDP,
	"SIP/2.0 200 OK\nVia: $Via\nFrom: x\nTo: y\nCall-ID:\nCSeq: $CSeq\n\n",
	"SIP/2.0 200 OK\n" + rogueHead + "Contact: <sip:p@127.0.0.1:9>\n\nv=0\nm=audio 99999 RTP/AVP 8\nc=IN IP6 ff02::1\n",
	"SIP/2.0 183 x\n" + rogueHead + "Require: 100rel\nRSeq: 99999999999999999999\nContact: <sip:p@127.0.0.1:9>\n\n" + rogueSDP,
	"SIP/2.0 183 x\n" + rogueHead + "Require: 100rel\nRSeq:\n\n\x00\xff",
	"SIP/2.0 422 x\n" + rogueHead + "Min-SE: 99999999999\n\n", "SIP/2.0 422 x\n" + rogueHead + "Min-SE: -7\n\n",
	"SIP/2.0 401 x\n" + rogueHead + "WWW-Authenticate: Digest\n\n", "SIP/2.0 407 x\n" + rogueHead + "Proxy-Authenticate: Digest realm=\"\n\n",
	"SIP/2.0 401 x\n" + rogueHead + "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", algorithm=MD5-sess, qop=\"auth-int\"\n\n",
	"SIP/2.0 503 x\n" + rogueHead + "Retry-After: 0;;;(\n\n", "SIP/2.0 486 Busy\n" + rogueHead + "Reason: Q.850;cause=;\"\\\n\n",
	"SIP/2.0 302 Moved\n" + rogueHead + "Contact: <sip:elsewhere@192.0.2.1>\n\n", "SIP/2.0 699 \n" + rogueHead + "\n",
	"BYE sip:x SIP/2.0\n" + rogueHead + "\n", "BYE sip:x SIP/2.0\nVia: $Via\nFrom: $To\nTo: $From\nCall-ID: $Call-ID\nCSeq: 1 BYE\n\n",
	"INVITE sip:x SIP/2.0\nVia: $Via\nFrom: $To\nTo: $From\nCall-ID: $Call-ID\nCSeq: 1 INVITE\n\nv=0",
	"UPDATE sip:x SIP/2.0\nVia: $Via\nFrom: <sip:a>;tag=\nTo: $From\nCall-ID: $Call-ID\nCSeq: 4294967296 UPDATE\nSession-Expires: 1\n\n",
	"ACK sip:x SIP/2.0\nVia: $Via\nFrom: $To\nTo: $From\nCall-ID: $Call-ID\nCSeq: 1 ACK\n\n", "OPTIONS * SIP/2.0\n\n", "\x00\x01\x02\xff",
	"SIP/2.0 180 Ringing\n" + rogueHead + "\n\n---\nSIP/2.0 200 OK\n" + rogueHead + "Contact: <sip:p@127.0.0.1:9>\n\n" + rogueSDP + "\n---\nSIP/2.0 486 Busy\n" + rogueHead + "\n",
}

// FuzzPeer looks for what a peer says that makes the driver panic, lose a leg,
// or end one twice.
func FuzzPeer(f *testing.F) {
	for _, s := range rogueSays {
		f.Add(s)
	}
	peer := newRogue(f)
	newDriver := func() *sip.Driver {
		return openTrunks(f, sip.Trunk{Endpoint: fmt.Sprintf("sip:{number}@%s", peer.addr), Username: "acme", Password: "secret"})
	}
	d := newDriver()
	f.Fuzz(func(t *testing.T, says string) {
		t.Parallel()                      // the seeds; what is made up comes one by one
		if d.TrunkHealth("test") != nil { // it asked to be left alone
			d = newDriver()
		}
		leg := place(t, d, func(o *dialer.Originate) { peer.tell(o.ID, says) })
		time.AfterFunc(50*time.Millisecond, func() { _ = d.Hangup(context.Background(), leg.id, dialer.HangupTimeout) })
		seen := map[dialer.EventKind]int{}
		for seen[dialer.Ended] == 0 {
			select {
			case e := <-leg.events:
				if seen[e.Kind]++; seen[e.Kind] > 1 {
					t.Fatalf("event %d came twice", e.Kind)
				}
			case <-time.After(patience):
				t.Fatal("the leg was lost")
			}
		}
		if len(leg.events) > 0 {
			t.Errorf("event %+v after the end", <-leg.events)
		}
	})
}

// TestWhatComesTogetherIsTakenInOrder as a rule: who is refused in the same
// moment has rung before.
func TestWhatComesTogetherIsTakenInOrder(t *testing.T) {
	t.Parallel()
	peer := newRogue(t)
	d := open(t, peer.addr)
	const calls = 50
	rang := 0
	for range calls {
		leg := place(t, d, func(o *dialer.Originate) {
			peer.tell(o.ID, "SIP/2.0 180 Ringing\n"+rogueHead+"\n\n---\nSIP/2.0 486 Busy Here\n"+rogueHead+"\n")
		})
		for e := (dialer.Event{}); e.Kind != dialer.Ended; {
			if e = <-leg.events; e.Kind == dialer.Ringing {
				rang++
			}
		}
	}
	if rang < calls*8/10 {
		t.Errorf("%d of %d rang", rang, calls)
	}
}
