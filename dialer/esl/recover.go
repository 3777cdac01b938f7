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
	ID          dialer.LegID `json:"uuid"`
	State       string       `json:"callstate"`
	Application string       `json:"application"`
}

// reconcile compares the legs under way with the channels that FreeSWITCH has:
// a leg whose channel is gone has ended; a channel that bears our mark and is
// no leg is left from a former life, or from before the connection was lost,
// and is hung up.
func (d *Driver) reconcile(ctx context.Context, c *conn) error {
	legs := d.underWay() // no others are taken while this goes on
	list, err := channels(ctx, c)
	if err != nil {
		return fmt.Errorf("list the channels: %w", err)
	}
	there := map[dialer.LegID]channel{}
	for _, ch := range list {
		there[ch.ID] = ch
	}
	for _, l := range legs {
		if ch, ok := there[l.id]; ok {
			l.catchUp(ch)
		} else {
			l.lose("the channel is gone")
		}
	}
	for _, ch := range list {
		if !legForm.MatchString(string(ch.ID)) || d.leg(ch.ID) != nil {
			continue
		}
		if err := d.clearChannel(ctx, c, ch.ID); err != nil {
			return err
		}
	}
	return nil
}

// channels lists the channels.
func channels(ctx context.Context, c *conn) ([]channel, error) {
	text, err := c.order(ctx, listCommand)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Rows []channel `json:"rows"` // missing if there is none
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, errors.New("the list cannot be read")
	}
	return answer.Rows, nil
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
		if ch.Application != "" { // it is past the originate
			l.park()
		}
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
