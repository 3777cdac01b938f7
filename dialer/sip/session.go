package sip

import (
	"context"
	"strconv"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// What we ask for of a session's life (RFC 4028), in seconds: a leg whose BYE
// cannot reach its peer ends by itself.
const (
	sessionExpires = 600
	sessionLeast   = 90 // the RFC's own
)

const intervalTooSmall = 422 // RFC 4028, section 6

// longestRefresh is the most that is left of a session when it is given up
// because the peer did not refresh it (RFC 4028, section 10).
const longestRefresh = 32 * time.Second

// What a leg that we end says of why.
const (
	deadSession = "no session refresh"
	deadSound   = "no sound"
)

// session is how long an answered leg lives without a refresh.
type session struct {
	interval time.Duration // 0: for ever
	ours     bool          // we refresh it
	since    time.Time     // of the last refresh
}

// due is when we refresh the session, or give it up; zero: never.
func (s session) due() time.Time {
	switch {
	case s.interval == 0:
		return time.Time{}
	case s.ours:
		return s.since.Add(s.interval / 2)
	}
	return s.since.Add(s.interval - min(longestRefresh, s.interval/3))
}

// readSession reads a Session-Expires header, in full or as x; ok is false if
// there is none that makes sense.
func readSession(m msg.Message) (seconds int, refresher string, ok bool) {
	headers := append(m.GetHeaders("session-expires"), m.GetHeaders("x")...)
	if len(headers) == 0 {
		return 0, "", false
	}
	number, params, _ := strings.Cut(headers[0].Value(), ";")
	seconds, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || seconds < 1 {
		return 0, "", false
	}
	for param := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(param, "="); strings.EqualFold(strings.TrimSpace(name), "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return seconds, refresher, true
}

// agreed is the session that a 2xx to a request of ours makes.
func agreed(res *msg.Response) session {
	seconds, refresher, ok := readSession(res)
	if !ok {
		return session{}
	}
	return session{interval: time.Duration(seconds) * time.Second, ours: refresher != "uas", since: time.Now()}
}

// setSession notes a session and wakes who waits for its end.
func (l *leg) setSession(s session) {
	l.mu.Lock()
	l.session = s
	l.mu.Unlock()
	select {
	case l.timed <- struct{}{}:
	default:
	}
}

// keep takes a request of the peer as a refresh and returns what our 200 says
// of it; ok is false if its interval was refused (RFC 4028, section 9).
func (l *leg) keep(req *msg.Request, tx msg.ServerTransaction) (headers []msg.Header, ok bool) {
	seconds, refresher, given := readSession(req)
	if !given {
		l.mu.Lock()
		s := l.session
		l.mu.Unlock()
		if !s.ours {
			l.setSession(session{})
		}
		return nil, true
	}
	if seconds < sessionLeast {
		res := msg.NewResponseFromRequest(req, intervalTooSmall, "Session Interval Too Small", nil)
		res.AppendHeader(msg.NewHeader("Min-SE", strconv.Itoa(sessionLeast)))
		_ = tx.Respond(res)
		return nil, false
	}
	if refresher != "uas" {
		refresher = "uac"
		headers = append(headers, msg.NewHeader("Require", "timer"))
	}
	l.setSession(session{interval: time.Duration(seconds) * time.Second, ours: refresher == "uas", since: time.Now()})
	return append(headers, msg.NewHeader("Session-Expires", strconv.Itoa(seconds)+";refresher="+refresher)), true
}

// lengthen sends the INVITE again if the peer found our interval too small, and
// reports whether it did.
func (l *leg) lengthen(res *msg.Response) (next *msg.Request, ok bool) {
	h := res.GetHeader("min-se")
	if res.StatusCode != intervalTooSmall || h == nil {
		return nil, false
	}
	number, _, _ := strings.Cut(h.Value(), ";")
	least, err := strconv.Atoi(strings.TrimSpace(number))
	now, _, _ := readSession(l.invite)
	if err != nil || least <= now || least > 24*60*60 {
		return nil, false
	}
	next = l.invite.Clone()
	next.RemoveHeader("Via")
	next.PrependHeader(l.trunk.via())
	next.CSeq().SeqNo++
	next.ReplaceHeader(msg.NewHeader("Session-Expires", strconv.Itoa(least)+";refresher=uac"))
	next.ReplaceHeader(msg.NewHeader("Min-SE", strconv.Itoa(least)))
	next.SetDestination(l.invite.Destination())
	return next, true
}

// refresh asks the peer whether the call goes on, by an UPDATE if it takes
// one, else by an INVITE, and tells its final response to done; nil: none.
func (l *leg) refresh(done chan<- *msg.Response) {
	if !l.updates {
		l.d.wg.Go(func() { done <- l.refreshByInvite() })
		return
	}
	req := l.within().request(msg.UPDATE, l.nextSeq(), l.trunk.via())
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	req.AppendHeader(l.trunk.contact())
	req.AppendHeader(msg.NewHeader("Supported", "timer"))
	req.AppendHeader(msg.NewHeader("Session-Expires", strconv.Itoa(int(s.interval/time.Second))+";refresher=uac"))
	l.d.wg.Go(func() {
		_, res := l.trunk.deliver(req)
		done <- res
	})
}

// refreshByInvite offers the peer what it has; nil: there was no answer.
func (l *leg) refreshByInvite() *msg.Response {
	if l.acquire(context.Background()) != nil {
		return nil
	}
	defer l.release()
	res := l.deliverInvite(l.newReinvite(l.description()))
	if res != nil && res.IsSuccess() && len(res.Body()) > 0 {
		_ = l.media.accept(res.Body()) // the codec stays: we offered no other
	}
	return res
}

// refreshed judges the answer to a refresh; dead says why the call is over.
func (l *leg) refreshed(res *msg.Response) (dead string) {
	switch {
	case res == nil, res.StatusCode == msg.StatusRequestTimeout, res.StatusCode == msg.StatusCallTransactionDoesNotExists:
		return deadSession
	case res.IsSuccess():
		l.setSession(agreed(res))
	default: // busy with something else: again, in time
		l.mu.Lock()
		l.session.since = time.Now()
		l.mu.Unlock()
	}
	return ""
}

// due is when something is to be done for an answered leg: its session is to
// be refreshed or given up, or its peer was silent for too long. zero: never.
func (l *leg) due() time.Time {
	l.mu.Lock()
	next := l.session.due()
	l.mu.Unlock()
	if silent := l.silentAt(); !silent.IsZero() && (next.IsZero() || silent.Before(next)) {
		next = silent
	}
	return next
}

// silentAt is when the peer will have sent us nothing for too long; zero: never,
// also if its sound goes past us.
func (l *leg) silentAt() time.Time {
	if l.wired().given != nil {
		return time.Time{}
	}
	return l.media.silentAt(l.trunk.silence)
}

// overdue does what is due: it begins a refresh, or says why the call is over.
func (l *leg) overdue(done chan<- *msg.Response) (dead string, refreshing bool) {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	now := time.Now()
	switch silent, due := l.silentAt(), s.due(); {
	case !silent.IsZero() && !now.Before(silent):
		return deadSound, false
	case due.IsZero() || now.Before(due):
		return "", false
	case s.ours:
		l.refresh(done)
		return "", true
	}
	return deadSession, false
}
