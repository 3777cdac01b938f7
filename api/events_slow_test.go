package api

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/store"
	"ringback/store/storetest"
)

// wire is an answer that goes over a line which takes a part only when it is
// read.
type wire struct {
	net.Conn
	header http.Header
}

func (w wire) Header() http.Header { return w.header }
func (w wire) WriteHeader(int)     {}
func (w wire) Flush()              {}

// In virtual time: a server that streams, and a listener's end of the line.
func inBubble(t *testing.T, test func(t *testing.T, r *rig, open func(path, token string) (line net.Conn, over chan struct{}))) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{URL: storetest.SQLiteURL(t), Secret: storetest.SecretKey()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { r.server.Stream(ctx) })
		test(t, r, func(path, token string) (net.Conn, chan struct{}) {
			here, there := net.Pipe()
			over := make(chan struct{})
			req := httptest.NewRequestWithContext(ctx, "GET", path+"/events", nil)
			req.Header.Set("Authorization", "Bearer "+token)
			running.Go(func() {
				defer close(over)
				r.server.ServeHTTP(wire{there, http.Header{}}, req)
				there.Close()
			})
			return here, over
		})
	})
}

// A listener that does not take what it is sent is cut off in time, and holds
// nobody else.
func TestSlowListenerIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig, open func(string, string) (net.Conn, chan struct{})) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		slow, cut := open(queue, r.a.token)
		quick, over := open(queue, r.a.token)
		lines := bufio.NewScanner(quick)
		until := func(text string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), text) {
					return
				}
			}
			t.Fatalf("the answer ended before %q", text)
		}
		until("event: hold")
		began := time.Now()
		for _, name := range []string{"first", "second", "third"} {
			r.do("POST", queue+"/tasks", r.a.token, oneTask(r.a, `"name":"`+name+`"`)).want(201)
			until(name)
		}
		if took := time.Since(began); took > 3*pollEvery {
			t.Errorf("the other listener waited %s", took)
		}
		go func() {
			for lines.Scan() {
			}
		}()
		<-cut
		if took := time.Since(began); took > sendMost {
			t.Errorf("cut off after %s", took)
		}
		slow.Close()
		quick.Close()
		<-over
		if r.server.hub.count != 0 || len(r.server.hub.feeds) != 0 || len(r.server.hub.clients) != 0 {
			t.Errorf("something is left of them: %+v", r.server.hub)
		}
	})
}

// A line without changes shows a heartbeat, and a token that has expired ends
// it.
func TestListenersTokenIsLookedAtAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig, open func(string, string) (net.Conn, chan struct{})) {
		queue := r.queue(r.a, `{"name":"q","status":"on"}`)
		const life = 2 * time.Minute
		began := time.Now()
		short := tokenOfA(r)
		short.Hash, short.CreatedAt, short.ExpiresAt = hashOf("short"), began, began.Add(life)
		if err := r.store.AddTokens(t.Context(), short); err != nil {
			t.Fatal(err)
		}
		line, over := open(queue, "short")
		beats := 0
		for lines := bufio.NewScanner(line); lines.Scan(); {
			if lines.Text() == ":" {
				beats++
			}
		}
		<-over
		took := time.Since(began)
		if took < life || took > life+beatsAToken*heartbeatEvery {
			t.Errorf("it ended after %s", took)
		}
		if want := int(took / heartbeatEvery); beats < want-1 || beats > want {
			t.Errorf("%d heartbeats in %s", beats, took)
		}
	})
}
