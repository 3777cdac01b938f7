// Package ari makes legs as channels of an Asterisk (16 or newer) over its
// REST interface: orders by HTTP, news by one WebSocket.
//
// A leg is a channel that Asterisk originates into our Stasis application, so
// that its StasisStart is the answer; its ChannelDestroyed is the end, and
// nothing else is. Sound stays in Asterisk. A channel that was not answered
// cannot be bridged there: A hears early media of B through a spy (early.go).
//
// Channels outlive the WebSocket and us. Whenever it is connected, first of all
// the channels of our application are compared with the legs under way
// (recover.go); until then the driver is not healthy and takes no leg.
package ari

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"ringback/dialer"
)

// Driver makes legs on one Asterisk, for one or several trunks. It implements
// dialer.Driver.
type Driver struct {
	app       string
	endpoints map[string]endpoint
	sounds    map[string]string
	log       *slog.Logger
	rest      *rest
	link      link
	life      context.Context // of every request
	kill      context.CancelFunc
	wg        sync.WaitGroup // legs and what they sent
	linked    chan struct{}  // closed: the WebSocket is given up

	mu        sync.Mutex
	legs      map[dialer.LegID]*leg
	keepsLeft bool // what a former life left is not hung up yet
	closed    bool
}

// New returns a driver that connects by itself, now and whenever the
// connection is lost; every fault of the options is reported at once. The
// caller closes it.
func New(o Options) (*Driver, error) {
	s, err := o.check()
	if err != nil {
		return nil, err
	}
	d := &Driver{
		app: s.app, endpoints: s.endpoints, sounds: o.Sounds, log: s.log, rest: newREST(s.base, o.Username, o.Password),
		linked: make(chan struct{}), legs: map[dialer.LegID]*leg{}, keepsLeft: o.KeepLeft,
	}
	d.life, d.kill = context.WithCancel(context.Background())
	d.link.set(errors.New("not connected to asterisk yet"))
	go func() {
		defer close(d.linked)
		d.connect()
	}()
	return d, nil
}

// legForm is what the engine's leg ids look like: a channel of our application
// with such an id is ours.
var legForm = regexp.MustCompile(`^[0-9a-f]{32}-[ab][0-9]+(\.[0-9]+)?$`)

// Originate starts a leg: a channel into our application.
func (d *Driver) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	if !legForm.MatchString(string(o.ID)) {
		return errors.New("the id of the leg cannot be that of a channel")
	}
	template, ok := d.endpoints[o.Trunk]
	if !ok {
		return fmt.Errorf("asterisk has no trunk %s", o.Trunk)
	}
	dial, err := template.dial(o.Number)
	if err != nil {
		return err
	}
	l := newLeg(d, o.ID, originated{
		Endpoint: dial, App: d.app, CallerID: callerID(o.Caller), Timeout: unansweredFor, Originator: o.Partner,
		Variables: map[string]string{trunkVariable: o.Trunk},
	}, events)
	l.sounds = d.sounds[o.Trunk]
	if err := d.add(l); err != nil {
		return err
	}
	go func() {
		defer d.wg.Done()
		l.run(ctx)
	}()
	return nil
}

// add notes a leg that is about to run.
func (d *Driver) add(l *leg) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("the driver is closed")
	}
	var err error
	if l.link, err = d.link.state(); err != nil {
		return err
	}
	if _, ok := d.legs[l.id]; ok {
		return fmt.Errorf("leg %s exists already", l.id)
	}
	d.legs[l.id] = l
	d.wg.Add(1)
	return nil
}

func (d *Driver) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *Driver) forget(l *leg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.legs, l.id)
}

func (d *Driver) leg(id dialer.LegID) *leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.legs[id]
}

// answered returns a leg that was answered and has not ended.
func (d *Driver) answered(id dialer.LegID) (*leg, error) {
	l := d.leg(id)
	if l == nil || !l.talks() {
		return nil, fmt.Errorf("leg %s is not answered", id)
	}
	return l, nil
}

// Ringback lets Asterisk play ringing tone to an answered leg, or stops it.
func (d *Driver) Ringback(ctx context.Context, id dialer.LegID, on bool) error {
	if _, err := d.answered(id); err != nil {
		return err
	}
	return d.rest.ring(ctx, id, on)
}

// Play lets Asterisk play a sound of its own disk to an answered leg: one below
// the trunk's directory of sounds, or the very file that we read.
func (d *Driver) Play(ctx context.Context, id dialer.LegID, s dialer.Sound) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	if err := d.deafen(ctx, l); err != nil {
		return err
	}
	file := strings.TrimSuffix(s.File, ".wav") // Asterisk picks the format
	if l.sounds != "" {
		file = l.sounds + "/" + s.ID
	}
	playback := l.hears(playMark)
	if err := d.rest.play(ctx, id, playback, "sound:"+file); err != nil {
		l.played(playback)
		return err
	}
	return nil
}

// Press lets Asterisk send digits to an answered leg. It tells nobody when it
// has, so that Played comes once it must have.
func (d *Driver) Press(ctx context.Context, id dialer.LegID, digits string) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	if err := d.rest.dtmf(ctx, id, digits); err != nil {
		return err
	}
	sent := l.hears("dtmf")
	time.AfterFunc(dialer.DigitsTime(digits), func() { l.played(sent) })
	return nil
}

// Bridge puts two answered legs into a mixing bridge, which lasts as long as
// leg a.
func (d *Driver) Bridge(ctx context.Context, a, b dialer.LegID) error {
	x, errX := d.answered(a)
	_, errY := d.answered(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if err := d.deafen(ctx, x); err != nil {
		return err
	}
	made := bridge{ID: string(a) + bridgeMark, Name: d.app}
	x.joins(made.ID)
	if err := d.rest.join(ctx, made, a, b); err != nil {
		return err
	}
	if !x.talks() { // too late for its own goroutine to remove it
		d.unbridge(made.ID)
	}
	return nil
}

// bridgeMark ends the ids of our bridges, after that of leg A.
const bridgeMark = ".bridge" // no +: Asterisk reads it as a space

// unbridge removes a bridge. What it cannot remove is removed when it connects
// again.
func (d *Driver) unbridge(id string) {
	if err := d.rest.remove(d.life, id); err != nil && d.life.Err() == nil {
		d.log.Warn("bridge not removed", "err", err)
	}
}

// Hangup ends a leg, answered or not.
func (d *Driver) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	if l := d.leg(id); l != nil {
		l.hangUp(reason)
	}
	return nil
}

// Health is nil while the WebSocket is connected and the channels there are
// known.
func (d *Driver) Health(context.Context) error {
	_, err := d.link.state()
	return err
}

// Close hangs up every leg and waits until Asterisk has ended its channel, or
// until ctx is over; then it returns ctx's error. The legs' ends are told
// before it returns.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		<-d.linked
		return nil
	}
	d.closed = true
	for _, l := range d.legs {
		l.hangUp(dialer.HangupCancel)
	}
	d.mu.Unlock()
	quiet := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(quiet)
	}()
	var err error
	select {
	case <-quiet:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		d.link.farewell()
	}
	d.kill()
	<-quiet
	<-d.linked
	d.link.set(errors.New("the driver is closed"))
	d.rest.close()
	return err
}
