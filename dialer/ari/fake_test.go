package ari

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"ringback/dialer"
	"ringback/scheduler"
)

// script is an ARI that answers as a test says, for what a real Asterisk does
// not do on demand.
type script struct {
	t      *testing.T
	server *httptest.Server
	answer func(w http.ResponseWriter, r *http.Request) bool // false: 204

	mu       sync.Mutex
	requests []string
	bodies   []string
	socket   *websocket.Conn
	busy     atomic.Int32
	peak     atomic.Int32
}

func newScript(t *testing.T, answer func(w http.ResponseWriter, r *http.Request) bool) *script {
	s := &script{t: t, answer: answer}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// ServeHTTP answers a request.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u, p, _ := r.BasicAuth(); u != "ringback" || p != "hush" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/ari/events" {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		s.mu.Lock()
		s.socket = conn
		s.mu.Unlock()
		<-conn.CloseRead(r.Context()).Done()
		return
	}
	now := s.busy.Add(1)
	defer s.busy.Add(-1)
	for peak := s.peak.Load(); now > peak && !s.peak.CompareAndSwap(peak, now); peak = s.peak.Load() {
	}
	var body json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/ari/"))
	s.bodies = append(s.bodies, string(body))
	s.mu.Unlock()
	switch {
	case s.answer != nil && s.answer(w, r):
	case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/applications/"):
		fmt.Fprint(w, `{"channel_ids":[]}`)
	case r.Method == http.MethodGet:
		fmt.Fprint(w, `[]`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// tell sends an event.
func (s *script) tell(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.socket.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		s.t.Error(err)
	}
}

func (s *script) count(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if r == request {
			n++
		}
	}
	return n
}

// body returns what came with a request.
func (s *script) body(request string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.requests, request); i >= 0 {
		return s.bodies[i]
	}
	return ""
}

func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("%s: it did not come", what)
}

func (s *script) open() *Driver {
	s.t.Helper()
	d := s.begin()
	wait(s.t, "health", func() bool { return d.Health(context.Background()) == nil })
	return d
}

