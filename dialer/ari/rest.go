package ari

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ringback/dialer"
)

const (
	// Connections at most. Asterisk has 100 HTTP sessions, which count idle
	// ones, too. Putting channels into a bridge has its own: Asterisk 16 answers
	// it only when the channels are heard of next, up to 200 ms each while they
	// are silent, and no other order shall wait behind that.
	joinConns  = 6
	otherConns = 2
	// idleFor is less than the 15 s after which Asterisk closes an idle
	// connection (http.conf, session_keep_alive).
	idleFor = 5 * time.Second
	// requestLimit is how long a request may take.
	requestLimit = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: a list of ten thousand channels.
	maxAnswer = 16 << 20
	// unansweredFor is how long a channel may ring before Asterisk ends it
	// without us, in seconds: longer than any call of ours rings.
	unansweredFor = 150
)

// errGone says that what a request was about does not exist.
var errGone = errors.New("does not exist")

// errUnsent says that a request never left: nothing was signalled.
var errUnsent = errors.New("asterisk was not reached")

// refusal is an answer of Asterisk that is no success.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("asterisk answered %d", r.status)
	}
	return fmt.Sprintf("asterisk answered %d: %s", r.status, r.message)
}

// rest is ARI's requests.
type rest struct {
	base               *url.URL
	username, password string
	client             *http.Client
	joiner             *http.Client
}

func newREST(base *url.URL, username, password string) *rest {
	return &rest{base: base, username: username, password: password, client: newClient(otherConns), joiner: newClient(joinConns)}
}

func newClient(conns int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxConnsPerHost: conns, MaxIdleConnsPerHost: conns, IdleConnTimeout: idleFor,
	}}
}

func (r *rest) close() {
	r.client.CloseIdleConnections()
	r.joiner.CloseIdleConnections()
}

// do sends a request and decodes the answer into to, unless that is nil.
func (r *rest) do(ctx context.Context, method string, u *url.URL, body, to any) error {
	return r.send(ctx, r.client, request{method, u, body}, to)
}

type request struct {
	method string
	url    *url.URL
	body   any // nil: none
}

// send is do over a client.
func (r *rest) send(ctx context.Context, client *http.Client, order request, to any) error {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	var content io.Reader
	if order.body != nil {
		encoded, err := json.Marshal(order.body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, order.method, order.url.String(), content)
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.username, r.password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		err = bare(err)
		if !sent.Load() {
			return fmt.Errorf("%w: %w", errUnsent, err)
		}
		return err
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswer)
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return errGone
	case resp.StatusCode >= http.StatusMultipleChoices:
		var said struct{ Message, Error string }
		_ = json.NewDecoder(answer).Decode(&said) // whatever it is, the status says enough
		return refusal{resp.StatusCode, strings.TrimSpace(said.Message + " " + said.Error)}
	case to != nil:
		return json.NewDecoder(answer).Decode(to)
	}
	_, err = io.Copy(io.Discard, answer)
	return err
}

