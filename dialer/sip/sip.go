// Package sip makes legs on a SIP trunk as a back-to-back user agent (RFC
// 3261): every leg is a call of its own, with our session description on both
// sides, and sound is relayed between them.
//
// It speaks UDP, TCP or TLS, and G.711, and relays what else both sides speak.
// sipgo parses, sends and keeps the transactions; the
// life of an INVITE is ours (uac.go), because a leg owes exactly one end
// whatever the peer does: a CANCEL waits for the first response, an answer
// that crosses it is acknowledged and ended, and nothing is concluded from the
// order in which responses arrive.
package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ringback/dialer"
)

// ourName is the user part of our own URIs, and our User-Agent.
const ourName = "ringback"

// Driver makes legs on SIP trunks. It implements dialer.Driver and
// dialer.Recoverer: legs of any two of its trunks can be bridged.
type Driver struct {
	trunks   map[string]*trunk
	stations []*station
	kill     chan struct{}      // closed: wait for nobody
	wg       sync.WaitGroup     // legs, and what they sent
	rest     context.CancelFunc // ends the watches
	watches  sync.WaitGroup

	mu     sync.Mutex
	legs   map[dialer.LegID]*leg
	lost   map[string]time.Time // dialogs without a leg that were begun to be ended, and when
	closed bool
}

// New opens the SIP addresses of the trunks and returns the driver; every
// fault of the options is reported at once. The caller closes it.
func New(o Options) (*Driver, error) {
	d, err := open(o)
	if err != nil {
		return nil, err
	}
	ctx, rest := context.WithCancel(context.Background())
	d.rest = rest
	for _, t := range d.trunks {
		if t.probeEvery > 0 {
			d.watches.Go(func() { t.watch(ctx) })
		}
		if t.register {
			d.watches.Go(func() { t.enrol(ctx) })
		}
	}
	return d, nil
}

// open returns a driver that has its addresses and sends nothing by itself yet.
func open(o Options) (*Driver, error) {
	list, err := o.check()
	faults := []error{err}
	d := &Driver{
		trunks: map[string]*trunk{}, kill: make(chan struct{}), legs: map[dialer.LegID]*leg{}, lost: map[string]time.Time{},
	}
	for _, s := range list {
		at, err := d.station(s)
		if err != nil {
			faults = append(faults, fmt.Errorf("trunk %s: %w", s.name, err))
			continue
		}
		d.mu.Lock() // the address is served already
		d.trunks[s.name] = newTrunk(s, at, d.kill)
		d.mu.Unlock()
	}
	if err := errors.Join(faults...); err != nil {
		d.shut()
		return nil, err
	}
	return d, nil
}

// station returns the address a trunk listens on, opening it for the first.
func (d *Driver) station(s settings) (*station, error) {
	if s.listen.Port() != 0 && s.endpoint.over != overTLS {
		for _, at := range d.stations {
			if at.listen == s.listen && at.over == s.endpoint.over {
				return at, nil
			}
		}
	}
	at, err := newStation(s, d.serve, d.stray)
	if err == nil {
		d.stations = append(d.stations, at)
	}
	return at, err
}

