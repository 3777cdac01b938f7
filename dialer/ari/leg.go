package ari

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

const (
	// endPatience is how long a channel that was hung up may take to be
	// destroyed before its leg's end is told without it.
	endPatience = 5 * time.Second
	// orderAgain is the pause before an order that failed is sent again.
	orderAgain = 500 * time.Millisecond
)

// leg is a channel of ours. Its events are told under mu, so one at a time.
type leg struct {
	id      dialer.LegID
	d       *Driver
	body    originated
	link    int    // the number of the connection it was originated on
	sounds  string // its trunk's directory of sounds, as Asterisk sees it; "": ours
	events  func(dialer.Event)
	adopted bool          // another process made it
	hang    chan struct{} // closed: it is to be hung up
	over    chan struct{} // closed: Ended was told

	ears  sync.Mutex   // over what follows, and held while that changes
	spied dialer.LegID // the partner whose early media it hears; "": none

	mu          sync.Mutex
	rang, early bool
	answered    bool
	hung, ended bool
	destroyed   bool // Asterisk says so
	reason      dialer.HangupReason
	bridge      string    // the one to remove with it
	orders      int       // of sounds and digits, so far
	playback    string    // what it hears; "": nothing
	placedAt    time.Time // Asterisk has taken it; zero: not yet
}

func newLeg(d *Driver, id dialer.LegID, body originated, events func(dialer.Event)) *leg {
	return &leg{id: id, d: d, body: body, events: events, hang: make(chan struct{}), over: make(chan struct{})}
}

// run makes the channel and follows it until nothing of it is left.
func (l *leg) run(ctx context.Context) {
	if l.place() {
		l.follow(ctx)
		return
	}
	l.leave()
}

// follow follows a channel that is there until nothing of it is left.
func (l *leg) follow(ctx context.Context) {
	select {
	case <-l.over:
	case <-l.hang:
	case <-ctx.Done():
		l.hangUp(dialer.HangupCancel)
	}
	l.clear()
	l.leave()
}

// leave forgets the leg and removes its bridge.
func (l *leg) leave() {
	l.mu.Lock()
	bridge := l.bridge
	l.mu.Unlock()
	l.d.forget(l)
	l.d.undoEars(l)
	if bridge != "" {
		l.d.unbridge(bridge)
	}
}

// place asks Asterisk for the channel; false: there is none.
func (l *leg) place() bool {
	err := l.d.rest.originate(l.d.life, l.id, l.body)
	var refused refusal
	switch {
	case err == nil:
	case errors.Is(err, errUnsent), errors.Is(err, errGone), errors.As(err, &refused):
		l.end(dialer.End{Disposition: scheduler.LocalError, Native: err.Error(), By: scheduler.ByUs})
		return false
	case l.isHeardOf(): // the channel is there; only the answer to the order was lost
	default: // nobody knows whether there is a channel: it shall not be
		l.d.log.Warn("leg lost while it was made; it is hung up", "leg", string(l.id), "err", err)
		l.lose(err.Error())
		l.hangUp(dialer.HangupCancel)
		return true
	}
	l.mu.Lock()
	l.placedAt = time.Now()
	l.mu.Unlock()
	if l.d.link.number() != l.link { // what happened meanwhile may have been told to nobody
		l.check()
	}
	return true
}

// check asks Asterisk what became of the channel.
func (l *leg) check() {
	switch c, err := l.d.rest.channelNow(l.d.life, l.id); {
	case errors.Is(err, errGone):
		l.lose("the channel is gone")
	case err == nil && c.inStasis():
		l.answer()
	}
}

// hangUp orders the leg to end; only the first order counts.
func (l *leg) hangUp(reason dialer.HangupReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hung && !l.ended {
		l.hung, l.reason = true, reason
		close(l.hang)
	}
}

// clear ends the channel, and tells the leg's end if Asterisk does not.
func (l *leg) clear() {
	patience := time.NewTimer(endPatience)
	defer patience.Stop()
	done := false
	over := l.over
	for {
		if l.isDestroyed() {
			return
		}
		var again <-chan time.Time
		if !done {
			err := l.d.rest.hangup(l.d.life, l.id, l.word())
			if done = err == nil; !done {
				again = time.After(orderAgain)
			}
		}
		if done && over == nil {
			return
		}
		select {
		case <-over:
			over = nil
		case <-again:
		case <-patience.C:
			l.lose("no end was told")
		case <-l.d.life.Done():
			l.lose("the driver was closed")
			return
		}
	}
}

func (l *leg) isDestroyed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.destroyed
}

// word is the hang-up's reason as ARI names it.
func (l *leg) word() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.answered || l.reason == dialer.HangupNormal || l.reason == dialer.HangupCancel:
		return "normal"
	case l.reason == dialer.HangupElsewhere:
		return "answered_elsewhere"
	}
	return "no_answer"
}

// cause is the Q.850 cause of that word.
func (l *leg) cause() int {
	switch {
	case l.answered || l.reason == dialer.HangupNormal || l.reason == dialer.HangupCancel:
		return scheduler.CauseNormalClearing
	case l.reason == dialer.HangupElsewhere:
		return scheduler.CauseAnsweredElse
	}
	return scheduler.CauseNoAnswer
}

