package sip

import (
	"context"
	"time"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

// quietFor is how long an address may say nothing at all, in units of T1, while
// there is another that can be tried.
const quietFor = 8

// place sends the INVITE to the addresses of the trunk, one after the other
// until one takes it (RFC 3263, section 4.3), and returns a 2xx; else the leg
// has ended. What rang, or was hung up, is tried nowhere else.
func (l *leg) place(ctx context.Context) *msg.Response {
	list, err := l.trunk.targets(ctx, l.invite)
	if err != nil {
		l.end(dialer.End{Disposition: scheduler.LocalError, Native: err.Error(), By: scheduler.ByUs})
		return nil
	}
	var failure dialer.End
	for i, at := range list {
		l.target, l.others = at, len(list)-1-i
		if i > 0 && !l.anew(ctx) {
			l.end(l.abandoned())
			return nil
		}
		l.invite.SetDestination(at.String())
		if err := l.send(ctx); err != nil { // no network, or too long for a datagram
			l.trunk.avoid(at, avoidFor)
			if !failure.Disposition.Signalled() {
				failure = dialer.End{Disposition: scheduler.LocalError, Native: unsent(err).Error(), By: scheduler.ByUs}
			}
			continue
		}
		res, failed := l.await(ctx)
		if failed == nil {
			return res
		}
		failure = *failed
	}
	l.end(failure)
	return nil
}

// anew makes the INVITE one for another address: with a transaction of its own
// and the next CSeq, so that it is no copy of the first. It reports whether the
// leg is still wanted.
func (l *leg) anew(ctx context.Context) bool {
	select {
	case reason := <-l.hang:
		l.giveUp(reason)
	case <-ctx.Done():
		l.giveUp(dialer.HangupCancel)
	default:
	}
	l.invite = l.invite.Clone()
	l.invite.RemoveHeader("Via")
	l.invite.PrependHeader(l.trunk.via())
	l.invite.CSeq().SeqNo++
	return !l.hung
}

// elsewhere reports whether the leg is to be tried at another address of the
// trunk, as this one failed: it is overloaded, out of reach, or silent.
func (l *leg) elsewhere() bool {
	return l.others > 0 && !l.hung && !l.rang && !l.early
}

// overloaded reports whether a response sends us to another address.
func (l *leg) overloaded(res *msg.Response) bool {
	if res.StatusCode != msg.StatusServiceUnavailable || !l.elsewhere() {
		return false
	}
	l.trunk.avoid(l.target, max(retryAfter(res), avoidFor))
	return true
}

// leave gives the address up that said nothing yet. Should it wake, what it
// says is taken back: ringing is cancelled, an answer hung up.
func (l *leg) leave() {
	l.trunk.avoid(l.target, avoidFor)
	invite, tx := l.invite, l.tx
	l.d.wg.Go(func() {
		defer tx.Terminate()
		cancelled := false
		for {
			select {
			case res := <-tx.Responses():
				switch {
				case res.IsSuccess():
					late := newDialog(invite, res)
					l.write(late.ack(l.trunk.via()))
					l.trunk.deliver(late.bye(l.trunk.via(), invite.CSeq().SeqNo+1, scheduler.CauseAnsweredElse))
					return
				case !res.IsProvisional():
					return
				case !cancelled:
					cancelled = true
					if cancel := l.trunk.send(newCancel(invite, dialer.HangupElsewhere)); cancel != nil {
						l.trunk.settle(cancel)
					}
				}
			case <-tx.Done():
				return
			case <-l.trunk.kill:
				return
			}
		}
	})
}

// quiet fires when an address has said nothing for long enough to try another;
// nil if there is no other.
func (l *leg) quiet() <-chan time.Time {
	if l.others == 0 {
		return nil
	}
	return time.After(quietFor * msg.T1)
}
