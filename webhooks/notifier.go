package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"ringback/scheduler"
)

// Defaults and times of the notifier.
const (
	// DefaultSlots is how many requests a node has in flight at most.
	DefaultSlots = 256
	// DefaultPerOrigin is how many go to one origin of one client at most, over
	// all nodes.
	DefaultPerOrigin = 16
	// Lease is how long a claimed delivery is left to whoever claimed it: longer
	// than a request and its settling take.
	Lease = 45 * time.Second
	// tick is how often the outbox is looked at, whatever else happens.
	tick = time.Second
	// drain is how long requests in flight may go on when the notifier stops.
	drain = 2 * time.Second
	// settleTimeout bounds the last writes of a notifier that stops.
	settleTimeout = 5 * time.Second
)

// Work is a delivery that was claimed, and what signs it.
type Work struct {
	Delivery scheduler.Delivery
	Secrets  []Secret // of the client
}

// Settlement is what became of a claimed delivery.
type Settlement struct {
	Delivery scheduler.Delivery // as it was claimed
	Verdict  Verdict
	Try      *Try // nil: it was cancelled, which costs no try
}

// Turn is a destination whose state changed.
type Turn struct {
	Destination Destination
	From, To    DestinationState
}

// Receiver is where the events of a client go that share an origin.
type Receiver struct {
	Client scheduler.ClientID
	Origin string
}

// Claim asks for deliveries that are due.
type Claim struct {
	Now       time.Time
	Room      int             // at most so many
	PerOrigin int             // no receiver has more leased than these, over all nodes, but by its own limit
	Share     int             // nor more than these, whatever its limit
	After     Receiver        // whose turn was last; the one behind it comes first
	Owner     scheduler.Owner // who claims
}

// Outbox keeps the deliveries. Its methods are called by one goroutine.
type Outbox interface {
	// ClaimDeliveries leases deliveries that are due to the caller, one receiver
	// after the other. What went stale is expired instead. more says that there
	// may be others: the room was too small, or was taken by what went stale.
	ClaimDeliveries(ctx context.Context, c Claim) (work []Work, more bool, err error)
	// SettleDeliveries writes what became of claimed deliveries, with their
	// tries, and lets go what waited for those that ended. One whose lease is
	// another's by now is left alone. It returns the destinations whose state
	// changed.
	SettleDeliveries(ctx context.Context, now time.Time, done []Settlement) ([]Turn, error)
	// SweepDeliveries lets go what waits for nothing any more, and what has
	// waited long enough; it returns how many of the latter there were.
	SweepDeliveries(ctx context.Context, now time.Time) (overtook int, err error)
}

// Questions are before-events whose answer a call waits for. Its method is called
// by the goroutine of the outbox's.
type Questions interface {
	// ClaimQuestion leases the event that a question is; ok is false if it is not
	// to be sent now: it waits for an earlier one, its receiver is left alone or
	// busy, or another has it.
	ClaimQuestion(ctx context.Context, q scheduler.Question, c Claim) (work Work, ok bool, err error)
}

// Observer is told what is worth counting. Its methods must not block.
type Observer interface {
	// Tried tells of one request: its kind of event, and what became of the
	// delivery (ready: it will be tried again).
	Tried(kind scheduler.EventKind, state scheduler.DeliveryState, try Try)
	// Overtook tells that n events no longer wait for an earlier one.
	Overtook(n int)
	// Turned tells that a destination is in another state now.
	Turned(to DestinationState)
}

// Options make a Notifier.
type Options struct {
	Outbox    Outbox
	Questions Questions              // nil: nobody asks
	Owner     func() scheduler.Owner // who claims; nil: nobody in particular
	Guard     Guard                  // which addresses events may go to
	Now       func() time.Time       // time.Now if nil
	Log       *slog.Logger           // slog.Default if nil
	Observer  Observer               // may be nil
	Slots     int                    // requests in flight at most; DefaultSlots if 0
	PerOrigin int                    // of them to one origin; DefaultPerOrigin if 0
	Transport http.RoundTripper      // NewTransport(Guard, …) if nil
	Luck      func() float64         // from 0 to 1, spreads retries; rand.Float64 if nil
}

// Notifier delivers what the outbox holds.
type Notifier struct {
	o      Options
	sender sender
	wake   chan struct{}
	asked  chan asked
	done   chan Settlement
	idle   func() // closes idle connections
}

