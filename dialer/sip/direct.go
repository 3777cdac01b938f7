package sip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
)

// wire is what a leg's peer and we have told each other, where its sound may go
// past us (RFC 3725): A is held by us and hears our ringing, B is called with
// A's description, and A is told B's by a re-INVITE. A is not told that it is
// on hold: baresip, for one, stays deaf after an INVITE that says so.
type wire struct {
	said  []byte // the peer's last description
	given []byte // the last one that we gave it for somebody else; nil: it has our own
	to    *leg   // whose peer that describes; nil: us
}

// wired returns what is so now.
func (l *leg) wired() wire {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wire
}

func (l *leg) rewire(change func(*wire)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.wire)
}

// across returns the leg whose peer this one's exchanges its sound with; nil:
// with us.
func (l *leg) across() *leg {
	other := l.wired().to
	if other == nil || other.wired().to != l || !other.talking() {
		return nil
	}
	return other
}

// description is ours as the peer has it.
func (l *leg) description() []byte {
	if w := l.wired(); w.given != nil {
		return w.given
	}
	return l.media.offer()
}

// canJoin reports whether the peers of an answered A and of a leg by trunk t
// can send their sound to each other: both trunks let them, and they have a
// codec and the version of IP in common.
func (l *leg) canJoin(t *trunk) bool {
	p := l.media.path.Load()
	return l.trunk.direct && t.direct && slices.ContainsFunc(t.codecs, p.codec.same) && l.trunk.host.Is4() == t.host.Is4()
}

// borrow makes the offer to a B: A's description in our name. Without one that
// can be read the offer is our own.
func (l *leg) borrow(a *leg) []byte {
	said := a.wired().said
	offer, err := relabel(said, l.media.next(), sendRecv)
	if err != nil {
		return l.media.offer()
	}
	l.wire = wire{given: offer, to: a}
	return offer
}

// join connects two answered legs past us. An answer may move the sound of its
// peer, so that the other one must be told again.
func join(ctx context.Context, a, b *leg) error {
	for range 4 {
		toldB, err := b.introduce(ctx, a)
		if err != nil {
			return err
		}
		toldA, err := a.introduce(ctx, b)
		if err != nil {
			return err
		}
		if !toldA && !toldB {
			return nil
		}
	}
	return errors.New("the peers go on changing their descriptions")
}

// introduce gives this leg's peer the description of another one's, and reports
// whether it did not have it.
func (l *leg) introduce(ctx context.Context, other *leg) (told bool, err error) {
	if err := l.acquire(ctx); err != nil {
		return false, err
	}
	defer l.release()
	said, w := other.wired().said, l.wired()
	if w.to == other && soundAt(w.given) == soundAt(said) {
		return false, nil
	}
	offer, err := relabel(said, l.media.next(), sendRecv)
	if err != nil {
		return false, err
	}
	answer, err := l.ask(ctx, offer)
	if err != nil {
		return false, err
	}
	l.media.ring(false)
	l.rewire(func(w *wire) { *w = wire{said: answer, given: offer, to: other} })
	return true, nil
}

// comeBack lets the peer exchange its sound with us.
func (l *leg) comeBack(ctx context.Context) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	if l.wired().given == nil {
		return nil
	}
	answer, err := l.ask(ctx, l.media.resume())
	if err != nil {
		return err
	}
	l.rewire(func(w *wire) { *w = wire{said: answer} })
	return nil
}

// withUs does something with the sound between the peer and us, once it is
// there; over is called if it cannot be.
func (l *leg) withUs(do, over func()) {
	if l.wired().given == nil {
		do()
		return
	}
	begun := l.d.begin(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dialer.DefaultGrace)
		defer cancel()
		if err := l.comeBack(ctx); err != nil {
			l.trunk.log.Warn("the peer's sound could not be taken back", "leg", string(l.id), "err", err)
			over()
			return
		}
		do()
	})
	if !begun {
		over()
	}
}

