package sip

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

// leg is one INVITE of ours and what became of it. All of its life but the
// answers to the peer's own requests happens in run.
type leg struct {
	id      dialer.LegID
	d       *Driver
	trunk   *trunk
	tag     string // of our From
	media   *media
	partner *leg // the answered leg that hears this one's early media; nil for A
	events  func(dialer.Event)

	hang   chan dialer.HangupReason // holds the first order to hang up
	bye    chan *msg.Request        // holds the peer's BYE
	forks  chan *msg.Response       // 2xx of other branches
	acks   chan *msg.Request        // of the peer, for our answers to its INVITEs
	over   chan struct{}            // closed: Ended was told
	timed  chan struct{}            // holds a token when the session changed
	heard  chan struct{}            // holds a token when a sound is over
	offers chan struct{}            // holds a token while an offer within the call is under way

	// Of run alone.
	target                       netip.AddrPort
	others                       int          // addresses that are left to be tried
	invite                       *msg.Request // the last one
	tx                           msg.ClientTransaction
	provisional, cancelled, hung bool
	reason                       dialer.HangupReason
	rang, early                  bool
	seq                          uint32          // the highest CSeq of ours
	confirmed                    map[string]bool // provisional responses, by tag and RSeq
	updates                      bool            // the peer takes UPDATE
	dead                         string          // why we gave an answered leg up

	mu      sync.Mutex    // over what follows
	dialog  *dialog       // once answered; see within
	newer   chan struct{} // closed: the peer sent another INVITE
	session session
	wire    wire
}

func newLeg(d *Driver, t *trunk, o dialer.Originate, sound *media, events func(dialer.Event)) *leg {
	return &leg{
		id: o.ID, d: d, trunk: t, media: sound, events: events,
		hang: make(chan dialer.HangupReason, 1), bye: make(chan *msg.Request, 1),
		forks: make(chan *msg.Response, 4), acks: make(chan *msg.Request, 4), over: make(chan struct{}),
		timed: make(chan struct{}, 1), heard: make(chan struct{}, 1), offers: make(chan struct{}, 1), confirmed: map[string]bool{},
	}
}

// run places the call and follows it until nothing more is owed to the peer.
func (l *leg) run(ctx context.Context) {
	defer l.d.forget(l)
	defer l.media.close()
	if res := l.place(ctx); res != nil {
		l.talk(ctx, res)
		l.tx.Terminate() // no 2xx of it is worth an ACK any more
	}
}

// send begins the transaction of the INVITE.
func (l *leg) send(ctx context.Context) error {
	tx, err := l.trunk.begin(ctx, l.invite)
	if err != nil {
		return err
	}
	tx.OnRetransmission(l.again)
	l.tx, l.provisional = tx, false
	return nil
}

// prove sends the INVITE again if the peer asked who we are, or for a longer
// session, and reports whether it did.
func (l *leg) prove(ctx context.Context, res *msg.Response) bool {
	next, ok := l.trunk.prove(l.invite, res)
	if !ok {
		next, ok = l.lengthen(res)
	}
	if !ok || l.hung {
		return false
	}
	l.invite = next
	return l.send(ctx) == nil
}

// await follows the INVITE to its final response and returns a 2xx; or how the
// address failed, if another is to be tried; else the leg has ended.
func (l *leg) await(ctx context.Context) (answer *msg.Response, failed *dialer.End) {
	gone, quiet := ctx.Done(), l.quiet()
	var patience, limit <-chan time.Time
	for {
		select {
		case res := <-l.tx.Responses():
			if l.overloaded(res) {
				end := l.refusal(res)
				return nil, &end
			}
			l.trunk.heard(res)
			switch {
			case res.IsSuccess():
				return res, nil
			case !res.IsProvisional():
				if l.prove(ctx, res) {
					continue
				}
				l.end(l.refusal(res))
				return nil, nil
			}
			l.progress(res)
		case <-quiet:
			if !l.provisional && l.elsewhere() {
				l.leave()
				end := l.silence(nil)
				return nil, &end
			}
		case <-l.tx.Done():
			end := l.silence(l.tx.Err())
			if l.elsewhere() {
				l.trunk.avoid(l.target, avoidFor)
				return nil, &end
			}
			l.end(end)
			return nil, nil
		case reason := <-l.hang:
			l.giveUp(reason)
		case <-gone:
			gone = nil
			l.giveUp(dialer.HangupCancel)
		case <-patience: // the end is told; an answer would still get its BYE
			l.end(l.abandoned())
		case <-limit:
			l.tx.Terminate()
			l.end(l.abandoned())
			return nil, nil
		case <-l.trunk.kill:
			l.tx.Terminate()
			l.end(l.abandoned())
			return nil, nil
		}
		if l.hung && patience == nil {
			patience = time.After(8 * msg.T1)
		}
		if l.hung && l.provisional && !l.cancelled { // RFC 3261, section 9.1
			l.cancelled = true
			limit = time.After(64 * msg.T1)
			if cancel := l.trunk.send(newCancel(l.invite, l.reason)); cancel != nil {
				l.d.wg.Go(func() { l.trunk.settle(cancel) })
			}
		}
	}
}

