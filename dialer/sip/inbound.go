package sip

import (
	"context"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
)

// serve answers what peers ask of us. We take no calls: all that is welcome
// belongs to a leg of ours.
func (d *Driver) serve(req *msg.Request, tx msg.ServerTransaction) {
	to, from := req.To(), req.From()
	if to == nil || from == nil || req.CallID() == nil || req.CSeq() == nil {
		if req.Method != msg.ACK {
			respond(req, tx, msg.StatusBadRequest, "Bad Request")
		}
		return
	}
	l := d.owner(req)
	_, within := to.Params.Get("tag")
	switch {
	case req.Method == msg.ACK:
		if l != nil {
			l.acknowledged(req)
		}
	case req.Method == msg.CANCEL, within && l == nil:
		respond(req, tx, msg.StatusCallTransactionDoesNotExists, "Call/Transaction Does Not Exist")
	case req.Method == msg.OPTIONS:
		respond(req, tx, msg.StatusOK, "OK")
	case req.Method == msg.INVITE && l == nil:
		respond(req, tx, msg.StatusForbidden, "Forbidden")
	case req.Method == msg.BYE && l != nil:
		respond(req, tx, msg.StatusOK, "OK")
		select {
		case l.bye <- req:
		default:
		}
	case req.Method == msg.INVITE:
		l.reinvite(req, tx)
	case req.Method == msg.UPDATE && l != nil:
		l.update(req, tx)
	default:
		respond(req, tx, msg.StatusMethodNotAllowed, "Method Not Allowed")
	}
}

// owner returns the leg whose dialog a request belongs to (RFC 3261, section
// 12.2.2), nil if there is none. Before our INVITE is through, the peer's tag
// may be any: its BYE can overtake its 200.
func (d *Driver) owner(req *msg.Request) *leg {
	l := d.leg(dialer.LegID(*req.CallID()))
	if l == nil {
		return nil
	}
	tag, ok := req.To().Params.Get("tag")
	if !ok || tag != l.tag {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dialog != nil && req.From().Params.GetOr("tag", "") != l.dialog.tag() {
		return nil
	}
	return l
}

// respond sends a response without a body. One that cannot be sent is asked
// for again.
func respond(req *msg.Request, tx msg.ServerTransaction, status int, phrase string) {
	res := msg.NewResponseFromRequest(req, status, phrase, nil)
	res.AppendHeader(msg.NewHeader("Allow", allow))
	if req.Method == msg.OPTIONS {
		res.AppendHeader(msg.NewHeader("Accept", sdpType))
	}
	_ = tx.Respond(res)
}

// reinvite answers the peer's INVITE within the call: our description as it
// stands, and the peer's taken into account (RFC 3261, section 14.2).
func (l *leg) reinvite(req *msg.Request, tx msg.ServerTransaction) {
	if !l.talking() || !l.tryAcquire() { // nothing to say yet, or glare with an offer of ours
		respond(req, tx, msg.StatusRequestPending, "Request Pending")
		return
	}
	newer := l.supersede()
	timing, ok := l.keep(req, tx)
	var res *msg.Response
	if ok {
		res, ok = l.describe(req, tx)
	}
	l.release()
	if !ok {
		return
	}
	appendAll(res, timing)
	late := len(req.Body()) == 0 // the offer is ours, the answer comes with the ACK
	// A 200 to an INVITE is sent until its ACK comes (RFC 3261, section 13.3.1.4).
	limit := time.After(64 * msg.T1)
	for wait := msg.T1; ; wait = min(2*wait, msg.T2) {
		if tx.Respond(res) != nil {
			return
		}
		select {
		case ack := <-l.acks:
			if ack.CSeq().SeqNo != req.CSeq().SeqNo {
				continue
			}
			if late && len(ack.Body()) > 0 {
				l.takeLate(ack.Body())
			}
			return
		case <-time.After(wait):
		case <-limit:
			return
		case <-newer: // so it knows our answer
			return
		case <-l.over:
			return
		case <-l.trunk.kill:
			return
		}
	}
}

// supersede ends the wait for the ACK of an earlier INVITE, which may be
// overtaken by the next one.
func (l *leg) supersede() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newer != nil {
		close(l.newer)
	}
	l.newer = make(chan struct{})
	return l.newer
}