// New makes a notifier; Run runs it.
func New(o Options) *Notifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Owner == nil {
		o.Owner = func() scheduler.Owner { return scheduler.Owner{} }
	}
	if o.Slots == 0 {
		o.Slots = DefaultSlots
	}
	if o.PerOrigin == 0 {
		o.PerOrigin = DefaultPerOrigin
	}
	if o.Transport == nil {
		o.Transport = NewTransport(o.Guard, o.PerOrigin)
	}
	if o.Luck == nil {
		o.Luck = rand.Float64
	}
	s := newSender(o.Transport, o.Now)
	return &Notifier{
		o: o, sender: s, idle: s.client.CloseIdleConnections,
		wake: make(chan struct{}, 1), asked: make(chan asked),
		done: make(chan Settlement, o.Slots), // never blocks: one for each slot
	}
}

// Wake makes the notifier look at the outbox at once. It never blocks.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Send makes one request at once, past the outbox: by the same client, guard and
// signature as every other. One that ctx cancels ends as a time-out.
func (n *Notifier) Send(ctx context.Context, w Work) Try {
	if len(w.Secrets) == 0 {
		return Try{At: n.o.Now(), Error: ErrNoSecret}
	}
	try, ok := n.sender.send(ctx, w)
	if !ok {
		try.Error = ErrTimeoutHeader
	}
	return try
}

// Run delivers until ctx ends; then it claims nothing more, gives the requests
// in flight a moment, cancels the rest, and returns when all is settled.
func (n *Notifier) Run(ctx context.Context) {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer n.idle()
	r := round{Notifier: n, requests: requests}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	r.sweep(ctx)
	for {
		r.claim(ctx)
		select {
		case <-ctx.Done():
			r.stop(cancel)
			return
		case <-n.wake:
		case <-ticker.C:
			r.settle(ctx)
			r.sweep(ctx)
		case s := <-n.done:
			r.take(s)
			r.gather()
			r.settle(ctx)
		case q := <-n.asked:
			r.ask(ctx, q)
		}
	}
}

// round is the state of one Run; its goroutine alone touches it.
type round struct {
	*Notifier
	requests context.Context // of the requests
	workers  sync.WaitGroup
	flying   int          // requests in flight
	settled  []Settlement // what is to be written
	last     Receiver     // whose turn was last
}

// claim fills the free slots. What is not written yet keeps its slot: without
// a database nothing more is sent.
func (r *round) claim(ctx context.Context) {
	for ctx.Err() == nil {
		free := r.o.Slots - r.flying - len(r.settled)
		if free <= 0 {
			return
		}
		work, more, err := r.o.Outbox.ClaimDeliveries(ctx, Claim{
			Now: r.o.Now(), Room: free, PerOrigin: r.o.PerOrigin, Share: r.share(free), After: r.last, Owner: r.o.Owner(),
		})
		if err != nil {
			if ctx.Err() == nil {
				r.o.Log.ErrorContext(ctx, "deliveries could not be claimed", "err", err)
			}
			return
		}
		for _, w := range work {
			r.flying++
			r.last = Receiver{w.Delivery.ClientID, w.Delivery.Origin}
			r.workers.Go(func() { r.done <- r.deliver(w) })
		}
		if !more {
			r.last = Receiver{} // nobody was left out
			return
		}
	}
}

// share is how many slots of the node one receiver may have when so many are
// free: the last ones are for those that have none.
func (r *round) share(free int) int {
	switch all := r.o.Slots; {
	case free > all/2:
		return all
	case free > all/8:
		return max(r.o.PerOrigin/4, 1)
	}
	return 1
}

// deliver makes one request and judges it.
func (r *round) deliver(w Work) Settlement {
	s := Settlement{Delivery: w.Delivery}
	try, ok := Try{At: r.o.Now(), Error: ErrNoSecret}, true
	if len(w.Secrets) > 0 {
		try, ok = r.sender.send(r.requests, w)
	}
	if !ok {
		s.Verdict = Verdict{State: scheduler.DeliveryReady, NextAt: w.Delivery.NextAt}
		return s
	}
	s.Try = &try
	s.Verdict = Judge(w.Delivery, try, r.o.Now(), r.o.Luck())
	return s
}

// take takes what is done, as much as there is.
func (r *round) take(s Settlement) {
	for {
		r.flying--
		r.settled = append(r.settled, s)
		r.tell(s)
		select {
		case s = <-r.done:
		default:
			return
		}
	}
}

