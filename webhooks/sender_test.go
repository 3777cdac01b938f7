package webhooks_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ringback/scheduler"
	"ringback/webhooks"
)

// loopback allows the receivers of tests.
var loopback = webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func transport(t *testing.T, g webhooks.Guard) *http.Transport {
	tr := webhooks.NewTransport(g, 16)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func work(url string) webhooks.Work {
	return webhooks.Work{
		Delivery: scheduler.Delivery{ID: 1, EventID: "evt_1", URL: url, Body: []byte(`{"id":"evt_1"}`)},
		Secrets:  []webhooks.Secret{webhooks.NewSecret(time.Now())},
	}
}

// raw is a receiver that speaks no HTTP of its own accord.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestARequestIsWhatIsPromised(t *testing.T) {
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	}))
	defer s.Close()
	w := work(s.URL + "/hook?x=1")
	try, ok := webhooks.Send(t.Context(), transport(t, loopback), w)
	if !ok || try.Error != "" || try.Status != 200 || try.Remote != strings.TrimPrefix(s.URL, "http://") || try.Took <= 0 {
		t.Fatalf("%+v, %v", try, ok)
	}
	if got.Method != http.MethodPost || got.URL.RequestURI() != "/hook?x=1" || got.Header.Get("Content-Type") != "application/json" ||
		!bytes.Equal(body, w.Delivery.Body) || got.ContentLength != int64(len(body)) {
		t.Errorf("%s %s %v %s", got.Method, got.URL, got.Header, body)
	}
	if err := verifier(t, w.Secrets[0].String()).Verify(body, got.Header); err != nil {
		t.Error(err)
	}
	for name := range got.Header {
		switch name {
		case "Content-Type", "Content-Length", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature":
		default:
			t.Errorf("there is a header %s", name)
		}
	}
}

func TestAnAnswerIsNamed(t *testing.T) {
	hook := func(answer http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string {
			s := httptest.NewServer(answer)
			t.Cleanup(s.Close)
			return s.URL
		}
	}
	status := func(code int) func(*testing.T) string {
		return hook(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for name, c := range map[string]struct {
		url    func(t *testing.T) string
		status int
		error  string
	}{
		"200 is a success":     {status(200), 200, ""},
		"204 is a success":     {status(204), 204, ""},
		"299 is a success":     {status(299), 299, ""},
		"304 is a redirect":    {status(304), 304, webhooks.ErrRedirect},
		"400 is the client's":  {status(400), 400, "http_4xx"},
		"410 is gone":          {status(410), 410, webhooks.ErrGone},
		"503 is the server's":  {status(503), 503, "http_5xx"},
		"999 is what it says":  {status(999), 999, "http_9xx"},
		"a name that is none":  {func(*testing.T) string { return "http://nowhere.invalid/" }, 0, webhooks.ErrDNS},
		"an inward address":    {func(*testing.T) string { return "http://10.0.0.1/" }, 0, webhooks.ErrBlocked},
		"a metadata service":   {func(*testing.T) string { return "http://169.254.169.254/" }, 0, webhooks.ErrBlocked},
		"a URL that is none":   {func(*testing.T) string { return "http://a b/" }, 0, webhooks.ErrProtocol},
		"an unsafe TLS peer":   {selfSigned, 0, webhooks.ErrTLS},
		"a closed port":        {func(t *testing.T) string { return closedPort(t) }, 0, webhooks.ErrRefused},
		"no HTTP":              {func(t *testing.T) string { return raw(t, speak("SSH-2.0-OpenSSH_9\r\n\r\n")) }, 0, webhooks.ErrProtocol},
		"TLS that is none":     {func(t *testing.T) string { return "https" + strings.TrimPrefix(raw(t, speak("nonsense\r\n")), "http") }, 0, webhooks.ErrTLS},
		"a reset":              {func(t *testing.T) string { return raw(t, reset) }, 0, webhooks.ErrReset},
		"a body cut short":     {func(t *testing.T) string { return raw(t, speak("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")) }, 200, webhooks.ErrReset},
		"a refusal's cut body": {func(t *testing.T) string { return raw(t, speak("HTTP/1.1 410 Gone\r\nContent-Length: 9\r\n\r\nx")) }, 410, webhooks.ErrGone},
		"an endless header":    {func(t *testing.T) string { return raw(t, speak("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 128<<10))) }, 0, webhooks.ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try, ok := webhooks.Send(t.Context(), transport(t, loopback), work(c.url(t)))
			if !ok || try.Status != c.status || try.Error != c.error {
				t.Errorf("%+v, %v", try, ok)
			}
		})
	}
}

func selfSigned(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	return "http://" + l.Addr().String()
}

// speak takes what comes and answers with a text.
func speak(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
	}
}

func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	_ = c.(*net.TCPConn).SetLinger(0)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	try, _ := webhooks.Send(t.Context(), transport(t, loopback), work(s.URL))
	if try.Status != 307 || try.Error != webhooks.ErrRedirect || asked.Load() != 1 {
		t.Errorf("%+v after %d requests", try, asked.Load())
	}
}

func TestNoProxyLeadsRoundTheGuard(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	tr := transport(t, loopback)
	if try, _ := webhooks.Send(t.Context(), tr, work("http://10.1.2.3/")); try.Error != webhooks.ErrBlocked || asked.Load() != 0 {
		t.Errorf("%+v, and the proxy was asked %d times", try, asked.Load())
	}
	if tr.Proxy != nil { // the environment is read once a process, so look as well
		t.Error("the transport has a proxy")
	}
}

func TestTheResponseIsKeptWithoutSecretsAndNotWhole(t *testing.T) {
	w := work("")
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, "secret %s ", w.Secrets[0])
		_, _ = rw.Write(bytes.Repeat([]byte("x"), 20<<10))
	}))
	defer s.Close()
	w.Delivery.URL = s.URL
	try, _ := webhooks.Send(t.Context(), transport(t, loopback), w)
	if try.Error != "" || len(try.Response) > 8<<10 || !bytes.HasPrefix(try.Response, []byte("secret whsec_*** xxx")) {
		t.Errorf("%d bytes, %.60s, %s", len(try.Response), try.Response, try.Error)
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  time.Duration
	}{
		"seconds":         {"120", 120 * time.Second},
		"a date":          {time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat), 10 * time.Minute},
		"a past date":     {time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat), 0},
		"nonsense":        {"soon", 0},
		"a negative":      {"-5", 0},
		"an overflow":     {"99999999999999999999", 0},
		"a date nowhere":  {"Fri, 31 Feb 2026 25:00:00 GMT", 0},
		"nothing":         {"", 0},
		"a fraction":      {"1.5", 0},
		"years in one go": {"2147483647", 2147483647 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.value)
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			defer s.Close()
			try, _ := webhooks.Send(t.Context(), transport(t, loopback), work(s.URL))
			if d := try.RetryAfter - c.want; d > 0 || d < -2*time.Second {
				t.Errorf("%v, want %v", try.RetryAfter, c.want)
			}
		})
	}
}

