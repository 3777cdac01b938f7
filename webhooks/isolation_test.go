package webhooks_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ringback/store/storetest"
	"ringback/webhooks"
)

// How sick receivers are: what they do with a connection after the request.
var sicknesses = map[string]func(net.Conn){
	"hangs":         func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	"drips-headers": func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nX: ") },
	"drips-body":    func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n") },
	"resets":        func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
	"fails":         speak("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
	"redirects":     speak("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"),
	"floods":        func(c net.Conn) { flood(c, "", bytes.Repeat([]byte("x"), 64<<10)) },
	"bombs":         func(c net.Conn) { flood(c, "Content-Encoding: gzip\r\n", bomb()) },
	"expired-tls":   func(c net.Conn) { _ = tls.Server(c, &tls.Config{Certificates: expired()}).Handshake() }, //nolint:gosec // a receiver
}

// unreachable are sick receivers that nobody is connected to.
var unreachable = map[string]func(context.Context) error{
	"refuses": func(context.Context) error { return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} },
	"unknown": func(context.Context) error { return &net.DNSError{Err: "no such host", IsNotFound: true} },
	"black-hole": func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
			return &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
		}
	},
}

// drip says how an answer begins, and then a byte a second.
func drip(c net.Conn, head string) {
	speak(head)(c)
	for {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
		<-time.After(time.Second)
	}
}

// flood answers with 64 MiB.
func flood(c net.Conn, header string, chunk []byte) {
	speak("HTTP/1.1 200 OK\r\n" + header + "Content-Length: 67108864\r\n\r\n")(c)
	for sent := 0; sent < 64<<20; sent += len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// bomb is a megabyte of nothing, packed.
var bomb = sync.OnceValue(func() []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	return packed.Bytes()
})

// expired is a certificate of long ago.
var expired = sync.OnceValue(func() []tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "expired"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(3600, 0),
	}
	der, _ := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
})

// ward is a network of sick receivers and healthy ones.
type ward struct {
	mu     sync.Mutex
	sick   map[string]int       // requests of a kind
	at     map[string]time.Time // when an event arrived at a healthy one, by its URL's path
	served sync.WaitGroup
}

const healthyTakes = 50 * time.Millisecond

// dial connects to the receiver of a name: KIND-NUMBER.example.com.
func (w *ward) dial(ctx context.Context, _, address string) (net.Conn, error) {
	kind, _, _ := strings.Cut(address, ".")
	kind = kind[:strings.LastIndex(kind, "-")]
	w.mu.Lock()
	w.sick[kind]++
	w.mu.Unlock()
	if fail := unreachable[kind]; fail != nil {
		return nil, fail(ctx)
	}
	serve := sicknesses[kind]
	if serve == nil {
		serve = w.heal
	}
	ours, theirs := net.Pipe()
	w.served.Go(func() { defer theirs.Close(); serve(theirs) })
	return ours, nil
}

// heal serves a healthy receiver.
func (w *ward) heal(c net.Conn) {
	var once sync.Once
	l := &single{conn: c, closed: make(chan struct{}), once: &once}
	s := &http.Server{ErrorLog: quiet(), ReadHeaderTimeout: time.Hour, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.at[r.URL.Path] = time.Now()
		w.mu.Unlock()
		<-time.After(healthyTakes)
	}), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			_ = l.Close()
		}
	}}
	_ = s.Serve(l)
}

// single is a listener of one connection.
type single struct {
	conn   net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l *single) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *single) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// sickURLs are n receivers of every kind in turn, each with its backlog.
