package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"ringback/dialer"
)

const (
	// firstPause and lastPause bound the back-off between attempts to connect.
	firstPause = 200 * time.Millisecond
	lastPause  = 15 * time.Second
	// connectLimit is how long an attempt may take.
	connectLimit = 5 * time.Second
	// pingEvery is how often a silent connection is tried, and pingLimit how
	// long Asterisk may take to answer.
	pingEvery = 5 * time.Second
	pingLimit = 5 * time.Second
	// maxEvent bounds an event, in bytes.
	maxEvent = 1 << 20
	// failedFor is how long after a playback that failed the end of its channel,
	// which may be why, is told.
	failedFor = 300 * time.Millisecond
	// lostAfter is how long Asterisk may be away before the legs on it are
	// given up.
	lostAfter = 2 * time.Minute
)

// link is the state of the WebSocket.
type link struct {
	mu    sync.Mutex
	count int // connections so far
	err   error
	conn  *websocket.Conn // the last one
}

// state returns the number of the connection, and why it cannot be used; nil:
// it can.
func (l *link) state() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.err
}

func (l *link) number() int {
	n, _ := l.state()
	return n
}

// opened counts a connection that is not ready for use yet.
func (l *link) opened(conn *websocket.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.conn = conn
}

// farewell closes a connection that works, so that Asterisk has nothing to
// warn of.
func (l *link) farewell() {
	l.mu.Lock()
	conn, err := l.conn, l.err
	l.mu.Unlock()
	if conn != nil && err == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// set says whether the connection can be used.
func (l *link) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// errReplaced says that another client took our application.
var errReplaced = errors.New("another process uses the same application of asterisk: every node needs a name of its own")

// connect keeps the WebSocket connected until the driver is closed.
func (d *Driver) connect() {
	pause := firstPause
	away := time.Now()
	for d.life.Err() == nil {
		worked, err := d.converse()
		if d.isClosed() {
			<-d.life.Done()
			return
		}
		if worked {
			pause, away = firstPause, time.Now()
		}
		if errors.Is(err, errReplaced) {
			pause = lastPause
		}
		d.link.set(fmt.Errorf("asterisk is away: %w", err))
		d.log.Warn("asterisk is away; connecting again", "err", err)
		if time.Since(away) > lostAfter {
			d.loseAll()
		}
		select {
		case <-d.life.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, lastPause)
	}
}

// converse connects, finds out what became of the legs, and then passes on
// what Asterisk tells until the connection is lost; it reports whether legs
// could be made meanwhile.
func (d *Driver) converse() (worked bool, err error) {
	conn, err := d.open()
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithCancelCause(d.life)
	defer cancel(nil)
	d.link.opened(conn)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { cancel(d.read(ctx, conn)) })
	if err := d.reconcile(ctx); err != nil {
		cancel(err)
		return false, context.Cause(ctx)
	}
	d.link.set(nil)
	d.log.Info("connected to asterisk")
	for {
		select {
		case <-ctx.Done():
			return true, context.Cause(ctx)
		case <-time.After(pingEvery):
		}
		if err := ping(ctx, conn); err != nil {
			cancel(err)
			return true, context.Cause(ctx)
		}
	}
}

// open connects the WebSocket.
func (d *Driver) open() (*websocket.Conn, error) {
	u := *d.rest.base.JoinPath("events")
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	u.RawQuery = url.Values{"app": {d.app}}.Encode()
	ctx, cancel := context.WithTimeout(d.life, connectLimit)
	defer cancel()
	header := http.Header{}
	auth := http.Request{Header: header}
	auth.SetBasicAuth(d.rest.username, d.rest.password)
	conn, resp, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPHeader: header})
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	switch {
	case err == nil:
	case resp != nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden):
		return nil, errors.New("asterisk refuses the username or the password")
	case resp != nil:
		return nil, fmt.Errorf("asterisk answered %d to the WebSocket", resp.StatusCode)
	default:
		return nil, bare(err)
	}
	conn.SetReadLimit(maxEvent)
	return conn, nil
}

func ping(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("no answer to a ping: %w", err)
	}
	return nil
}

// event is what Asterisk tells; only what we look at.
type event struct {
	Type    string  `json:"type"`
	Channel channel `json:"channel"`
	Cause   int     `json:"cause"`
	Text    string  `json:"cause_txt"`
	Tech    int     `json:"tech_cause"` // of newer versions: the SIP code
	// Of Dial.
	Peer   channel `json:"peer"`
	Status string  `json:"dialstatus"`
	// Of PlaybackFinished.
	Playback struct {
		ID     string `json:"id"`
		Target string `json:"target_uri"` // channel: and its id
		State  string `json:"state"`      // "done" or "failed"
	} `json:"playback"`
}

// read passes events on until the connection is lost.
func (d *Driver) read(ctx context.Context, conn *websocket.Conn) error {
	for {
		_, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		var e event
		if err := json.Unmarshal(text, &e); err != nil {
			d.log.Warn("asterisk told something that is no event", "err", err)
			continue
		}
		if e.Type == "ApplicationReplaced" {
			return errReplaced
		}
		d.take(e)
	}
}

// take applies an event to its leg. A channel that comes to life with an id
// of ours and no leg was given up before.
func (d *Driver) take(e event) {
	id := e.Channel.ID
	switch e.Type {
	case "Dial":
		id = e.Peer.ID
	case "PlaybackFinished":
		id = dialer.LegID(strings.TrimPrefix(e.Playback.Target, "channel:"))
	}
	l := d.leg(id)
	if l == nil {
		if (e.Type == "StasisStart" || e.Type == "ChannelStateChange") && legForm.MatchString(string(id)) {
			d.hangUpStray(id)
		}
		return
	}
	switch e.Type {
	case "Dial":
		switch e.Status {
		case "RINGING":
			l.ring()
		case "PROGRESS":
			l.progress()
			d.overhear(l)
		}
	case "ChannelStateChange":
		if e.Channel.State == "Ringing" {
			l.ring()
		}
	case "StasisStart":
		l.answer()
	case "PlaybackFinished":
		if e.Playback.State != "failed" {
			l.played(e.Playback.ID)
			return
		}
		time.AfterFunc(failedFor, func() { l.unplayed(e.Playback.ID) })
	case "ChannelDestroyed":
		l.destroy(e.Cause, e.sip(), e.Text)
	}
}

// sip is the final SIP response code, 0 if there is none.
func (e event) sip() int {
	if e.Tech < 300 || e.Tech > 699 {
		return 0
	}
	return e.Tech
}

// hangUpStray ends a channel that is nobody's.
func (d *Driver) hangUpStray(id dialer.LegID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.log.Warn("a channel of ours belongs to no call; it is hung up", "leg", string(id))
	d.wg.Go(func() {
		if err := d.rest.hangup(d.life, id, "normal"); err != nil && d.life.Err() == nil {
			d.log.Warn("stray channel not hung up", "leg", string(id), "err", err)
		}
	})
}