// acquire waits until no offer is under way on the leg.
func (l *leg) acquire(ctx context.Context) error {
	select {
	case l.offers <- struct{}{}:
		return nil
	case <-l.over:
		return fmt.Errorf("leg %s has ended", l.id)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tryAcquire is acquire for who cannot wait.
func (l *leg) tryAcquire() bool {
	select {
	case l.offers <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l *leg) release() { <-l.offers }

// ask makes an offer to the peer by an INVITE within the call, and returns its
// answer. The caller holds acquire. After a glare it is made again (RFC 3261,
// section 14.1; the Call-ID is ours).
func (l *leg) ask(ctx context.Context, offer []byte) (answer []byte, err error) {
	for {
		res, err := l.invited(ctx, offer)
		switch {
		case err != nil:
			return nil, err
		case res.IsSuccess():
			l.setSession(agreed(res))
			if err := l.media.accept(res.Body()); err != nil {
				return nil, err
			}
			return res.Body(), nil
		case res.StatusCode != msg.StatusRequestPending:
			return nil, fmt.Errorf("the peer answered %d to an INVITE within the call", res.StatusCode)
		}
		select {
		case <-time.After(2100*time.Millisecond + rand.N(1900*time.Millisecond)):
		case <-l.over:
			return nil, fmt.Errorf("leg %s has ended", l.id)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// invited sends an INVITE within the call and returns its final response.
func (l *leg) invited(ctx context.Context, offer []byte) (*msg.Response, error) {
	done := make(chan *msg.Response, 1)
	req := l.newReinvite(offer)
	if !l.d.begin(func() { done <- l.deliverInvite(req) }) {
		return nil, errors.New("the driver is closed")
	}
	select {
	case res := <-done:
		if res == nil {
			return nil, errors.New("the peer did not answer an INVITE within the call")
		}
		return res, nil
	case <-l.over:
		return nil, fmt.Errorf("leg %s has ended", l.id)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// newReinvite builds an INVITE within the call, which refreshes its session.
func (l *leg) newReinvite(offer []byte) *msg.Request {
	req := l.within().request(msg.INVITE, l.nextSeq(), l.trunk.via())
	l.mu.Lock()
	interval := int(l.session.interval / time.Second)
	l.mu.Unlock()
	req.AppendHeader(l.trunk.contact())
	req.AppendHeader(msg.NewHeader("Supported", "timer"))
	if interval > 0 {
		req.AppendHeader(msg.NewHeader("Session-Expires", strconv.Itoa(interval)+";refresher=uac"))
	}
	contentType := msg.ContentTypeHeader(sdpType)
	req.AppendHeader(&contentType)
	req.SetBody(offer)
	return req
}

// deliverInvite is deliver for an INVITE within the call: its 2xx is
// acknowledged whenever it comes.
func (l *leg) deliverInvite(req *msg.Request) *msg.Response {
	for {
		tx := l.trunk.send(req)
		if tx == nil {
			return nil
		}
		res := l.trunk.final(tx)
		if res == nil || !res.IsSuccess() {
			tx.Terminate()
		}
		if res == nil {
			return nil
		}
		if res.IsSuccess() {
			acknowledge := func(*msg.Response) {
				ack := l.within().request(msg.ACK, req.CSeq().SeqNo, l.trunk.via())
				for _, h := range append(req.GetHeaders("Authorization"), req.GetHeaders("Proxy-Authorization")...) {
					ack.AppendHeader(msg.HeaderClone(h))
				}
				l.write(ack)
			}
			acknowledge(res)
			tx.OnRetransmission(acknowledge) // until the transaction ends by itself
			return res
		}
		next, ok := l.trunk.prove(req, res)
		if !ok {
			return res
		}
		req = next
	}
}

// passOn answers an offer of the peer of a leg whose sound goes past us: what
// is new in it is offered to the other side. The caller holds acquire. ok is
// false if the other side is busy with an offer, or does not take it; then
// status says so.
func (l *leg) passOn(ctx context.Context, other *leg, offer []byte) (answer []byte, status int) {
	w := l.wired()
	if len(offer) == 0 || bytes.Equal(plain(offer), plain(w.said)) {
		return w.given, 0
	}
	if !other.tryAcquire() {
		return nil, msg.StatusRequestPending
	}
	defer other.release()
	theirs, err := relabel(offer, other.media.next(), "")
	if err != nil {
		return nil, msg.StatusNotAcceptableHere
	}
	back, err := other.ask(ctx, theirs)
	if err != nil {
		l.trunk.log.Warn("an offer of the peer could not be passed on", "leg", string(l.id), "err", err)
		return nil, msg.StatusNotAcceptableHere
	}
	if answer, err = relabel(back, l.media.next(), ""); err != nil {
		return nil, msg.StatusNotAcceptableHere
	}
	other.rewire(func(w *wire) { w.said, w.given = back, theirs })
	l.rewire(func(w *wire) { w.said, w.given = offer, answer })
	return answer, 0
}

// earlyMedia lets A hear what B's peer sends before it answers.
func (l *leg) earlyMedia(body []byte) {
	a := l.partner
	l.rewire(func(w *wire) { w.said = body })
	switch {
	case a == nil:
	case l.wired().to == a:
		l.d.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), dialer.DefaultGrace)
			defer cancel()
			if _, err := a.introduce(ctx, l); err != nil {
				l.trunk.log.Warn("early media could not be let through", "leg", string(l.id), "err", err)
			}
		})
	default:
		a.media.hearsFrom(l.media)
	}
}
