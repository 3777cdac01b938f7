package esl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"ringback/dialer"
)

// channel is what FreeSWITCH says of a channel.
type channel struct {
	State       string `json:"Channel-Call-State"`
	Application string `json:"variable_current_application"`
}

// reconcile compares the legs under way with the channels that FreeSWITCH has:
// a leg whose channel is gone has ended; a channel that bears our mark and is
// no leg is left from a former life, or from before the connection was lost,
// and is hung up. Legs are asked for one by one: the list of channels is a
// table that FreeSWITCH writes later.
func (d *Driver) reconcile(ctx context.Context, c *conn) error {
	for _, l := range d.underWay() { // no others are taken while this goes on
		var ch channel
		text, err := c.order(ctx, dumpCommand(l.id))
		switch err = noChannel(err); {
		case errors.Is(err, errNoChannel):
			l.lose("the channel is gone")
		case err != nil:
			return fmt.Errorf("ask for a channel: %w", err)
		case json.Unmarshal([]byte(text), &ch) != nil:
			return errors.New("what is told of a channel cannot be read")
		default:
			l.catchUp(ch)
		}
	}
	return d.sweep(ctx, c)
}

// sweep hangs up the channels of ours that belong to no leg.
func (d *Driver) sweep(ctx context.Context, c *conn) error {
	text, err := c.order(ctx, listCommand)
	if err != nil {
		return fmt.Errorf("list the channels: %w", err)
	}
	var list struct {
		Rows []struct { // missing if there is none
			ID dialer.LegID `json:"uuid"`
		} `json:"rows"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return errors.New("the list of channels cannot be read")
	}
	for _, row := range list.Rows {
		if !legForm.MatchString(string(row.ID)) || d.leg(row.ID) != nil {
			continue
		}
		if err := d.clearChannel(ctx, c, row.ID); err != nil {
			return err
		}
	}
	return nil
}

// clearChannel hangs up a channel if it is one of this node's.
func (d *Driver) clearChannel(ctx context.Context, c *conn, id dialer.LegID) error {
	owner, err := c.order(ctx, ownerCommand(id))
	switch {
	case errors.Is(noChannel(err), errNoChannel):
		return nil
	case err != nil:
		return fmt.Errorf("ask whose channel it is: %w", err)
	case owner != d.node:
		return nil
	}
	d.log.Warn("a channel is left of a call that is over; it is hung up", "leg", string(id))
	_, err = c.order(ctx, killCommand(id, "NORMAL_CLEARING"))
	if err = noChannel(err); err != nil && !errors.Is(err, errNoChannel) {
		return fmt.Errorf("hang up a channel that is left: %w", err)
	}
	return nil
}

// Recover ends a channel that another node left, whose state is its id: it was
// killed, and does not come back to do so itself.
func (d *Driver) Recover(ctx context.Context, _ string, state []byte) error {
	id := dialer.LegID(state)
	if !legForm.MatchString(string(id)) {
		return nil // nothing of ours, and never will be
	}
	if err := noChannel(d.order(ctx, killCommand(id, "NORMAL_CLEARING"))); err != nil && !errors.Is(err, errNoChannel) {
		return fmt.Errorf("hang up what another node left: %w", err)
	}
	return nil
}

// catchUp tells what a leg missed while nothing was heard of it.
func (l *leg) catchUp(ch channel) {
	switch ch.State {
	case "RINGING":
		l.ring()
	case "EARLY":
		l.progress()
	case "ACTIVE", "HELD":
		l.pickUp()
		if ch.Application == "park" {
			l.park()
		}
	case "HANGUP":
		l.lose("the channel is gone")
	}
}

// underWay returns the legs.
func (d *Driver) underWay() []*leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	legs := make([]*leg, 0, len(d.legs))
	for _, l := range d.legs {
		legs = append(legs, l)
	}
	return legs
}

// loseAll ends the legs of a FreeSWITCH that does not come back. Should it, what
// is left of them there is hung up.
func (d *Driver) loseAll() {
	for _, l := range d.underWay() {
		l.lose("freeswitch was away for too long")
	}
}
