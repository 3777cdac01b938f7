package esl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"ringback/dialer"
)

const (
	// firstPause and lastPause bound the back-off between attempts to connect.
	firstPause = 200 * time.Millisecond
	lastPause  = 15 * time.Second
	// pingEvery is how often the connection is tried, and pingLimit how long
	// FreeSWITCH may take to answer.
	pingEvery = 5 * time.Second
	pingLimit = 5 * time.Second
	// lostAfter is how long FreeSWITCH may be away before the legs on it are
	// given up.
	lostAfter = 2 * time.Minute
)

// link is the state of the connection.
type link struct {
	mu   sync.Mutex
	conn *conn // the last one; nil: none yet
	err  error // why it cannot be used; nil: it can
}

// state returns the connection, and why it cannot be used; nil: it can.
func (l *link) state() (*conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.err
}

// set says which connection there is, and whether it can be used.
func (l *link) set(c *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.err = c, err
}

// connect keeps the event socket connected until the driver is closed.
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
		d.link.set(nil, fmt.Errorf("freeswitch is away: %w", err))
		d.log.Warn("freeswitch is away; connecting again", "err", err)
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
// what FreeSWITCH tells until the connection is lost; it reports whether legs
// could be made meanwhile.
func (d *Driver) converse() (worked bool, err error) {
	c, err := open(d.life, d.address, d.password, d.take)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(d.life)
	defer cancel(nil)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer c.close()
	tasks.Go(func() { cancel(c.read()) })
	if err := d.prepare(ctx, c); err != nil {
		cancel(err)
		return false, context.Cause(ctx)
	}
	d.link.set(c, nil)
	d.log.Info("connected to freeswitch")
	cancel(d.watch(ctx, c))
	return true, context.Cause(ctx)
}

// watch returns when the connection is lost. It looks once more for channels
// that are nobody's: they may come late into the list.
func (d *Driver) watch(ctx context.Context, c *conn) error {
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pingEvery):
		}
		if err := ping(ctx, c); err != nil {
			return err
		}
		if first {
			if err := d.sweep(ctx, c); err != nil {
				return err
			}
		}
	}
}

// prepare makes a new connection fit for use.
func (d *Driver) prepare(ctx context.Context, c *conn) error {
	limited, done := context.WithTimeoutCause(ctx, orderLimit, errors.New("no answer in time"))
	defer done()
	if _, err := c.command(limited, subscription); err != nil {
		return fmt.Errorf("subscribe to events: %w", err)
	}
	return d.reconcile(ctx, c)
}

func ping(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingLimit, errors.New("no answer in time"))
	defer cancel()
	if _, err := c.command(ctx, "api uptime"); err != nil {
		return fmt.Errorf("ask whether it is there: %w", err)
	}
	return nil
}

// take applies an event to its leg. A channel that comes to life with an id
// and a mark of ours and no leg was given up before.
func (d *Driver) take(e event) {
	id := dialer.LegID(e.get("Unique-ID"))
	name := e.get("Event-Name")
	if name == "CHANNEL_BRIDGE" {
		a, b := cmp.Or(e.get("Bridge-A-Unique-ID"), string(id)), cmp.Or(e.get("Bridge-B-Unique-ID"), e.get("Other-Leg-Unique-ID"))
		d.joined(dialer.LegID(a), dialer.LegID(b))
		return
	}
	l := d.leg(id)
	if l == nil {
		if name != "CHANNEL_HANGUP_COMPLETE" && legForm.MatchString(string(id)) && e.get("variable_"+nodeVariable) == d.node {
			d.hangUpStray(id)
		}
		return
	}
	switch name {
	case "CHANNEL_CREATE":
		l.create()
	case "CHANNEL_PROGRESS":
		l.ring()
	case "CHANNEL_PROGRESS_MEDIA":
		l.progress()
	case "CHANNEL_ANSWER":
		l.pickUp()
	case "CHANNEL_PARK":
		l.park()
	case "CHANNEL_EXECUTE_COMPLETE":
		l.executed(e)
	case "CHANNEL_HANGUP_COMPLETE":
		l.complete(hangupOf(e))
	}
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
		if err := d.kill(id, "NORMAL_CLEARING"); err != nil && !errors.Is(err, errNoChannel) && d.life.Err() == nil {
			d.log.Warn("stray channel not hung up", "leg", string(id), "err", err)
		}
	})
}
