package ari

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"ringback/dialer"
)

// A channel that was not answered cannot be bridged. To let A hear what B's far
// end sends before it answers, Asterisk spies on B's channel, and the spy is
// bridged to A.
const earMark = ".ear" // ends the id of the spy, after that of leg B

const (
	// earTries and earAgain are how often, and after what pause, a spy is put
	// into its bridge: it comes to our application a moment after it is made.
	earTries = 10
	earAgain = 50 * time.Millisecond
)

// overhear lets the partner of a leg hear its early media, beside whoever told
// of it.
func (d *Driver) overhear(b *leg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || b.body.Originator == "" {
		return
	}
	d.wg.Go(func() {
		a, err := d.answered(b.body.Originator)
		if err != nil {
			return
		}
		a.ears.Lock()
		defer a.ears.Unlock()
		if !b.isEarly() {
			return
		}
		a.spied = b.id
		if err := d.spy(a.id, b.id); err != nil && b.isEarly() && a.talks() {
			d.log.Warn("early media could not be let through", "leg", string(b.id), "err", err)
		}
	})
}

// spy makes A hear B's channel.
func (d *Driver) spy(a, b dialer.LegID) error {
	ear := b + earMark
	if err := d.rest.snoop(d.life, b, ear, d.app); err != nil {
		return err
	}
	if err := d.rest.ring(d.life, a, false); err != nil {
		return err
	}
	var err error
	for range earTries {
		err = d.rest.join(d.life, bridge{ID: string(b) + bridgeMark, Name: d.app}, a, ear)
		var refused refusal
		if !errors.As(err, &refused) {
			return err
		}
		select {
		case <-time.After(earAgain):
		case <-d.life.Done():
			return d.life.Err()
		}
	}
	return err
}

// deafen ends what a leg hears of its partner's early media.
func (d *Driver) deafen(ctx context.Context, a *leg) error {
	a.ears.Lock()
	defer a.ears.Unlock()
	if a.spied == "" {
		return nil
	}
	b := a.spied
	a.spied = ""
	// The bridge first: Asterisk 16 keeps one for ever whose spy was hung up.
	return errors.Join(d.rest.remove(ctx, string(b)+bridgeMark), d.rest.hangup(ctx, b+earMark, "normal"))
}

// undoEars is deafen for a leg that is over, and for its partner.
func (d *Driver) undoEars(l *leg) {
	for _, a := range []*leg{l, d.leg(l.body.Originator)} {
		if a == nil {
			continue
		}
		if err := d.deafen(d.life, a); err != nil && d.life.Err() == nil {
			d.log.Warn("early media could not be ended", "leg", string(a.id), "err", err)
		}
	}
}

// isEarly reports whether the leg sends early media.
func (l *leg) isEarly() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.early && !l.answered && !l.ended
}

// snoop makes a channel of our application that hears what another one is sent.
func (r *rest) snoop(ctx context.Context, id, ear dialer.LegID, app string) error {
	return r.do(ctx, http.MethodPost, r.channel(id, "snoop", url.PathEscape(string(ear))), struct {
		Spy string `json:"spy"`
		App string `json:"app"`
	}{"in", app}, nil)
}
