// Package esl makes legs as channels of a FreeSWITCH (1.8 or newer) over its
// inbound event socket: orders as background jobs, news as plain events, over
// one TCP connection.
//
// A leg is a channel that FreeSWITCH originates under our id and parks once it
// was answered; its CHANNEL_HANGUP_COMPLETE is the end, and nothing else is.
// Sound stays in FreeSWITCH. A channel is bridged when it was answered, so that
// A hears ringing tone, and no early media of B, until B answers.
//
// Channels outlive the connection and us. Whenever it is made, first of all the
// channels that bear our mark are compared with the legs under way
// (recover.go); until then the driver is not healthy and takes no leg.
package esl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"

	"ringback/dialer"
)

// Driver makes legs on one FreeSWITCH, for one or several trunks. It implements
// dialer.Driver and dialer.Recoverer.
type Driver struct {
	address, password, node string
	endpoints               map[string]endpoint
	sounds                  map[string]string
	log                     *slog.Logger
	link                    link
	life                    context.Context // of every order
	end                     context.CancelFunc
	wg                      sync.WaitGroup // legs and what they sent
	linked                  chan struct{}  // closed: the connection is given up

	mu     sync.Mutex
	legs   map[dialer.LegID]*leg
	closed bool
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
		address: o.Address, password: o.Password, node: o.Node, endpoints: s.endpoints, sounds: o.Sounds, log: s.log,
		linked: make(chan struct{}), legs: map[dialer.LegID]*leg{},
	}
	d.life, d.end = context.WithCancel(context.Background())
	d.link.set(nil, errors.New("not connected to freeswitch yet"))
	go func() {
		defer close(d.linked)
		d.connect()
	}()
	return d, nil
}

// legForm is what the engine's leg ids look like: a channel with such an id and
// our mark is ours.
var legForm = regexp.MustCompile(`^[0-9a-f]{32}-[ab][0-9]+(\.[0-9]+)?$`)

// Originate starts a leg: a channel that is parked once it was answered.
func (d *Driver) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	if !legForm.MatchString(string(o.ID)) {
		return errors.New("the id of the leg cannot be that of a channel")
	}
	template, ok := d.endpoints[o.Trunk]
	if !ok {
		return fmt.Errorf("freeswitch has no trunk %s", o.Trunk)
	}
	dial, err := template.dial(o.Number)
	if err != nil {
		return err
	}
	l := newLeg(d, o.ID, originateCommand(d.node, dial, o), events)
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
	if l.conn, err = d.link.state(); err != nil {
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

// order has FreeSWITCH do something over the connection that there is now.
func (d *Driver) order(ctx context.Context, command string) error {
	c, err := d.link.state()
	if err != nil {
		return fmt.Errorf("%w: %w", errUnsent, err)
	}
	_, err = c.order(ctx, command)
	return err
}

// Ringback lets FreeSWITCH play ringing tone to an answered leg, or stops it.
func (d *Driver) Ringback(ctx context.Context, id dialer.LegID, on bool) error {
	l, err := d.answered(id)
	if err != nil || !l.tone(on) {
		return err
	}
	command := quietCommand(id)
	if on {
		command = ringCommand(id)
	}
	return d.order(ctx, command)
}

// Bridge joins two answered legs, and returns when FreeSWITCH says that they
// are joined.
func (d *Driver) Bridge(ctx context.Context, a, b dialer.LegID) error {
	x, errX := d.answered(a)
	y, errY := d.answered(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	joined := x.expect(b)
	if err := d.order(ctx, bridgeCommand(a, b)); err != nil {
		return err
	}
	select {
	case <-joined:
		return nil
	case <-x.over:
		return fmt.Errorf("leg %s ended", a)
	case <-y.over:
		return fmt.Errorf("leg %s ended", b)
	case <-ctx.Done():
		return fmt.Errorf("freeswitch does not say that the legs are joined: %w", context.Cause(ctx))
	}
}

// joined tells the legs that wait for it that they are bridged.
func (d *Driver) joined(a, b dialer.LegID) {
	for _, pair := range [][2]dialer.LegID{{a, b}, {b, a}} {
		if l := d.leg(pair[0]); l != nil {
			l.join(pair[1])
		}
	}
}

// Hangup ends a leg, answered or not.
func (d *Driver) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	if l := d.leg(id); l != nil {
		l.hangUp(reason)
	}
	return nil
}

// kill ends a channel; errNoChannel if there is none.
func (d *Driver) kill(id dialer.LegID, cause string) error {
	return noChannel(d.order(d.life, killCommand(id, cause)))
}

// Health is nil while the event socket is connected and the channels there are
// known.
func (d *Driver) Health(context.Context) error {
	_, err := d.link.state()
	return err
}

// Close hangs up every leg and waits until FreeSWITCH has ended its channel, or
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
	d.end()
	<-quiet
	<-d.linked
	d.link.set(nil, errors.New("the driver is closed"))
	return err
}