// While more than gatherFrom requests are in flight, what is done is gathered
// for at most gatherFor: a claim and a write each cost by the receiver more than
// by the event.
const (
	gatherFrom = 32
	gatherFor  = 5 * time.Millisecond
)

// gather lets a batch of what is done grow.
func (r *round) gather() {
	if r.flying <= gatherFrom {
		return
	}
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	for r.flying > gatherFrom {
		select {
		case s := <-r.done:
			r.take(s)
		case <-timer.C:
			return
		}
	}
}

// settle writes what is done. If that fails it is tried again with the next
// tick: losing it would only send the event once more, but why.
func (r *round) settle(ctx context.Context) {
	r.settled = r.write(ctx, r.settled)
}

// write writes settlements and returns those that are to be tried again. A
// batch that the database refuses for what is in it is halved until the bad one
// stands alone: that one is written without the receiver's words, else left to
// its lease.
func (r *round) write(ctx context.Context, done []Settlement) (again []Settlement) {
	if len(done) == 0 {
		return nil
	}
	turns, err := r.o.Outbox.SettleDeliveries(ctx, r.o.Now(), done)
	half, bad := len(done)/2, &done[0]
	switch {
	case err == nil:
		for _, t := range turns {
			r.announce(ctx, t)
		}
		return nil
	case !errors.Is(err, scheduler.ErrData):
		if ctx.Err() == nil {
			r.o.Log.ErrorContext(ctx, "deliveries could not be settled", "err", err)
		}
		return done
	case half > 0:
		return append(r.write(ctx, done[:half]), r.write(ctx, done[half:])...)
	case bad.Try != nil:
		r.o.Log.ErrorContext(ctx, "the database refuses what a receiver said; the try is recorded without it",
			"err", err, "delivery", bad.Delivery.ID)
		bare := *bad
		bare.Try = &Try{At: bad.Try.At, Took: bad.Try.Took, Status: bad.Try.Status, Error: bad.Try.Error}
		if turns, err = r.o.Outbox.SettleDeliveries(ctx, r.o.Now(), []Settlement{bare}); err == nil {
			for _, t := range turns {
				r.announce(ctx, t)
			}
			return nil
		}
	}
	r.o.Log.ErrorContext(ctx, "the database refuses what became of a delivery; it is sent again when its lease is over",
		"err", err, "delivery", bad.Delivery.ID)
	return nil
}

// announce tells that the state of a destination changed.
func (r *round) announce(ctx context.Context, t Turn) {
	if r.o.Observer != nil {
		r.o.Observer.Turned(t.To)
	}
	level := slog.LevelInfo
	if t.To == DestinationDisabled {
		level = slog.LevelWarn
	}
	r.o.Log.Log(ctx, level, "a destination of events is "+string(t.To)+", it was "+string(t.From),
		"client", t.Destination.ClientID, "url_host", urlHost(t.Destination.Origin))
}

func (r *round) sweep(ctx context.Context) {
	n, err := r.o.Outbox.SweepDeliveries(ctx, r.o.Now())
	if err != nil && ctx.Err() == nil {
		r.o.Log.ErrorContext(ctx, "held deliveries could not be swept", "err", err)
	}
	if n > 0 && r.o.Observer != nil {
		r.o.Observer.Overtook(n)
	}
}

// stop lets the requests in flight end, then cancels them, and writes what
// became of them.
func (r *round) stop(cancel context.CancelFunc) {
	timer := time.AfterFunc(drain, cancel)
	defer timer.Stop()
	for r.flying > 0 {
		r.take(<-r.done)
	}
	r.workers.Wait()
	ctx, done := context.WithTimeout(context.WithoutCancel(r.requests), settleTimeout)
	defer done()
	r.settle(ctx)
}

// tell counts a try, and logs the end of a delivery that did not arrive.
func (r *round) tell(s Settlement) {
	if s.Try == nil {
		return
	}
	if r.o.Observer != nil {
		r.o.Observer.Tried(s.Delivery.Kind, s.Verdict.State, *s.Try)
	}
	if s.Verdict.State == scheduler.DeliveryDead || s.Verdict.State == scheduler.DeliveryExpired {
		d := s.Delivery
		r.o.Log.WarnContext(r.requests, "an event was given up", "client", d.ClientID, "task", d.TaskID, "delivery", d.ID,
			"url_host", urlHost(d.URL), "status", s.Try.Status, "cause", s.Try.Error)
	}
}

func urlHost(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