func sickURLs(n, backlog int) []string {
	kinds := make([]string, 0, len(sicknesses)+len(unreachable))
	for kind := range sicknesses {
		kinds = append(kinds, kind)
	}
	for kind := range unreachable {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	var all []string
	for i := range n {
		kind := kinds[i%len(kinds)]
		scheme := "http"
		if kind == "expired-tls" {
			scheme = "https"
		}
		all = append(all, fmt.Sprintf("%s://%s-%d.example.com/", scheme, kind, i))
	}
	return slices.Concat(slices.Repeat([][]string{all}, backlog)...)
}

// visitSlots is how many requests a visited node has in flight at most.
func visitSlots() int {
	if soaks() {
		return webhooks.DefaultSlots
	}
	return webhooks.DefaultSlots / 2
}

// visit owes events to healthy receivers for a while, beside sick ones with
// their backlogs, and returns how late they were, in order.
func visit(t *testing.T, url string, sick []string, slots bool) (late []time.Duration, w *ward) {
	t.Helper()
	w = &ward{sick: map[string]int{}, at: map[string]time.Time{}}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, storetest.Open(t, url))
		r.o.Slots = visitSlots()
		tr := webhooks.NewTransport(webhooks.Guard{}, webhooks.DefaultPerOrigin)
		tr.DialContext = w.dial
		r.o.Transport = tr
		if !slots {
			takeSlots(t, url)
			r.o.Outbox = unlimited{r.s}
		}
		for batch := range slices.Chunk(sick, 1000) {
			r.owe(batch...)
		}
		const healthy, rounds = 10, 20
		n, stop := r.run()
		r.s.OnEvents(n.Wake)
		due := map[string]time.Time{}
		for round := range rounds {
			hooks := make([]string, healthy)
			for i := range hooks {
				path := fmt.Sprintf("/%d/%d", round, i)
				hooks[i] = fmt.Sprintf("http://healthy-%d.example.com%s", i, path)
				due[path] = time.Now()
			}
			r.owe(hooks...)
			<-time.After(700 * time.Millisecond)
		}
		<-time.After(2 * time.Minute)
		stop()
		w.served.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		for path, at := range due {
			if w.at[path].IsZero() {
				t.Errorf("%s never arrived", path)
			}
			late = append(late, w.at[path].Sub(at)+healthyTakes)
		}
	})
	slices.Sort(late)
	return late, w
}

// unlimited asks for as much as there is.
type unlimited struct{ webhooks.Outbox }

func (u unlimited) ClaimDeliveries(ctx context.Context, c webhooks.Claim) ([]webhooks.Work, bool, error) {
	c.PerOrigin, c.Share = c.Room, c.Room
	return u.Outbox.ClaimDeliveries(ctx, c)
}

// noSlots takes the limits from every destination, whatever it did.
var noSlots = map[string]string{
	"sqlite": `CREATE TRIGGER no_slots AFTER INSERT ON destinations BEGIN UPDATE destinations SET slots = 10000 WHERE id = new.id; END`,
	"pgx": `CREATE FUNCTION no_slots() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.slots := 10000; RETURN NEW; END';
		CREATE TRIGGER no_slots BEFORE INSERT ON destinations FOR EACH ROW EXECUTE FUNCTION no_slots()`,
}

func takeSlots(t *testing.T, url string) {
	t.Helper()
	driver := "pgx"
	if path, ok := strings.CutPrefix(url, "sqlite://"); ok {
		driver, url = "sqlite", path
	}
	db, err := sql.Open(driver, url)
	if err == nil {
		_, err = db.Exec(noSlots[driver])
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Fifty receivers, sick in every way and with more events than there are slots
// in all, delay nobody else's; without slots they do.
func TestSickReceiversDelayNobodyElse(t *testing.T) {
	both(t, func(t *testing.T, empty func(testing.TB) string) {
		sickOnes, backlog := 48, 10*visitSlots()/48
		if soaks() {
			sickOnes, backlog = 50, 4000
		}
		alone, _ := visit(t, empty(t), nil, true)
		beside, w := visit(t, empty(t), sickURLs(sickOnes, backlog), true)
		without, _ := visit(t, empty(t), sickURLs(sickOnes, backlog), false)
		p99 := func(late []time.Duration) time.Duration { return late[len(late)*99/100] }
		t.Logf("healthy p99: %v alone, %v beside %d sick receivers with %d events each, %v without slots; connections %v",
			p99(alone), p99(beside), sickOnes, backlog, p99(without), w.sick)
		if 5*p99(beside) > 6*p99(alone) {
			t.Errorf("beside sick receivers the p99 is %v, alone %v", p99(beside), p99(alone))
		}
		if 5*p99(without) <= 6*p99(alone) {
			t.Error("without slots nothing is worse: the test shows nothing")
		}
		for kind := range sicknesses {
			if w.sick[kind] == 0 {
				t.Errorf("nothing was sent to one that %s", kind)
			}
		}
	})
}