// giveUp notes that the leg is to be cancelled; the first reason stays.
func (l *leg) giveUp(reason dialer.HangupReason) {
	if !l.hung {
		l.hung, l.reason = true, reason
	}
}

// progress tells what a provisional response says. Each may come more than
// once, and in any order; once the peer sends its own tone, that it rings is no
// news.
func (l *leg) progress(res *msg.Response) {
	l.provisional = true
	l.confirmEarly(res)
	if res.StatusCode == msg.StatusTrying || l.told() {
		return
	}
	early := !l.early && len(res.Body()) > 0 && l.media.accept(res.Body()) == nil
	inBand := early && res.StatusCode == msg.StatusSessionInProgress
	if !l.rang && !l.early && !inBand {
		l.rang = true
		l.tell(dialer.Event{Kind: dialer.Ringing})
	}
	if early {
		l.early = true
		l.earlyMedia(res.Body())
		l.tell(dialer.Event{Kind: dialer.EarlyMedia})
	}
}

// refusal is the end by a final response. A 487 that we asked for is our doing;
// everything else is the peer's own verdict.
func (l *leg) refusal(res *msg.Response) dialer.End {
	q850, _ := parseReason(res)
	end := dialer.End{Q850: q850, SIP: res.StatusCode, Native: res.Reason, By: scheduler.ByPeer}
	if l.cancelled && res.StatusCode == msg.StatusRequestTerminated || l.hung && challenged(res) {
		end.Disposition, end.By = l.verdict(), scheduler.ByUs
		return end
	}
	end.Disposition = scheduler.Cause{Q850: q850, SIP: res.StatusCode, Rang: l.rang || l.early}.Disposition()
	return end
}

// silence is the end by a transaction that died: nobody answered the INVITE,
// or it could not be sent again (RFC 3261, section 8.1.3.1).
func (l *leg) silence(err error) dialer.End {
	if l.hung {
		return l.abandoned()
	}
	end := dialer.End{SIP: msg.StatusRequestTimeout, Native: "no response", By: scheduler.ByUs}
	if errors.Is(err, msg.ErrTransactionTransport) {
		end.SIP, end.Native = msg.StatusServiceUnavailable, "not sent"
	}
	end.Disposition = scheduler.Cause{SIP: end.SIP, Rang: l.rang || l.early}.Disposition()
	return end
}

// abandoned is the end of a leg that we hung up and that the peer said nothing
// more about.
func (l *leg) abandoned() dialer.End {
	return dialer.End{Disposition: l.verdict(), By: scheduler.ByUs}
}

// verdict is how a leg ended that we hung up before it was answered.
func (l *leg) verdict() scheduler.Disposition {
	timeout := l.hung && l.reason == dialer.HangupTimeout
	return scheduler.Cause{TimedOut: timeout, Cancelled: !timeout}.Disposition()
}

