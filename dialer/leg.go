package dialer

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ringback/scheduler"
)

// phase is how far a leg has come.
type phase int

const (
	queued   phase = iota // waits for a channel; nothing was signalled
	paced                 // has its channel and waits for its turn; nothing was signalled
	calling               // originated
	answered              //
	ended                 // nothing more is heard of it
)

// leg is one leg of a call under way.
type leg struct {
	id       LegID
	place    int // among the numbers of its role, from 1
	number   scheduler.Number
	caller   scheduler.CallerID
	partner  LegID
	trunk    *trunk // nil: no trunk takes the number
	phase    phase
	leaving  bool      // the engine hung it up
	busy     bool      // hears a sound, or is sent digits
	unused   bool      // the call ended before its turn: it is no leg at all
	kept     bool      // by the keeper
	deadline time.Time // of what it waits for: channel, answer, end of a sound, end; zero: none
	record   scheduler.Leg
}

// legID names a leg: place is that of its number among those of the role, from
// 1, and try counts the trunks it was tried on, from 1.
func legID(call scheduler.CallID, role scheduler.Role, place, try int) LegID {
	id := string(call) + "-" + string(role) + strconv.Itoa(place)
	if try > 1 {
		id += "." + strconv.Itoa(try)
	}
	return LegID(id)
}

// newLeg adds the first try of a leg to the call; start begins it.
func (c *call) newLeg(role scheduler.Role, place int, n scheduler.Number, t *trunk) *leg {
	return c.addLeg(role, place, n, t, 1)
}

func (c *call) addLeg(role scheduler.Role, place int, n scheduler.Number, t *trunk, try int) *leg {
	l := &leg{id: legID(c.spec.ID, role, place, try), place: place, number: n, trunk: t, caller: c.spec.CallerA}
	if role == scheduler.LegB {
		l.caller = c.spec.CallerB
	}
	l.record = scheduler.Leg{Role: role, Try: try, Number: n.Dial(), StartedAt: c.now()}
	if t != nil {
		l.record.Trunk = t.Name
	}
	c.legs = append(c.legs, l)
	c.changes++
	return l
}

// start originates the leg, or queues it for a channel of its trunk.
func (c *call) start(l *leg) {
	if l.trunk == nil {
		c.close(l, End{Disposition: scheduler.NoRoute, By: scheduler.ByUs})
		return
	}
	w := waiter{leg: l, first: l.record.Role == scheduler.LegB, grant: func() { c.mail.put(message{leg: l, granted: true}) }}
	if l.trunk.channels.take(w) {
		c.begin(l)
		return
	}
	l.deadline = c.now().Add(ChannelWait)
}

// begin originates a leg that has its channel, in its turn.
func (c *call) begin(l *leg) {
	limit := ChannelWait
	if l.record.Role == scheduler.LegA {
		limit = paceWaitA
	}
	l.phase = paced
	wait, ok := l.trunk.pace.reserve(limit)
	switch {
	case !ok:
		c.warn("trunk may begin no more calls soon", l, nil)
		c.close(l, End{Disposition: scheduler.LocalError, By: scheduler.ByUs})
	case wait > 0:
		l.deadline = c.now().Add(wait)
	default:
		c.originate(l)
	}
}

// failover tries a leg on the next trunk that may carry it, as a leg of its
// own, if the last one had no room for it and nothing rang.
func (c *call) failover(l *leg) {
	full := l.record.Disposition == scheduler.Congestion || l.record.Disposition == scheduler.LocalError
	if !full || l.trunk == nil || l.leaving || c.cut != scheduler.CutNone || !l.record.RangAt.IsZero() {
		return
	}
	isA := l.record.Role == scheduler.LegA
	if isA == (c.a != nil) || !isA && c.a.phase == ended {
		return // somebody answered already, or is gone
	}
	may := c.engine.toward(c.spec.B, c.mayUse)
	if !isA {
		may = beside(c.a.trunk.Driver, c.mayUse)
	}
	if t := l.trunk.after(l.number, may); t != nil {
		next := c.addLeg(l.record.Role, l.place, l.number, t, l.record.Try+1)
		next.partner = l.partner
		c.start(next)
	}
}