func TestACancelledRequestIsNoTry(t *testing.T) {
	asked := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if try, ok := webhooks.Send(ctx, transport(t, loopback), work(s.URL)); ok {
		t.Errorf("%+v", try)
	}
}

// An idle connection that the receiver closes is no failure.
func TestAClosedIdleConnectionCostsNoTry(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	tr := transport(t, loopback)
	for i := range 20 {
		if try, _ := webhooks.Send(t.Context(), tr, work(s.URL)); try.Error != "" {
			t.Fatalf("request %d: %+v", i, try)
		}
		s.CloseClientConnections()
	}
}

// pipes is a network of a bubble: whoever dials is served by serve.
func pipes(t *testing.T, serve func(net.Conn)) *http.Transport {
	tr := webhooks.NewTransport(webhooks.Guard{}, 16)
	var served sync.WaitGroup
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		served.Go(func() { defer theirs.Close(); serve(theirs) })
		return ours, nil
	}
	t.Cleanup(func() { tr.CloseIdleConnections(); served.Wait() })
	return tr
}

func TestEveryPartOfARequestHasATimeout(t *testing.T) {
	hang := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		url   string
		serve func(net.Conn)
		error string
		took  time.Duration
	}{
		"no first byte in 10 s": {"http://receiver/", hang, webhooks.ErrTimeoutHeader, 10 * time.Second},
		"no handshake in 5 s":   {"https://receiver/", hang, webhooks.ErrTLS, 5 * time.Second},
		"no whole body in 15 s": {"http://receiver/", func(c net.Conn) {
			speak("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")(c)
			hang(c)
		}, webhooks.ErrTimeoutBody, 15 * time.Second},
		"a body that drips": {"http://receiver/", func(c net.Conn) {
			speak("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")(c)
			for range 60 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}, webhooks.ErrTimeoutBody, 15 * time.Second},
		"a header that drips": {"http://receiver/", func(c net.Conn) {
			speak("HTTP/1.1 200 OK\r\nX: ")(c)
			for range 60 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}, webhooks.ErrTimeoutHeader, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := pipes(t, c.serve)
				try, ok := webhooks.Send(t.Context(), tr, work(c.url))
				if !ok || try.Error != c.error || try.Took != c.took {
					t.Errorf("%+v, %v", try, ok)
				}
			})
		})
	}
}

// A listener whose queue of connections is full answers no SYN.
func TestConnectingHasATimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 3 s")
	}
	t.Parallel()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	first, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	try, _ := webhooks.Send(t.Context(), transport(t, loopback), work("http://"+address))
	if try.Error != webhooks.ErrTimeoutConnect || try.Took < 3*time.Second || try.Took > 5*time.Second {
		t.Errorf("%+v", try)
	}
}

func TestTLSBelow12IsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // what is to be refused
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	defer s.Close()
	tr := transport(t, loopback)
	tr.TLSClientConfig.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	if try, _ := webhooks.Send(t.Context(), tr, work(s.URL)); try.Error != webhooks.ErrTLS {
		t.Errorf("%+v", try)
	}
}

func TestAFormIsSentAsOne(t *testing.T) {
	var got http.Header
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer receiver.Close()
	n := webhooks.New(webhooks.Options{Guard: loopback, Transport: transport(t, loopback)})
	w := work(receiver.URL)
	w.Delivery.Body = webhooks.FormBody(sample(), "evt_1")
	if try := n.Send(t.Context(), w); try.Status != 200 || got.Get("Content-Type") != "application/x-www-form-urlencoded" || got.Get("Webhook-Signature") == "" {
		t.Errorf("%+v, %v", try, got)
	}
	if try := n.Send(t.Context(), webhooks.Work{Delivery: w.Delivery}); try.Error != webhooks.ErrNoSecret {
		t.Errorf("without a secret: %+v", try)
	}
}
