package sip

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

// seqAhead is how far the CSeq of a BYE after a crash lies ahead of the answer's:
// farther than the refreshes of a call can have gone. It need only grow (RFC
// 3261, section 12.2.1.1).
const seqAhead = 1 << 20

// state is what it takes to end the leg once this process is gone: its BYE.
func (l *leg) state() []byte {
	now := l.within()
	bye := now.bye(l.trunk.via(), now.cseq+seqAhead, scheduler.CauseTemporary)
	return []byte(bye.String())
}

// Recover ends a leg of a process that is gone, by the BYE that is its state.
// It returns once the peer has answered, or after 64 × T1 without an answer:
// then the leg's session timer is left to end it.
func (d *Driver) Recover(ctx context.Context, trunk string, state []byte) error {
	t := d.trunks[trunk]
	if t == nil {
		return fmt.Errorf("there is no trunk %s", trunk)
	}
	bye := parseState(state)
	if bye == nil {
		t.log.Error("the state of a leg that was left is not understood; its session timer must end it")
		return nil
	}
	bye.ReplaceHeader(t.via())
	done := make(chan struct{})
	if !d.begin(func() {
		defer close(done)
		if _, res := t.deliver(bye); res == nil {
			t.log.Warn("a leg that was left did not answer our BYE; its session timer must end it", "leg", bye.CallID().Value())
		}
	}) {
		return errors.New("the driver is closed")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parseState reads the state of a leg; nil: it is none.
func parseState(state []byte) *msg.Request {
	parsed, err := msg.ParseMessage(state)
	bye, ok := parsed.(*msg.Request)
	if err != nil || !ok || bye.Method != msg.BYE || bye.CSeq() == nil || bye.CallID() == nil || bye.Via() == nil {
		return nil
	}
	return bye
}

// begin runs f, which Close waits for; false: the driver is closed.
func (d *Driver) begin(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.wg.Go(f)
	}
	return !d.closed
}

// stray takes a response that no transaction waits for. An answer from a trunk
// to an INVITE that we know nothing of any more, because it was sent before a
// crash or long given up, is acknowledged and ended.
func (d *Driver) stray(at *station, res *msg.Response) {
	if !res.IsSuccess() || res.CallID() == nil || d.leg(dialer.LegID(*res.CallID())) != nil {
		return
	}
	lost := lostDialog(res)
	if lost == nil {
		return
	}
	if t := d.trunkOf(at, res.Source()); t != nil {
		d.begin(func() { d.endLost(t, lost) })
	}
}

// trunkOf returns the trunk at an address of ours whose peer has an address;
// nil if there is none.
func (d *Driver) trunkOf(at *station, source string) *trunk {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.trunks {
		if t.station == at && t.isPeer(source) {
			return t
		}
	}
	return nil
}

// endLost acknowledges and ends a dialog, and only once however often its
// answer comes: it does so for 64 × T1 (RFC 3261, 13.3.1.4).
func (d *Driver) endLost(t *trunk, lost *dialog) {
	key, now := string(lost.callID)+" "+lost.tag(), time.Now()
	d.mu.Lock()
	maps.DeleteFunc(d.lost, func(_ string, since time.Time) bool { return now.Sub(since) > 64*msg.T1 })
	_, known := d.lost[key]
	if !known {
		d.lost[key] = now
	}
	d.mu.Unlock()
	ack := lost.ack(t.via())
	ack.SetTransport(string(t.station.over))
	if err := t.station.client.WriteRequest(ack); err != nil {
		t.log.Warn("ack not sent", "leg", string(lost.callID), "err", err)
	}
	if known {
		return
	}
	t.log.Warn("a call is answered that is over; it is hung up", "leg", string(lost.callID))
	t.deliver(lost.bye(t.via(), lost.cseq+seqAhead, scheduler.CauseTemporary))
}

// lostDialog is the dialog of a 2xx whose INVITE is gone; nil if it makes none.
func lostDialog(res *msg.Response) *dialog {
	from, to, seq, contact := res.From(), res.To(), res.CSeq(), res.Contact()
	if from == nil || to == nil || seq == nil || contact == nil || seq.MethodName != msg.INVITE ||
		strings.ContainsFunc(res.CallID().Value(), notCallID) || from.Params.GetOr("tag", "") == "" || to.Params.GetOr("tag", "") == "" {
		return nil
	}
	invite := msg.NewRequest(msg.INVITE, contact.Address)
	invite.AppendHeader(from)
	invite.AppendHeader(to)
	invite.AppendHeader(res.CallID())
	invite.AppendHeader(seq)
	return newDialog(invite, res)
}