// originate hands a leg that has its channel to the driver.
func (c *call) originate(l *leg) {
	l.phase, l.record.StartedAt = calling, c.now()
	c.changes++
	l.deadline = l.record.StartedAt.Add(c.ring)
	o := Originate{
		ID: l.id, Trunk: l.trunk.Name, Call: c.spec.ID, Task: c.spec.Task, Attempt: c.spec.Attempt,
		Role: l.record.Role, Number: l.number, Caller: l.caller, Variables: c.spec.Variables, Partner: l.partner,
	}
	err := l.trunk.Driver.Originate(c.ctx, o, func(ev Event) { c.mail.put(message{leg: l, event: ev}) })
	if err != nil {
		c.warn("leg could not be originated", l, err)
		c.close(l, End{Disposition: scheduler.LocalError, By: scheduler.ByUs})
	}
}

// deliverAll applies what has come in.
func (c *call) deliverAll() {
	for m, ok := c.mail.take(); ok; m, ok = c.mail.take() {
		c.deliver(m)
	}
}

// deliver applies a message to its leg.
func (c *call) deliver(m message) {
	l := m.leg
	c.changes++
	switch {
	case l.phase == ended: // closed already, or its channel went back
	case m.granted:
		c.begin(l)
	case m.event.Kind == Ringing, m.event.Kind == EarlyMedia:
		if l.record.RangAt.IsZero() {
			l.record.RangAt = c.at(m.event)
		}
	case m.event.Kind == Answered:
		c.keep(l, m.event.State)
		c.answer(l, c.at(m.event))
	case m.event.Kind == Played:
		c.played(l)
	case m.event.Kind == Ended:
		l.record.EndedAt = c.at(m.event)
		c.close(l, m.event.End)
	}
}

// keep keeps what it takes to end the leg, should this process be killed.
func (c *call) keep(l *leg, state []byte) {
	if state != nil && c.engine.keeper != nil {
		l.kept = true
		c.engine.keeper.keep(scheduler.KeptLeg{ID: string(l.id), Call: c.spec.ID, Trunk: l.trunk.Name, State: state})
	}
}

// answer keeps the leg, unless it is being hung up or came second.
func (c *call) answer(l *leg, at time.Time) {
	l.phase, l.record.AnsweredAt = answered, at
	if l.leaving {
		return
	}
	l.deadline = time.Time{}
	switch {
	case l.record.Role == scheduler.LegB:
		c.b = l
	case c.a == nil:
		c.a = l
	}
}

// close ends a leg for good and gives its channel back. An answered leg stays
// answered, whatever ended it.
func (c *call) close(l *leg, end End) {
	c.changes++
	r := &l.record
	r.Disposition, r.Q850, r.SIP, r.Native, r.By = end.Disposition, end.Q850, end.SIP, clean(end.Native), end.By
	switch {
	case !r.AnsweredAt.IsZero():
		r.Disposition = scheduler.Answered
	case r.Disposition == scheduler.Answered, r.Disposition == "":
		r.Disposition = scheduler.Failed
	}
	if r.EndedAt.IsZero() {
		r.EndedAt = c.now()
	}
	if l.phase != queued {
		l.trunk.channels.put()
	}
	if l.kept {
		c.engine.keeper.forget(string(l.id))
	}
	l.phase, l.deadline = ended, time.Time{}
	if c.engine.observer != nil && l.trunk != nil {
		c.engine.observer.LegEnded(l.record)
	}
	c.failover(l)
}

// expire acts on the legs whose deadline has come.
func (c *call) expire() {
	now := c.now()
	var rang []*leg
	for _, l := range slices.Clone(c.legs) { // a close may add one
		if l.deadline.IsZero() || l.deadline.After(now) {
			continue
		}
		switch {
		case l.phase == queued:
			l.trunk.channels.leave(l)
			c.warn("no channel of the trunk came free", l, nil)
			c.close(l, End{Disposition: scheduler.LocalError, By: scheduler.ByUs})
		case l.phase == paced:
			c.originate(l)
		case l.leaving:
			c.warn("leg was hung up and did not end; it is given up", l, nil)
			c.close(l, End{Disposition: scheduler.Failed, By: scheduler.ByUs})
		case l.busy:
			c.warn("sound did not end in time; the call goes on", l, nil)
			c.played(l)
		default:
			rang = append(rang, l)
		}
	}
	c.hangup(HangupTimeout, rang...)
}

// maxNative is how much of a peer's own word is kept, in characters.
const maxNative = 200

// clean makes a peer's own word fit to be kept: valid, printable and short.
func clean(native string) string {
	native = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, native)
	if runes := []rune(native); len(runes) > maxNative {
		native = string(runes[:maxNative])
	}
	return native
}
