package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Time-outs of a request. The whole of it includes the answer's body.
const (
	connectTimeout = 3 * time.Second
	tlsTimeout     = 5 * time.Second
	headerTimeout  = 10 * time.Second
	wholeTimeout   = 15 * time.Second
)

// maxResponse is how much of an answer is read and kept, in bytes.
const maxResponse = 8 << 10

// NewTransport returns the way every event goes out: guarded at connect, by no
// proxy (one would walk round the guard), with time-outs for each part. perHost
// is how many idle connections to one host are kept.
func NewTransport(g Guard, perHost int) *http.Transport {
	dialer := &net.Dialer{Timeout: connectTimeout, Control: g.Control}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    perHost,
		MaxIdleConns:           1024,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // an answer is as long as it looks
		ForceAttemptHTTP2:      true,
	}
}

// sender makes the requests.
type sender struct {
	client *http.Client
	now    func() time.Time
}

func newSender(transport http.RoundTripper, now func() time.Time) sender {
	return sender{now: now, client: &http.Client{
		Transport: transport,
		// A redirect is an answer: following it would take a signed event to
		// where nobody asked for it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send makes one request. ok is false if ctx was cancelled before it ended:
// then nothing is known of it.
func (s sender) send(ctx context.Context, w Work) (try Try, ok bool) {
	try.At = s.now()
	bounded, cancel := context.WithTimeout(ctx, wholeTimeout)
	defer cancel()
	reached := &progress{}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(bounded, reached.hooks()), http.MethodPost,
		w.Delivery.URL, bytes.NewReader(w.Delivery.Body))
	if err != nil {
		try.Error = ErrProtocol
		return try, true
	}
	req.Header.Set("Content-Type", contentType(w.Delivery.Body))
	req.Header.Set("User-Agent", "ringback")
	// An idle connection that the receiver closes just now is replaced without
	// counting a try: net/http does that for what may be sent twice. Empty, the
	// header itself is not sent.
	req.Header["Idempotency-Key"] = []string{}
	Sign(req.Header, w.Delivery.EventID, w.Delivery.Body, w.Secrets, try.At)
	err = s.exchange(req, &try, w.Secrets)
	try.Took = s.now().Sub(try.At)
	try.Remote = reached.address()
	switch {
	case try.Error != "":
	case err != nil && ctx.Err() != nil:
		return try, false
	case err != nil && try.Status != 0:
		try.Error = bodyError(err)
	case err != nil:
		try.Error = reached.error(err)
	}
	return try, true
}

// exchange sends a request and notes its answer.
func (s sender) exchange(req *http.Request, try *Try, secrets []Secret) error {
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	try.take(resp, s.now())
	return try.read(resp.Body, secrets)
}

// take notes the head of an answer.
func (t *Try) take(resp *http.Response, now time.Time) {
	t.Status = resp.StatusCode
	t.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	switch class := t.Status / 100; {
	case class == 2:
	case class == 3:
		t.Error = ErrRedirect
	case t.Status == http.StatusGone:
		t.Error = ErrGone
	default:
		t.Error = "http_" + strconv.Itoa(class) + "xx"
	}
}

// read keeps the beginning of an answer, without the secrets that a receiver
// may send back.
func (t *Try) read(body io.Reader, secrets []Secret) error {
	text, err := io.ReadAll(io.LimitReader(body, maxResponse))
	for _, s := range secrets {
		text = bytes.ReplaceAll(text, []byte(strings.TrimPrefix(s.String(), secretPrefix)), []byte("***"))
	}
	t.Response = text
	return err
}

// retryAfter reads a Retry-After header: seconds, or a date (RFC 9110, section
// 10.2.3). What is neither asks for nothing.
func retryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// bodyError names what was wrong with the body of an answer.
func bodyError(err error) string {
	if isTimeout(err) {
		return ErrTimeoutBody
	}
	return ErrReset
}

// progress is how far a request got. A dial may outlive its request, so its
// hooks and its readers take turns.
type progress struct {
	mu        sync.Mutex
	remote    string // set once a connection was had
	handshake bool   // TLS was begun and is not done
}

func (p *progress) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.remote = i.Conn.RemoteAddr().String()
		},
		TLSHandshakeStart: func() { p.shake(true) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { p.shake(err != nil) },
	}
}

func (p *progress) shake(under bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handshake = under
}

func (p *progress) address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote
}

// error names what was wrong with a request that had no answer.
func (p *progress) error(err error) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrBlockedAddress):
		return ErrBlocked
	case errors.As(err, &dns):
		return ErrDNS
	case p.handshake:
		return ErrTLS
	case isTimeout(err) && p.remote == "":
		return ErrTimeoutConnect
	case isTimeout(err):
		return ErrTimeoutHeader
	}
	for code, causes := range networkErrors {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return code
			}
		}
	}
	return ErrProtocol
}

// networkErrors are the codes of errors of the system.
var networkErrors = map[string][]error{
	ErrRefused:     {syscall.ECONNREFUSED},
	ErrReset:       {syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed},
	ErrUnreachable: {syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EHOSTDOWN},
}
