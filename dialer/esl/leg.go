package esl

import (
	"context"
	"errors"
	"sync"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

const (
	// endPatience is how long a channel that was hung up, or could not be made,
	// may take to end before its leg's end is told without it.
	endPatience = 5 * time.Second
	// lateNews is how long the first event of a channel may come after the
	// news that it could not be made.
	lateNews = 500 * time.Millisecond
	// orderAgain is the pause before an order that failed is sent again.
	orderAgain = 200 * time.Millisecond
)

// leg is a channel of ours. Its events are told under mu, so one at a time.
type leg struct {
	id      dialer.LegID
	d       *Driver
	command string
	sounds  string // its trunk's directory of sounds, as FreeSWITCH sees it; "": ours
	conn    *conn  // that it was originated over
	events  func(dialer.Event)
	hang    chan struct{} // closed: it is to be hung up
	over    chan struct{} // closed: Ended was told

	mu          sync.Mutex
	created     bool      // there is, or was, a channel
	pickedUp    time.Time // zero: not yet
	parked      bool      // FreeSWITCH takes orders for it
	rang, early bool
	answered    bool // told
	hung, ended bool
	ringing     bool // hears the tone
	hearing     bool // hears a sound, or digits are sent
	sound       int  // sounds and digits so far
	file        string
	reason      dialer.HangupReason
	partner     dialer.LegID  // that it is to be bridged to
	joined      chan struct{} // closed: they are
}

func newLeg(d *Driver, id dialer.LegID, command string, events func(dialer.Event)) *leg {
	return &leg{id: id, d: d, command: command, events: events, hang: make(chan struct{}), over: make(chan struct{})}
}

// run makes the channel and follows it until its end was told. A connection
// that is lost meanwhile says nothing of the channel: it is looked up when the
// driver connects again.
func (l *leg) run(ctx context.Context) {
	defer l.d.forget(l)
	j, err := l.conn.begin(l.command)
	if err != nil {
		l.end(dialer.End{Disposition: scheduler.LocalError, Native: err.Error(), By: scheduler.ByUs})
		return
	}
	life, stop := context.WithCancel(l.d.life)
	defer stop()
	made := make(chan error, 1)
	l.d.wg.Go(func() {
		_, err := j.wait(life)
		made <- err
	})
	l.follow(ctx, made)
}

// follow waits for the leg's end, or for an order to end it; made tells what
// became of the order to make the channel.
func (l *leg) follow(ctx context.Context, made <-chan error) {
	var refused error
	var patience <-chan time.Time
	for {
		select {
		case refused = <-made:
			made = nil
			if isRefusal(refused) {
				patience = time.After(l.patience())
			}
		case <-patience:
			l.refuse(refused.Error())
			return
		case <-l.over:
			return
		case <-ctx.Done():
			l.hangUp(dialer.HangupCancel)
			l.clear(made, refused)
			return
		case <-l.hang:
			l.clear(made, refused)
			return
		}
	}
}

// patience is how long the end of a channel that could not be made is waited
// for.
func (l *leg) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.created {
		return endPatience
	}
	return lateNews
}

// refuse tells the end of a leg that FreeSWITCH could not make. Without a
// channel nothing was signalled, unless the user is one of its own.
func (l *leg) refuse(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := dialer.End{Disposition: scheduler.LocalError, Native: why, By: scheduler.ByUs}
	switch q850 := causeOfUser(why); {
	case l.created && (q850 == 0 || !l.pickedUp.IsZero()):
		end = l.lost(why)
	case q850 != 0:
		end.Disposition, end.Q850, end.By = scheduler.Cause{Q850: q850}.Disposition(), q850, scheduler.ByPeer
	}
	l.finish(end)
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

// clear ends the channel, which may not be there yet, and tells the leg's end
// if FreeSWITCH does not. What it cannot end is ended when it comes to life, or
// when the driver connects again.
func (l *leg) clear(made <-chan error, refused error) {
	patience := time.NewTimer(endPatience)
	defer patience.Stop()
	for {
		var again <-chan time.Time
		switch err := l.d.kill(l.id, l.word()); {
		case err == nil:
		case errors.Is(err, errNoChannel) && isRefusal(refused) && !l.isCreated():
			l.lose(refused.Error())
			return
		default:
			again = time.After(orderAgain)
		}
		for waiting := true; waiting; {
			select {
			case refused = <-made:
				made = nil
			case <-again:
				waiting = false
			case <-l.over:
				return
			case <-patience.C:
				l.lose("no end was told")
				return
			case <-l.d.life.Done():
				l.lose("the driver was closed")
				return
			}
		}
	}
}

// word is the hang-up's reason as FreeSWITCH names it. LOSE_RACE tells a SIP
// phone that the call was completed elsewhere.
func (l *leg) word() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.cause() {
	case scheduler.CauseAnsweredElse:
		return "LOSE_RACE"
	case scheduler.CauseNoAnswer:
		return "NO_ANSWER"
	}
	return "NORMAL_CLEARING"
}

