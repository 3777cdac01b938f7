package sim

import (
	"fmt"
	"sync"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// leg is one leg at the carrier. Its events are told under its lock, which
// keeps them in order.
type leg struct {
	driver    *Driver
	originate dialer.Originate
	does      behaviour
	events    func(dialer.Event)
	forget    func() bool // stops the watch over the context

	mu       sync.Mutex
	timer    *time.Timer // of what comes next; nil: nothing
	rang     bool
	answered bool
	playing  *time.Timer // ends what it hears; nil: nothing
	talking  bool
	ended    bool
}

// begin plays what the far end does. A partner that is to hang up while the
// other side rings does so halfway, and this leg rings until it is cancelled.
func (l *leg) begin(partner *leg) {
	o := l.driver.o
	// The first tenth of the ring time passes before anything is heard: the
	// post-dial delay.
	delay := o.Ring / 10
	switch l.does {
	case busy, invalid, congested:
		l.after(delay, l.refuse)
		return
	case rejects:
		l.after(delay, func() { l.ring(); l.after(o.Ring-delay, l.refuse) })
		return
	case silent:
		l.after(delay, l.ring)
		return
	case answers, leaves:
	}
	if partner != nil && partner.does == leaves {
		l.after(delay, l.ring)
		partner.leaveAfter(o.Ring / 2)
		return
	}
	l.after(delay, func() { l.ring(); l.after(o.Ring-delay, l.answer) })
}

// after does the next thing after a time, at once if that is zero, unless the
// leg ends before. The lock is held here and there.
func (l *leg) after(wait time.Duration, do func()) {
	if wait <= 0 {
		do()
		return
	}
	l.driver.work.Add(1)
	l.timer = time.AfterFunc(wait, func() {
		defer l.driver.work.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.ended {
			do()
		}
	})
}

// stopTimer takes back what was to come next.
func (l *leg) stopTimer() {
	if l.timer != nil && l.timer.Stop() {
		l.driver.work.Done()
	}
	l.timer = nil
}

func (l *leg) tell(ev dialer.Event) {
	ev.At = time.Now()
	l.events(ev)
}

func (l *leg) ring() {
	l.rang = true
	l.tell(dialer.Event{Kind: dialer.Ringing})
}

func (l *leg) answer() {
	l.answered = true
	l.tell(dialer.Event{Kind: dialer.Answered})
}

func (l *leg) isAnswered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered && !l.ended
}

// leaveAfter makes the far end of an answered leg hang up after a time.
func (l *leg) leaveAfter(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answered && !l.ended {
		l.stopTimer()
		l.after(wait, l.bye)
	}
}

// perform lets the leg hear something that takes so long. One that is to hang
// up early does so halfway.
func (l *leg) perform(takes time.Duration, note line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.answered || l.ended || l.talking || l.playing != nil {
		return fmt.Errorf("leg %s is not answered, or hears something else", l.originate.ID)
	}
	l.driver.journal.note(note, l.originate)
	if l.does == leaves {
		l.stopTimer()
		l.after(takes/2, l.bye)
	}
	l.driver.work.Add(1)
	l.playing = time.AfterFunc(takes, func() {
		defer l.driver.work.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.playing = nil; !l.ended {
			l.tell(dialer.Event{Kind: dialer.Played})
		}
	})
	return nil
}

// talk begins the bridged time of B's leg.
func (l *leg) talk() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.answered || l.ended || l.talking {
		return fmt.Errorf("leg %s is not answered, or is bridged", l.originate.ID)
	}
	l.talking = true
	l.after(l.driver.o.Talk, l.bye)
	return nil
}

// bye ends an answered leg by its far end.
func (l *leg) bye() {
	l.end(dialer.End{Disposition: scheduler.Answered, SIP: 200, Q850: scheduler.CauseNormalClearing, By: scheduler.ByPeer})
}

// refuse ends a leg that was not answered, as the carrier tells it.
func (l *leg) refuse() {
	cause := causeOf[l.does]
	l.end(dialer.End{Disposition: cause.Disposition(), SIP: cause.SIP, Q850: cause.Q850, By: scheduler.ByPeer})
}

// hangup ends the leg for the engine.
func (l *leg) hangup(reason dialer.HangupReason) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
	case l.answered:
		l.end(dialer.End{Disposition: scheduler.Answered, SIP: 200, Q850: scheduler.CauseNormalClearing, By: scheduler.ByUs})
	default:
		timedOut := reason == dialer.HangupTimeout
		cause := scheduler.Cause{SIP: 487, Rang: l.rang, TimedOut: timedOut, Cancelled: !timedOut}
		l.end(dialer.End{Disposition: cause.Disposition(), SIP: cause.SIP, By: scheduler.ByUs})
	}
}

// end is the last of a leg. Its line is in the journal before anybody hears
// of it.
func (l *leg) end(why dialer.End) {
	l.ended = true
	l.stopTimer()
	if l.playing != nil && l.playing.Stop() {
		l.driver.work.Done()
	}
	if l.forget() {
		l.driver.work.Done()
	}
	l.driver.remove(l.originate.ID)
	l.driver.journal.note(line{Event: "end"}, l.originate)
	l.tell(dialer.Event{Kind: dialer.Ended, End: why})
}
