package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/config"
)

// TestLongHeaders: what stands before a body is not read without end.
func TestLongHeaders(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := serveHTTP(config.Config{}, listener, http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
	defer w.close()
	for claim, tc := range map[string]struct{ length, want int }{
		"half of the limit is read": {maxHeader / 2, http.StatusNotFound},
		"twice the limit is not":    {2 * maxHeader, http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(claim, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.base, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Accept", strings.Repeat("a/b,", tc.length/4))
			a, err := asker.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Body.Close()
			if a.StatusCode != tc.want {
				t.Errorf("answered %s", a.Status)
			}
		})
	}
}

// pipes is a listener of connections within the process, which go by the clock
// of a bubble.
type pipes struct {
	net.Listener // its address
	dialled      chan net.Conn
	closed       chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

// TestTimeouts: nobody holds a connection for longer than is good, by saying
// nothing or by saying it slowly.
func TestTimeouts(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for claim, tc := range map[string]struct {
		says   string // at once
		slowly string // a byte a second, again and again
		reads  bool   // what is answered
		closed time.Duration
	}{
		"who says nothing is left after ten seconds":           {closed: 10 * time.Second, reads: true},
		"so is who sends a header for ever":                    {says: "GET / HTTP/1.1\r\nHost: x\r\nX: ", slowly: "a", closed: 10 * time.Second, reads: true},
		"a body may take two minutes":                          {says: "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", slowly: "a", closed: 2 * time.Minute, reads: true},
		"a connection is kept for two minutes without request": {says: get, closed: 2 * time.Minute, reads: true},
		"an answer that nobody reads is given up":              {says: get, closed: 3 * time.Minute},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				address, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer address.Close()
				p := pipes{Listener: address, dialled: make(chan net.Conn), closed: make(chan struct{})}
				answered := make(chan time.Time, 1)
				w := serveHTTP(config.Config{}, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = w.Write(make([]byte, 1<<20))
					answered <- time.Now()
				}), nil, slog.New(slog.DiscardHandler))
				defer w.close()
				ours, theirs := net.Pipe()
				defer ours.Close()
				began := time.Now()
				p.dialled <- theirs
				left := make(chan struct{})
				go func() {
					defer close(left)
					_, err := io.WriteString(ours, tc.says)
					for err == nil && tc.slowly != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(ours, tc.slowly)
					}
				}()
				if tc.reads {
					_, _ = io.Copy(io.Discard, ours) // until the server closes
				} else {
					<-answered
				}
				if took := time.Since(began); took < tc.closed || took > tc.closed+2*time.Second {
					t.Errorf("it took %v, not %v", took, tc.closed)
				}
				ours.Close()
				<-left
			})
		})
	}
}
