package ari

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ringback/dialer"
)

// reconcile compares the legs under way with the channels that Asterisk has:
// a leg whose channel is gone has ended, a channel of our application that is
// no leg is left from a former life, or from before the connection was lost,
// and is hung up. Bridges of ours that join nobody are removed.
func (d *Driver) reconcile(ctx context.Context) error {
	legs := d.placed() // before the list is made: later ones need not be on it
	list, err := d.rest.channelsNow(ctx)
	if err != nil {
		return fmt.Errorf("list the channels: %w", err)
	}
	there := byID(list)
	for _, l := range legs {
		switch c, ok := there[l.id]; {
		case !ok:
			l.lose("the channel is gone")
		case l.adopted: // of an application that may not be ours
			if err := d.rest.subscribe(ctx, d.app, l.id); err != nil && !errors.Is(err, errGone) {
				return fmt.Errorf("hear of an adopted channel: %w", err)
			}
		case c.inStasis():
			l.answer()
			if err := d.checkSound(ctx, l); err != nil {
				return err
			}
		}
	}
	if d.keeps() {
		return nil
	}
	return d.clearLeft(ctx, there)
}

func byID(list []channel) map[dialer.LegID]channel {
	there := make(map[dialer.LegID]channel, len(list))
	for _, c := range list {
		there[c.ID] = c
	}
	return there
}

// clearLeft hangs up and removes what is ours, belongs to no leg, and was not
// adopted by another node.
func (d *Driver) clearLeft(ctx context.Context, there map[dialer.LegID]channel) error {
	theirs, err := d.elsewhere(ctx)
	if err != nil {
		return err
	}
	if err := d.clearChannels(ctx, there, theirs); err != nil {
		return err
	}
	return d.clearBridges(ctx, theirs)
}

// checkSound finds out whether a sound has ended meanwhile.
func (d *Driver) checkSound(ctx context.Context, l *leg) error {
	playback := l.heard()
	if !strings.Contains(playback, playMark) {
		return nil
	}
	plays, err := d.rest.isPlaying(ctx, playback)
	if err != nil {
		return fmt.Errorf("ask for a playback: %w", err)
	}
	if !plays {
		l.played(playback)
	}
	return nil
}

// clearChannels hangs up what is ours and belongs to no leg.
func (d *Driver) clearChannels(ctx context.Context, there map[dialer.LegID]channel, theirs map[dialer.LegID]bool) error {
	ours, err := d.rest.subscribed(ctx, d.app)
	if err != nil {
		return fmt.Errorf("list the channels of the application: %w", err)
	}
	for _, id := range ours {
		if _, ok := there[id]; !ok || !legForm.MatchString(string(id)) || d.leg(id) != nil || theirs[id] {
			continue
		}
		d.log.Warn("a channel is left of a call that is over; it is hung up", "leg", string(id))
		if err := d.rest.hangup(ctx, id, "normal"); err != nil {
			return fmt.Errorf("hang up a channel that is left: %w", err)
		}
	}
	return nil
}

// clearBridges removes the bridges of our application whose leg A is no more.
func (d *Driver) clearBridges(ctx context.Context, theirs map[dialer.LegID]bool) error {
	list, err := d.rest.bridges(ctx)
	if err != nil {
		return fmt.Errorf("list the bridges: %w", err)
	}
	for _, b := range list {
		a, ours := strings.CutSuffix(b.ID, bridgeMark)
		if !ours || b.Name != d.app || d.leg(dialer.LegID(a)) != nil || theirs[dialer.LegID(a)] {
			continue
		}
		if err := d.rest.remove(ctx, b.ID); err != nil {
			return fmt.Errorf("remove a bridge that is left: %w", err)
		}
	}
	return nil
}

// placed returns the legs that Asterisk has taken.
func (d *Driver) placed() []*leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	var legs []*leg
	for _, l := range d.legs {
		if l.isPlaced() {
			legs = append(legs, l)
		}
	}
	return legs
}

// errAway is why legs end that Asterisk was away from for too long.
var errAway = errors.New("asterisk was away for too long")

// loseAll ends the legs of an Asterisk that does not come back. Should it, what
// is left of them there is hung up.
func (d *Driver) loseAll() {
	for _, l := range d.placed() {
		l.lose(errAway.Error())
	}
}