// ring tells that the far end rings.
func (l *leg) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.rang && !l.early && !l.answered && !l.ended {
		l.rang = true
		l.tell(dialer.Event{Kind: dialer.Ringing})
	}
}

// progress tells that the far end sends sound before it answers.
func (l *leg) progress() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.early && !l.answered && !l.ended {
		l.early = true
		l.tell(dialer.Event{Kind: dialer.EarlyMedia})
	}
}

// answer tells that the leg was answered.
func (l *leg) answer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.answered && !l.ended {
		l.answered = true
		l.tell(dialer.Event{Kind: dialer.Answered})
	}
}

// playMark is in the names of playbacks, after that of their leg.
const playMark = "play"

// hears notes that the leg is given something to hear, of this kind, and names
// it.
func (l *leg) hears(kind string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders++
	l.playback = fmt.Sprintf("%s.%s%d", l.id, kind, l.orders)
	return l.playback
}

// heard is what the leg hears.
func (l *leg) heard() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.playback
}

// played tells that what the leg heard is over.
func (l *leg) played(playback string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if playback != "" && l.playback == playback && !l.ended {
		l.playback = ""
		l.tell(dialer.Event{Kind: dialer.Played})
	}
}

// unplayed is played for a playback that failed, other than by the leg's end.
func (l *leg) unplayed(playback string) {
	if l.talks() && l.heard() == playback {
		l.d.log.Warn("asterisk could not play a sound: is the file there, as it sees it?", "leg", string(l.id))
		l.played(playback)
	}
}

// destroy tells the end as Asterisk saw it.
func (l *leg) destroy(cause, sip int, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.destroyed = true
	l.finish(l.verdict(cause, sip, text))
}

// lose tells the end of a leg that Asterisk says nothing of any more.
func (l *leg) lose(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := dialer.End{Disposition: scheduler.Answered, Q850: scheduler.CauseTemporary, Native: why, By: scheduler.ByUs}
	switch {
	case l.hung:
		end = l.verdict(0, 0, why)
	case !l.answered:
		end.Disposition = scheduler.Cause{Q850: end.Q850}.Disposition()
	}
	l.finish(end)
}

// end tells an end.
func (l *leg) end(e dialer.End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(e)
}

// verdict judges the end of a channel. One that we hung up is our doing unless
// the cause is one of the peer's own. Cause 0 of one that rang for as long as
// Asterisk lets it is 19.
func (l *leg) verdict(cause, sip int, text string) dialer.End {
	e := dialer.End{Q850: cause, SIP: sip, Native: text, By: scheduler.ByPeer}
	if l.answered {
		e.Disposition = scheduler.Answered
		if l.hung {
			e.Q850, e.By = l.cause(), scheduler.ByUs
		}
		return e
	}
	if l.hung && l.ours(cause) {
		timeout := l.reason == dialer.HangupTimeout
		e.Q850, e.By = l.cause(), scheduler.ByUs
		e.Disposition = scheduler.Cause{TimedOut: timeout, Cancelled: !timeout}.Disposition()
		return e
	}
	if cause == 0 && !l.placedAt.IsZero() && time.Since(l.placedAt) >= unansweredFor*time.Second {
		e.Q850, e.By = scheduler.CauseNoAnswer, scheduler.ByUs
	}
	told := e.Q850
	if sip != 0 && derived[sip] == told { // it says no more than the response
		told = 0
	}
	e.Disposition = scheduler.Cause{Q850: told, SIP: sip, Rang: l.rang || l.early}.Disposition()
	return e
}

// derived are the SIP responses that Asterisk makes causes of users of, though
// no user was asked (ast_sip_hangup_sip2cause).
var derived = map[int]int{
	401: scheduler.CauseRejected, 403: scheduler.CauseRejected, 407: scheduler.CauseRejected,
	408: scheduler.CauseNoUserResponse, 482: scheduler.CauseNoAnswer, 483: scheduler.CauseNoAnswer,
}

// ours reports whether a cause may come of our own hang-up.
func (l *leg) ours(cause int) bool {
	switch cause {
	case 0, scheduler.CauseNormalClearing, scheduler.CauseAnsweredElse, scheduler.CauseNormal, scheduler.CauseInterworking:
		return true
	}
	return cause == l.cause()
}

func (l *leg) finish(e dialer.End) {
	if l.ended {
		return
	}
	l.ended = true
	l.tell(dialer.Event{Kind: dialer.Ended, End: e})
	close(l.over)
}

func (l *leg) tell(e dialer.Event) {
	e.At = time.Now()
	l.events(e)
}

// talks reports whether the leg was answered and has not ended.
func (l *leg) talks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered && !l.ended
}

// isHeardOf reports whether Asterisk told anything of the channel.
func (l *leg) isHeardOf() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rang || l.early || l.answered
}

// isPlaced reports whether Asterisk has taken the leg.
func (l *leg) isPlaced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.placedAt.IsZero()
}

// joins notes the bridge to remove with the leg.
func (l *leg) joins(bridge string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bridge = bridge
}