// update answers an UPDATE (RFC 3311), which may come without a description.
func (l *leg) update(req *msg.Request, tx msg.ServerTransaction) {
	bare := len(req.Body()) == 0
	if !bare && (!l.talking() || !l.tryAcquire()) {
		respond(req, tx, msg.StatusRequestPending, "Request Pending")
		return
	}
	res, ok := l.updated(req, tx, bare)
	if !bare {
		l.release() // before the peer hears of it: it may go on at once
	}
	if ok {
		_ = tx.Respond(res)
	}
}

// updated makes the 200 to an UPDATE; ok is false if it was refused instead.
func (l *leg) updated(req *msg.Request, tx msg.ServerTransaction, bare bool) (res *msg.Response, ok bool) {
	if !l.talking() {
		return msg.NewResponseFromRequest(req, msg.StatusOK, "OK", nil), true
	}
	timing, ok := l.keep(req, tx)
	if !ok {
		return nil, false
	}
	if bare {
		res = msg.NewResponseFromRequest(req, msg.StatusOK, "OK", nil)
		l.moved(req)
		res.AppendHeader(l.trunk.contact())
		res.AppendHeader(msg.NewHeader("Allow", allow))
	} else if res, ok = l.describe(req, tx); !ok {
		return nil, false
	}
	appendAll(res, timing)
	return res, true
}

func appendAll(res *msg.Response, headers []msg.Header) {
	for _, h := range headers {
		res.AppendHeader(h)
	}
}

// describe makes the 200 with our description; ok is false if the peer's was
// refused instead.
func (l *leg) describe(req *msg.Request, tx msg.ServerTransaction) (res *msg.Response, ok bool) {
	body, status := l.answerTo(req.Body())
	if status != 0 {
		respond(req, tx, status, map[int]string{
			msg.StatusNotAcceptableHere: "Not Acceptable Here", msg.StatusRequestPending: "Request Pending",
		}[status])
		return nil, false
	}
	l.moved(req)
	res = msg.NewSDPResponseFromRequest(req, body)
	res.AppendHeader(l.trunk.contact())
	res.AppendHeader(msg.NewHeader("Allow", allow))
	return res, true
}

// answerTo returns our answer to an offer of the peer, or, without one, our own
// offer; status is that of a refusal, or 0.
func (l *leg) answerTo(offer []byte) (body []byte, status int) {
	if other := l.across(); other != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 32*msg.T1) // for less than the peer waits
		defer cancel()
		return l.passOn(ctx, other, offer)
	}
	if len(offer) == 0 {
		return l.description(), 0
	}
	body, err := l.media.answer(offer)
	if err != nil {
		return nil, msg.StatusNotAcceptableHere
	}
	l.rewire(func(w *wire) { *w = wire{said: offer} })
	return body, 0
}

// takeLate takes the answer to an offer of ours that came with an ACK. Where
// the sound goes past us, what is new in it is for the other side.
func (l *leg) takeLate(answer []byte) {
	if err := l.media.accept(answer); err != nil {
		l.trunk.log.Warn("session description in ack not understood", "leg", string(l.id), "err", err)
		return
	}
	l.rewire(func(w *wire) { w.said = answer })
	if other := l.across(); other != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 32*msg.T1)
		defer cancel()
		if _, err := other.introduce(ctx, l); err != nil {
			l.trunk.log.Warn("an answer of the peer could not be passed on", "leg", string(l.id), "err", err)
		}
	}
}

// moved notes where the peer is reached from now on, if a request that we took
// says so (RFC 3261, section 12.2.2).
func (l *leg) moved(req *msg.Request) {
	target, ok := contactOf(req)
	was := l.within()
	if !ok || target.String() == was.target.String() {
		return
	}
	now := *was
	now.target = target
	now.next = l.trunk.addressOf(&now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialog = &now
}

// within is the dialog as it is now; nil before the answer.
func (l *leg) within() *dialog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialog
}

// acknowledged passes on the ACK of an answer to the peer's INVITE.
func (l *leg) acknowledged(ack *msg.Request) {
	select {
	case l.acks <- ack:
	default:
	}
}