// bare leaves the URL out of an error: it holds ids and hosts.
func bare(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// channels is the address of a channel, or of an order to it.
func (r *rest) channel(id dialer.LegID, order ...string) *url.URL {
	return r.base.JoinPath(append([]string{"channels", url.PathEscape(string(id))}, order...)...)
}

// originated is the body of a new channel.
type originated struct {
	Endpoint   string            `json:"endpoint"`
	App        string            `json:"app"`
	CallerID   string            `json:"callerId,omitempty"`
	Timeout    int               `json:"timeout"` // seconds
	Originator dialer.LegID      `json:"originator,omitempty"`
	Variables  map[string]string `json:"variables,omitempty"`
}

func (r *rest) originate(ctx context.Context, id dialer.LegID, o originated) error {
	return r.do(ctx, http.MethodPost, r.channel(id), o, nil)
}

func (r *rest) ring(ctx context.Context, id dialer.LegID, on bool) error {
	method := http.MethodDelete
	if on {
		method = http.MethodPost
	}
	return r.do(ctx, method, r.channel(id, "ring"), nil, nil)
}

// play lets a channel hear a medium, under the name playback.
func (r *rest) play(ctx context.Context, id dialer.LegID, playback, media string) error {
	return r.do(ctx, http.MethodPost, r.channel(id, "play", url.PathEscape(playback)), struct {
		Media string `json:"media"`
	}{media}, nil)
}

// isPlaying reports whether a playback has not ended.
func (r *rest) isPlaying(ctx context.Context, playback string) (bool, error) {
	err := r.do(ctx, http.MethodGet, r.base.JoinPath("playbacks", url.PathEscape(playback)), nil, nil)
	if errors.Is(err, errGone) {
		return false, nil
	}
	return true, err
}

// dtmf sends digits to a channel. Asterisk knows the pause w, of half a second.
func (r *rest) dtmf(ctx context.Context, id dialer.LegID, digits string) error {
	u := r.channel(id, "dtmf")
	var sent strings.Builder
	for i := range len(digits) {
		if pause := dialer.PauseOf(digits[i]); pause > 0 {
			sent.WriteString(strings.Repeat("w", int(pause/dialer.PauseOf('w'))))
		} else {
			sent.WriteByte(digits[i])
		}
	}
	u.RawQuery = url.Values{
		"dtmf": {sent.String()}, "duration": {ms(dialer.DigitTone)}, "between": {ms(dialer.DigitGap)},
	}.Encode()
	return r.do(ctx, http.MethodPost, u, nil, nil)
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// hangup ends a channel; one that is gone is no error.
func (r *rest) hangup(ctx context.Context, id dialer.LegID, reason string) error {
	u := r.channel(id)
	u.RawQuery = url.Values{"reason": {reason}}.Encode()
	if err := r.do(ctx, http.MethodDelete, u, nil, nil); !errors.Is(err, errGone) {
		return err
	}
	return nil
}

// channel is what ARI says of a channel.
type channel struct {
	ID       dialer.LegID `json:"id"`
	State    string       `json:"state"`
	Created  stamp        `json:"creationtime"`
	Dialplan struct {
		App string `json:"app_name"`
	} `json:"dialplan"`
}

// stamp is a time as ARI writes it.
type stamp time.Time

// UnmarshalText reads it; one that cannot be read is none.
func (s *stamp) UnmarshalText(text []byte) error {
	if at, err := time.Parse("2006-01-02T15:04:05.999-0700", string(text)); err == nil {
		*s = stamp(at)
	}
	return nil
}

// inStasis reports whether the channel was answered and is an application's.
func (c channel) inStasis() bool { return c.State == "Up" && c.Dialplan.App == "Stasis" }

func (r *rest) channelsNow(ctx context.Context) ([]channel, error) {
	var list []channel
	err := r.do(ctx, http.MethodGet, r.base.JoinPath("channels"), nil, &list)
	return list, err
}

func (r *rest) channelNow(ctx context.Context, id dialer.LegID) (channel, error) {
	var c channel
	err := r.do(ctx, http.MethodGet, r.channel(id), nil, &c)
	return c, err
}

// application is what ARI says of an application.
type application struct {
	Name     string         `json:"name"`
	Channels []dialer.LegID `json:"channel_ids"`
}

// subscribed returns the channels of an application, rung ones included.
func (r *rest) subscribed(ctx context.Context, app string) ([]dialer.LegID, error) {
	var a application
	err := r.do(ctx, http.MethodGet, r.base.JoinPath("applications", url.PathEscape(app)), nil, &a)
	return a.Channels, err
}

func (r *rest) applications(ctx context.Context) ([]application, error) {
	var list []application
	err := r.do(ctx, http.MethodGet, r.base.JoinPath("applications"), nil, &list)
	return list, err
}

// subscribe lets an application hear of a channel, whoever's it is.
func (r *rest) subscribe(ctx context.Context, app string, id dialer.LegID) error {
	u := r.base.JoinPath("applications", url.PathEscape(app), "subscription")
	u.RawQuery = url.Values{"eventSource": {"channel:" + string(id)}}.Encode()
	var refused refusal
	err := r.do(ctx, http.MethodPost, u, nil, nil)
	if errors.As(err, &refused) && refused.status == http.StatusUnprocessableEntity { // there is no such channel
		return errGone
	}
	return err
}

// variable returns a variable of a channel; "" if it has none of that name.
func (r *rest) variable(ctx context.Context, id dialer.LegID, name string) (string, error) {
	u := r.channel(id, "variable")
	u.RawQuery = url.Values{"variable": {name}}.Encode()
	var v struct{ Value string }
	err := r.do(ctx, http.MethodGet, u, nil, &v)
	if errors.Is(err, errGone) { // the channel, or the variable
		return "", nil
	}
	return v.Value, err
}

// bridge is what ARI says of a bridge, and what it is told of a new one.
type bridge struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (r *rest) bridges(ctx context.Context) ([]bridge, error) {
	var list []bridge
	err := r.do(ctx, http.MethodGet, r.base.JoinPath("bridges"), nil, &list)
	return list, err
}

// join makes a bridge and puts two channels into it.
func (r *rest) join(ctx context.Context, b bridge, x, y dialer.LegID) error {
	made := struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}{"mixing", b.Name}
	u := r.base.JoinPath("bridges", url.PathEscape(b.ID))
	if err := r.do(ctx, http.MethodPost, u, made, nil); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	put := struct {
		Channel []dialer.LegID `json:"channel"`
	}{[]dialer.LegID{x, y}}
	if err := r.send(ctx, r.joiner, request{http.MethodPost, u.JoinPath("addChannel"), put}, nil); err != nil {
		return fmt.Errorf("put the legs into a bridge: %w", err)
	}
	return nil
}

// remove ends a bridge; one that is gone is no error.
func (r *rest) remove(ctx context.Context, id string) error {
	err := r.do(ctx, http.MethodDelete, r.base.JoinPath("bridges", url.PathEscape(id)), nil, nil)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}