// cause is the Q.850 cause of that word.
func (l *leg) cause() int {
	switch {
	case !l.pickedUp.IsZero() || l.reason == dialer.HangupNormal || l.reason == dialer.HangupCancel:
		return scheduler.CauseNormalClearing
	case l.reason == dialer.HangupElsewhere:
		return scheduler.CauseAnsweredElse
	}
	return scheduler.CauseNoAnswer
}

// create notes that the channel exists.
func (l *leg) create() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created = true
}

func (l *leg) isCreated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// ring tells that the far end rings.
func (l *leg) ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created = true
	if !l.rang && !l.early && l.pickedUp.IsZero() && !l.ended {
		l.rang = true
		l.events(dialer.Event{Kind: dialer.Ringing, At: time.Now()})
	}
}

// progress tells that the far end sends sound before it answers.
func (l *leg) progress() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created = true
	if !l.early && l.pickedUp.IsZero() && !l.ended {
		l.early = true
		l.events(dialer.Event{Kind: dialer.EarlyMedia, At: time.Now()})
	}
}

// pickUp notes the answer, which is told when the channel is parked: an order
// that comes earlier would be undone by the parking.
func (l *leg) pickUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created = true
	if l.pickedUp.IsZero() {
		l.pickedUp = time.Now()
	}
	if l.parked {
		l.answer()
	}
}

// park notes that FreeSWITCH takes orders for the channel.
func (l *leg) park() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.created, l.parked = true, true
	if !l.pickedUp.IsZero() {
		l.answer()
	}
}

// answer tells that the leg was answered.
func (l *leg) answer() {
	if !l.answered && !l.ended {
		l.answered = true
		l.events(dialer.Event{Kind: dialer.Answered, At: l.pickedUp, State: []byte(l.id)})
	}
}

// complete tells the end as FreeSWITCH saw it.
func (l *leg) complete(h hangup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(l.verdict(h))
}

// lose tells the end of a leg that FreeSWITCH says nothing of any more.
func (l *leg) lose(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(l.lost(why))
}

func (l *leg) lost(why string) dialer.End {
	if l.hung {
		return l.verdict(hangup{name: why})
	}
	end := dialer.End{Disposition: scheduler.Answered, Q850: scheduler.CauseTemporary, Native: why, By: scheduler.ByUs}
	if l.pickedUp.IsZero() {
		end.Disposition = scheduler.Cause{Q850: end.Q850}.Disposition()
	}
	return end
}

// end tells an end.
func (l *leg) end(e dialer.End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finish(e)
}

func (l *leg) finish(e dialer.End) {
	if l.ended {
		return
	}
	if !l.pickedUp.IsZero() {
		l.answer()
	}
	l.ended = true
	l.events(dialer.Event{Kind: dialer.Ended, At: time.Now(), End: e})
	close(l.over)
}

// talks reports whether the leg was answered and has not ended.
func (l *leg) talks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered && !l.ended
}

// tone notes whether the leg is to hear the tone, and reports whether that is
// new.
func (l *leg) tone(on bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.ringing
	l.ringing = on
	return was != on
}

// expect returns a channel that is closed when the leg is bridged to another.
func (l *leg) expect(partner dialer.LegID) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partner, l.joined = partner, make(chan struct{})
	return l.joined
}

// join notes that the leg is bridged.
func (l *leg) join(partner dialer.LegID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.joined != nil && l.partner == partner {
		close(l.joined)
		l.joined = nil
	}
}