// Originate starts a leg: an INVITE with our session description.
func (d *Driver) Originate(ctx context.Context, o dialer.Originate, events func(dialer.Event)) error {
	if o.ID == "" || strings.ContainsFunc(string(o.ID), notCallID) {
		return errors.New("the id of the leg cannot be a Call-ID")
	}
	t := d.trunks[o.Trunk]
	if t == nil {
		return fmt.Errorf("there is no trunk %s", o.Trunk)
	}
	if err := t.health(); err != nil {
		return err
	}
	uri, err := t.endpoint.uri(o.Number)
	if err != nil {
		return err
	}
	codecs, dtmf := t.codecs, dtmfPayload
	var partner *leg
	if o.Partner != "" {
		if partner, err = d.answered(o.Partner); err != nil {
			return err
		}
		p := partner.media.path.Load()
		dtmf = p.dtmf
		codecs = offerBeside(p.remote, codecs)
	}
	sound, err := newMedia(&t.ports, t.host, codecs, dtmf)
	if err != nil {
		return err
	}
	l := newLeg(d, t, o, sound, events)
	l.partner = partner
	offer := sound.offer()
	if partner != nil && partner.canJoin(t) {
		offer = l.borrow(partner)
	}
	l.invite = t.newInvite(uri, o, offer)
	l.tag = l.invite.From().Params.GetOr("tag", "")
	if err := d.add(l); err != nil {
		sound.close()
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
	if _, ok := d.legs[l.id]; ok {
		return fmt.Errorf("leg %s exists already", l.id)
	}
	d.legs[l.id] = l
	d.wg.Add(1)
	return nil
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
	if l == nil || !l.talking() {
		return nil, fmt.Errorf("leg %s is not answered", id)
	}
	return l, nil
}

// Ringback plays ringing tone to an answered leg, or stops it. It gives way to
// early media of the leg's partner.
func (d *Driver) Ringback(_ context.Context, id dialer.LegID, on bool) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	l.media.ring(on)
	return nil
}

// Play sends an answered leg a sound.
func (d *Driver) Play(_ context.Context, id dialer.LegID, s dialer.Sound) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	if p := l.media.path.Load(); !p.law.isLaw() {
		return fmt.Errorf("the peer of leg %s takes no G.711, which we speak", id)
	}
	l.withUs(func() { l.media.announce(s.PCM, l.heardOut) }, l.heardOut)
	return nil
}

// Press sends an answered leg digits: as telephone-events (RFC 4733), or, to a
// peer that takes none, as tones.
func (d *Driver) Press(_ context.Context, id dialer.LegID, digits string) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	l.withUs(func() { l.media.press(digits, l.heardOut) }, l.heardOut)
	return nil
}

// Bridge lets the peers of two answered legs send their sound to each other, if
// both trunks want it so and they can; else it relays it.
func (d *Driver) Bridge(ctx context.Context, a, b dialer.LegID) error {
	x, errX := d.answered(a)
	y, errY := d.answered(b)
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	x.media.ring(false)
	y.media.ring(false)
	if x.canJoin(y.trunk) {
		return join(ctx, x, y)
	}
	if err := errors.Join(x.comeBack(ctx), y.comeBack(ctx)); err != nil {
		return err
	}
	x.media.hearsFrom(y.media)
	y.media.hearsFrom(x.media)
	return nil
}

// Hangup ends a leg: by a CANCEL before it was answered, by a BYE after.
func (d *Driver) Hangup(_ context.Context, id dialer.LegID, reason dialer.HangupReason) error {
	if l := d.leg(id); l != nil {
		l.hangUp(reason)
	}
	return nil
}

// TrunkHealth is nil if calls may be placed on a trunk: its peer answers
// OPTIONS, and has not asked to be left alone by a 503 with Retry-After.
func (d *Driver) TrunkHealth(name string) error {
	if t := d.trunks[name]; t != nil {
		return t.health()
	}
	return fmt.Errorf("there is no trunk %s", name)
}

// Health is nil while our SIP addresses are open; TrunkHealth knows the peers.
func (d *Driver) Health(context.Context) error {
	for _, s := range d.stations {
		select {
		case <-s.served:
			return errors.New("the SIP address is closed")
		default:
		}
	}
	return nil
}

// Close hangs up every leg and waits until the peers have heard of it, or
// until ctx is over; then it returns ctx's error. The legs' ends are told
// before it returns.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		for _, s := range d.stations {
			<-s.served
		}
		return nil
	}
	d.closed = true
	for _, l := range d.legs {
		l.hangUp(dialer.HangupCancel)
	}
	d.mu.Unlock()
	d.rest()
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
	close(d.kill)
	<-quiet
	d.watches.Wait()
	d.shut()
	return err
}

// shut gives the SIP addresses back.
func (d *Driver) shut() {
	for _, s := range d.stations {
		s.close()
	}
}
