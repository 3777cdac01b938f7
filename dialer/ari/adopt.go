package ari

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/dialer"
)

const (
	// adoptPatience is how long a leg to be adopted waits for the connection.
	adoptPatience = 10 * time.Second
	// trunkVariable is the channel's variable that names its trunk.
	trunkVariable = "RINGBACK_TRUNK"
)

var _ dialer.Adopter = (*Driver)(nil)

// Adopt makes a channel of another node's application, or of our own from a
// former life, a leg of ours. It stays where it is, in its bridge; our
// application hears of it, too.
func (d *Driver) Adopt(ctx context.Context, id dialer.LegID, events func(dialer.Event)) (begun time.Time, trunk string, err error) {
	if err := d.awaitLink(ctx); err != nil {
		return time.Time{}, "", err
	}
	l := newLeg(d, id, originated{App: d.app}, events)
	l.answered, l.adopted, l.placedAt = true, true, time.Now()
	c, err := d.rest.channelNow(ctx, id)
	if err == nil && c.inStasis() {
		trunk, err = d.rest.variable(ctx, id, trunkVariable)
	}
	switch {
	case errors.Is(err, errGone), err == nil && !c.inStasis():
		return time.Time{}, "", dialer.ErrNoLeg
	case err != nil:
		return time.Time{}, "", fmt.Errorf("adopt a channel: %w", err)
	}
	l.joins(string(id) + bridgeMark) // if it is B, there is no such bridge
	if err := d.add(l); err != nil {
		return time.Time{}, "", err
	}
	// From here on Asterisk tells us of its end; before, we look ourselves.
	err = d.rest.subscribe(ctx, d.app, id)
	if err == nil {
		_, err = d.rest.channelNow(ctx, id)
	}
	if err != nil {
		d.forget(l)
		d.wg.Done()
		if errors.Is(err, errGone) {
			err = dialer.ErrNoLeg
		}
		return time.Time{}, "", err
	}
	go func() {
		defer d.wg.Done()
		l.follow(ctx)
	}()
	return time.Time(c.Created), trunk, nil
}

// awaitLink waits until the connection can be used.
func (d *Driver) awaitLink(ctx context.Context) error {
	patience := time.NewTimer(adoptPatience)
	defer patience.Stop()
	for {
		_, err := d.link.state()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(firstPause / 2):
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// Discard hangs up a channel that is no leg of ours, and removes its bridge.
func (d *Driver) Discard(ctx context.Context, id dialer.LegID) error {
	if err := d.awaitLink(ctx); err != nil {
		return err
	}
	if err := d.rest.hangup(ctx, id, "normal"); err != nil {
		return err
	}
	return d.rest.remove(ctx, string(id)+bridgeMark)
}

// Sweep hangs up what our former life left, now and with each connection.
func (d *Driver) Sweep(ctx context.Context) error {
	d.mu.Lock()
	d.keepsLeft = false
	d.mu.Unlock()
	_, away := d.link.state()
	if away == nil {
		list, err := d.rest.channelsNow(ctx)
		if err != nil {
			return fmt.Errorf("list the channels: %w", err)
		}
		return d.clearLeft(ctx, byID(list))
	}
	return nil // with the next connection
}

func (d *Driver) keeps() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.keepsLeft
}

// elsewhere returns the channels that applications of other nodes hear of:
// theirs, or adopted by them.
func (d *Driver) elsewhere(ctx context.Context) (map[dialer.LegID]bool, error) {
	apps, err := d.rest.applications(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the applications: %w", err)
	}
	theirs := map[dialer.LegID]bool{}
	for _, a := range apps {
		if a.Name != d.app {
			for _, id := range a.Channels {
				theirs[id] = true
			}
		}
	}
	return theirs, nil
}