// begin makes a driver and does not wait for it.
func (s *script) begin() *Driver {
	s.t.Helper()
	d, err := New(Options{
		URL: s.server.URL + "/ari", Username: "ringback", Password: "hush", App: "ringback", Node: "n",
		Endpoints: map[string]string{"peer": "PJSIP/{number}@trunk"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = d.Close(ctx) // a leg may be left on purpose
	})
	return d
}

const legID = "0123456789abcdef0123456789abcdef-a1"

func originate(t *testing.T, d *Driver) chan dialer.Event {
	t.Helper()
	told := make(chan dialer.Event, 10)
	err := d.Originate(context.Background(), dialer.Originate{
		ID: legID, Trunk: "peer", Number: scheduler.Number{E164: "+39065551234"}, Partner: "p",
		Caller: scheduler.CallerID{Name: `"x" <1>`, Number: "+390655500000"},
	}, func(e dialer.Event) { told <- e })
	if err != nil {
		t.Fatal(err)
	}
	return told
}

func next(t *testing.T, told chan dialer.Event, k dialer.EventKind) dialer.End {
	t.Helper()
	select {
	case e := <-told:
		if e.Kind != k {
			t.Fatalf("told %+v, want kind %d", e, k)
		}
		return e.End
	case <-time.After(10 * time.Second):
		t.Fatalf("event %d was not told", k)
	}
	return dialer.End{}
}

func TestWhatIsOrdered(t *testing.T) {
	s := newScript(t, nil)
	d := s.open()
	told := originate(t, d)
	wait(t, "the order", func() bool { return s.count("POST channels/"+legID) == 1 })
	want := `{"endpoint":"PJSIP/39065551234@trunk","app":"ringback-n","callerId":"\"x   1\" \u003c+390655500000\u003e","timeout":150,"originator":"p","variables":{"RINGBACK_TRUNK":"peer"}}`
	if got := s.body("POST channels/" + legID); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	s.tell(`{"type":"ChannelStateChange","channel":{"id":%q,"state":"Ringing"}}`, legID)
	s.tell(`{"type":"Dial","dialstatus":"RINGING","peer":{"id":%q}}`, legID)
	s.tell(`{"type":"Dial","dialstatus":"PROGRESS","peer":{"id":%q}}`, legID)
	s.tell(`no event at all`)
	s.tell(`{"type":"StasisStart","channel":{"id":%q,"state":"Up"}}`, legID)
	s.tell(`{"type":"StasisEnd","channel":{"id":%q,"state":"Up"}}`, legID)
	for range 2 {
		s.tell(`{"type":"ChannelDestroyed","cause":31,"cause_txt":"Normal","tech_cause":200,"channel":{"id":%q}}`, legID)
	}
	next(t, told, dialer.Ringing)
	next(t, told, dialer.EarlyMedia)
	next(t, told, dialer.Answered)
	if got, want := next(t, told, dialer.Ended), (dialer.End{Disposition: scheduler.Answered, Q850: 31, Native: "Normal", By: scheduler.ByPeer}); got != want {
		t.Errorf("ended %+v, want %+v", got, want)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if len(told) > 0 {
		t.Errorf("then came %+v", <-told)
	}
}

func TestFaultsOfAsterisk(t *testing.T) {
	post := func(r *http.Request) bool { return r.Method == http.MethodPost }
	lost := scheduler.Cause{Q850: scheduler.CauseTemporary}.Disposition()
	for claim, test := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   scheduler.Disposition
		delete bool
	}{
		"a refused channel costs nothing": {func(w http.ResponseWriter, r *http.Request) bool {
			if post(r) {
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"error":"Allocation failed"}`)
			}
			return post(r)
		}, scheduler.LocalError, false},
		"so does a page that is not there": {func(w http.ResponseWriter, r *http.Request) bool {
			if post(r) {
				w.WriteHeader(http.StatusNotFound)
			}
			return post(r)
		}, scheduler.LocalError, false},
		"a channel that there may be is hung up": {func(w http.ResponseWriter, r *http.Request) bool {
			if post(r) {
				panic(http.ErrAbortHandler) // the connection is cut
			}
			return false
		}, lost, true},
	} {
		t.Run(claim, func(t *testing.T) {
			s := newScript(t, test.answer)
			d := s.open()
			told := originate(t, d)
			if end := next(t, told, dialer.Ended); end.Disposition != test.want || end.By != scheduler.ByUs || end.Native == "" {
				t.Errorf("ended %+v, want %s", end, test.want)
			}
			if err := d.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if got := s.count("DELETE channels/"+legID) > 0; got != test.delete {
				t.Errorf("hung up: %t, want %t", got, test.delete)
			}
		})
	}
}

// TestAChannelThatIsToldOfGoesOn though the answer to its order is lost.
func TestAChannelThatIsToldOfGoesOn(t *testing.T) {
	rings := make(chan struct{})
	s := newScript(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			<-rings
			panic(http.ErrAbortHandler) // the connection is cut
		}
		return false
	})
	d := s.open()
	told := originate(t, d)
	s.tell(`{"type":"ChannelStateChange","channel":{"id":%q,"state":"Ringing"}}`, legID)
	next(t, told, dialer.Ringing)
	close(rings)
	wait(t, "the channel", func() bool { return len(d.placed()) == 1 })
	s.tell(`{"type":"StasisStart","channel":{"id":%q,"state":"Up"}}`, legID)
	next(t, told, dialer.Answered)
	s.tell(`{"type":"ChannelDestroyed","cause":16,"channel":{"id":%q}}`, legID)
	next(t, told, dialer.Ended)
	if s.count("DELETE channels/"+legID) > 0 {
		t.Error("the channel was hung up")
	}
}

func TestHangUpIsRepeated(t *testing.T) {
	var tries atomic.Int32
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete && tries.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	})
	d := s.open()
	told := originate(t, d)
	_ = d.Hangup(t.Context(), legID, dialer.HangupTimeout)
	wait(t, "a second order", func() bool { return s.count("DELETE channels/"+legID) == 2 })
	s.tell(`{"type":"ChannelDestroyed","cause":0,"channel":{"id":%q}}`, legID)
	want := dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, By: scheduler.ByUs}
	if got := next(t, told, dialer.Ended); got != want {
		t.Errorf("ended %+v, want %+v", got, want)
	}
}

func TestAnEndThatAsteriskDoesNotTell(t *testing.T) {
	s := newScript(t, nil)
	d := s.open()
	told := originate(t, d)
	_ = d.Hangup(t.Context(), legID, dialer.HangupCancel)
	if end := next(t, told, dialer.Ended); end.Disposition != scheduler.Cancelled || end.By != scheduler.ByUs {
		t.Errorf("ended %+v", end)
	}
}

func TestStrays(t *testing.T) {
	s := newScript(t, nil)
	s.open()
	s.tell(`{"type":"StasisStart","channel":{"id":"1700000000.1","state":"Up"}}`)
	s.tell(`{"type":"ChannelDestroyed","channel":{"id":%q}}`, legID)
	s.tell(`{"type":"StasisStart","channel":{"id":%q,"state":"Up"}}`, "0123456789abcdef0123456789abcdef-b1.2")
	wait(t, "the hang-up", func() bool { return s.count("DELETE channels/0123456789abcdef0123456789abcdef-b1.2") == 1 })
	if s.count("DELETE channels/1700000000.1")+s.count("DELETE channels/"+legID) > 0 {
		t.Errorf("what is not ours, or gone, was hung up: %q", s.requests)
	}
}

func TestFewConnections(t *testing.T) {
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			<-time.After(20 * time.Millisecond)
		}
		return false
	})
	d := s.open()
	for i := range 50 {
		err := d.Originate(context.Background(), dialer.Originate{
			ID: dialer.LegID(fmt.Sprintf("%032x-a1", i)), Trunk: "peer", Number: scheduler.Number{E164: "+39065551234"},
		}, func(dialer.Event) {})
		if err != nil {
			t.Fatal(err)
		}
	}
	var joins sync.WaitGroup
	for i := range 20 {
		joins.Go(func() {
			if err := d.rest.join(t.Context(), bridge{ID: fmt.Sprint(i)}, "a", "b"); err != nil {
				t.Error(err)
			}
		})
	}
	joins.Wait()
	wait(t, "fifty orders", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.requests) >= 93 && s.busy.Load() == 0
	})
	if peak := s.peak.Load(); peak > 8 || peak < 3 {
		t.Errorf("%d requests at one time, at most 8 are allowed", peak)
	}
}

// TestVerdict: causes that a real Asterisk gives only with luck.
func TestVerdict(t *testing.T) {
	long := time.Now().Add(-unansweredFor * time.Second)
	for claim, test := range map[string]struct {
		leg        *leg
		cause, sip int
		want       dialer.End
	}{
		"a refusal beats our hang-up":           {&leg{hung: true}, 17, 486, dialer.End{Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, By: scheduler.ByPeer}},
		"the end of a CANCEL is ours":           {&leg{hung: true}, 127, 487, dialer.End{Disposition: scheduler.Cancelled, Q850: 16, SIP: 487, By: scheduler.ByUs}},
		"19 is ours if we gave up":              {&leg{hung: true, reason: dialer.HangupTimeout}, 19, 0, dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, By: scheduler.ByUs}},
		"19 is the peer's if we cancelled":      {&leg{hung: true}, 19, 480, dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, SIP: 480, By: scheduler.ByPeer}},
		"26 is ours if another answered":        {&leg{hung: true, reason: dialer.HangupElsewhere}, 26, 0, dialer.End{Disposition: scheduler.Cancelled, Q850: 26, By: scheduler.ByUs}},
		"0 after Asterisk's own limit is 19":    {&leg{placedAt: long}, 0, 0, dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, By: scheduler.ByUs}},
		"0 before that says nothing":            {&leg{placedAt: time.Now()}, 0, 0, dialer.End{Disposition: scheduler.Failed, By: scheduler.ByPeer}},
		"a SIP code decides where 127 does not": {&leg{}, 127, 486, dialer.End{Disposition: scheduler.UserBusy, Q850: 127, SIP: 486, By: scheduler.ByPeer}},
		"403 is no user's refusal":              {&leg{}, 21, 403, dialer.End{Disposition: scheduler.Congestion, Q850: 21, SIP: 403, By: scheduler.ByPeer}},
		"408 without ringing is no user's":      {&leg{}, 18, 408, dialer.End{Disposition: scheduler.Failed, Q850: 18, SIP: 408, By: scheduler.ByPeer}},
		"408 after ringing is":                  {&leg{rang: true}, 18, 408, dialer.End{Disposition: scheduler.NoAnswer, Q850: 18, SIP: 408, By: scheduler.ByPeer}},
		"a cause that the peer gave beats 403":  {&leg{}, 1, 403, dialer.End{Disposition: scheduler.InvalidNumber, Q850: 1, SIP: 403, By: scheduler.ByPeer}},
		"an answered leg stays answered":        {&leg{answered: true}, 41, 0, dialer.End{Disposition: scheduler.Answered, Q850: 41, By: scheduler.ByPeer}},
		"and is ours if we hung up":             {&leg{answered: true, hung: true, reason: dialer.HangupTimeout}, 0, 0, dialer.End{Disposition: scheduler.Answered, Q850: 16, By: scheduler.ByUs}},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := test.leg.verdict(test.cause, test.sip, ""); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestBackOff: a connection is of use only once the channels were compared, and
// one that is of no use is not tried again and again.
func TestBackOff(t *testing.T) {
	s := newScript(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/ari/bridges" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return r.URL.Path == "/ari/bridges"
	})
	d := s.begin()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if d.Health(t.Context()) == nil {
			t.Fatal("the driver is healthy before it knows what there is")
		}
	}
	if n := s.count("GET bridges"); n < 2 || n > 6 { // after 0, 0.1–0.2, 0.3–0.6, 0.7–1.4, 1.5–3 s
		t.Errorf("%d attempts in two seconds", n)
	}
	if err := d.Health(t.Context()); !strings.Contains(fmt.Sprint(err), "503") {
		t.Errorf("health says %v", err)
	}
}