// talk follows an answered leg to its end. An answer to a leg that we hung up
// meanwhile is acknowledged, told, and ended.
func (l *leg) talk(ctx context.Context, res *msg.Response) {
	unusable := l.hear(res)
	l.confirm(res) // from here on the peer may ask again
	if unusable != nil {
		l.end(dialer.End{
			Disposition: scheduler.Failed, Q850: causeIncompatible, SIP: res.StatusCode,
			Native: unusable.Error(), By: scheduler.ByUs,
		})
		l.trunk.deliver(l.within().bye(l.trunk.via(), l.nextSeq(), causeIncompatible))
		return
	}
	l.updates = slices.ContainsFunc(res.GetHeaders("allow"), func(h msg.Header) bool { return strings.Contains(h.Value(), "UPDATE") })
	l.setSession(agreed(res))
	if !l.told() {
		l.tell(dialer.Event{Kind: dialer.Answered, State: l.state()})
	}
	if !l.hung {
		if bye := l.listen(ctx); bye != nil {
			q850, raw := parseReason(bye)
			l.end(dialer.End{
				Disposition: scheduler.Answered, Q850: q850, SIP: res.StatusCode, Native: raw, By: scheduler.ByPeer,
			})
			return
		}
	}
	cause := causeOf(l.reason)
	if l.dead != "" {
		cause = causeTimer
	}
	l.end(dialer.End{Disposition: scheduler.Answered, Q850: cause, SIP: res.StatusCode, Native: l.dead, By: scheduler.ByUs})
	l.trunk.deliver(l.within().bye(l.trunk.via(), l.nextSeq(), cause))
}

// hear takes the session description of an answer; a peer that gave it with
// its early media may leave it out.
func (l *leg) hear(answer *msg.Response) error {
	if body := answer.Body(); len(body) > 0 || !l.early {
		l.rewire(func(w *wire) { w.said = body })
		return l.media.accept(body)
	}
	return nil
}

// listen waits until one side hangs up; it returns the peer's BYE if it was
// the peer.
func (l *leg) listen(ctx context.Context) *msg.Request {
	refreshed := make(chan *msg.Response, 1)
	refreshing := false
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		wait := time.Hour
		if due := l.due(); !due.IsZero() && !refreshing {
			wait = time.Until(due)
		}
		alarm.Reset(wait)
		select {
		case <-l.timed:
		case <-l.heard:
			l.tell(dialer.Event{Kind: dialer.Played})
		case <-alarm.C:
			if l.dead, refreshing = l.overdue(refreshed); l.dead != "" {
				return nil
			}
		case res := <-refreshed:
			refreshing = false
			if l.dead = l.refreshed(res); l.dead != "" {
				return nil
			}
		case bye := <-l.bye:
			return bye
		case l.reason = <-l.hang:
			return nil
		case <-ctx.Done():
			l.reason = dialer.HangupCancel
			return nil
		case <-l.trunk.kill:
			l.reason = dialer.HangupCancel
			return nil
		case res := <-l.forks:
			fork := newDialog(l.invite, res)
			l.write(fork.ack(l.trunk.via()))
			bye := fork.bye(l.trunk.via(), l.nextSeq(), scheduler.CauseAnsweredElse)
			l.d.wg.Go(func() { l.trunk.deliver(bye) })
		}
	}
}

// confirm makes the dialog of a 2xx and acknowledges it.
func (l *leg) confirm(res *msg.Response) {
	made := newDialog(l.invite, res)
	made.next = l.trunk.addressOf(made)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialog = made
	l.write(l.dialog.ack(l.trunk.via()))
}

// again takes a 2xx that came again: our ACK was lost, or another branch of a
// forking proxy answered, too.
func (l *leg) again(res *msg.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch to := res.To(); {
	case l.dialog == nil || to == nil: // the first is not through yet
	case to.Params.GetOr("tag", "") == l.dialog.tag():
		l.write(l.dialog.ack(l.trunk.via()))
	default:
		select {
		case l.forks <- res:
		default: // it will come again
		}
	}
}

// write sends an ACK, which has no transaction.
func (l *leg) write(ack *msg.Request) {
	ack.SetTransport(string(l.trunk.station.over))
	if err := l.trunk.station.client.WriteRequest(ack); err != nil {
		l.trunk.log.Warn("ack not sent", "leg", string(l.id), "err", err)
	}
}

// hangUp orders the leg to end; only the first order counts.
func (l *leg) hangUp(reason dialer.HangupReason) {
	select {
	case l.hang <- reason:
	default:
	}
}

// talking reports whether the leg was answered and has not ended.
func (l *leg) talking() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dialog != nil && !l.told() && l.media.path.Load() != nil
}

// told reports whether the end was told.
func (l *leg) told() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

func (l *leg) tell(e dialer.Event) {
	e.At = time.Now()
	l.events(e)
}

// end tells the end once, and gives the leg's ports back first.
func (l *leg) end(end dialer.End) {
	if l.told() {
		return
	}
	l.media.close()
	close(l.over)
	l.tell(dialer.Event{Kind: dialer.Ended, End: end})
}
