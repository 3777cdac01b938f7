package scheduler

import (
	"container/heap"
	"slices"
	"time"
)

// DefaultLasts is how long an attempt is expected to take where nothing is
// known of earlier ones.
const DefaultLasts = time.Minute

// Outlook is a queue as it stands, as a forecast sees it.
type Outlook struct {
	Queue   Queue
	Runtime Runtime
	Window  Window
	Waiting []Backlog     // by when it is due
	Lasts   time.Duration // how long an attempt is expected to take; 0: DefaultLasts
}

// Backlog is how many tasks wait that are due at a time, or since.
type Backlog struct {
	Due time.Time
	N   int
}

// Forecast is when a task is expected to start.
type Forecast struct {
	Start  time.Time // zero: never, as the queue stands
	Misses bool      // its deadline comes before
}

// Forecast plays what would happen if the tasks were added at now, and returns
// of each, in their order, when its first attempt would begin. It keeps to the
// window, the limit, the start rate, what holds the queue and the order of what
// waits already. It expects every attempt to last alike, those that are up to
// end one by one over that time, the brake's probes to pass and nobody to try
// again; it knows nothing of other queues, or of limits that are not the
// queue's.
func (o Outlook) Forecast(tasks []Task, now time.Time) []Forecast {
	told := make([]Forecast, len(tasks))
	order := make([]int, len(tasks))
	for i, t := range tasks {
		order[i] = i
		told[i].Misses = !t.Deadline.IsZero()
	}
	if !o.Queue.On || !o.Queue.DeletedAt.IsZero() {
		return told
	}
	slices.SortStableFunc(order, func(i, j int) int { return later(tasks[i].ReadyAt, now).Compare(later(tasks[j].ReadyAt, now)) })
	p := o.play(now)
	waiting := o.Waiting
	for _, i := range order {
		due := later(tasks[i].ReadyAt, now)
		// What waits was there before: it goes first.
		for len(waiting) > 0 && !later(waiting[0].Due, now).After(due) {
			for range waiting[0].N {
				if !p.skips() {
					p.start(p.next(waiting[0].Due))
				}
			}
			waiting = waiting[1:]
		}
		deadline := tasks[i].Deadline
		at := p.next(due)
		told[i] = Forecast{Start: at, Misses: !deadline.IsZero() && (at.IsZero() || !at.Before(deadline))}
		if !told[i].Misses {
			p.start(at)
		}
	}
	return told
}

// player is a queue in a forecast.
type player struct {
	queue  Queue
	window Window
	lasts  time.Duration
	at     time.Time // the latest turn; nothing starts before it
	rate   time.Time // when the start rate lets the next one start
	open   time.Time // the window is known to be open until
	never  bool      // it does not open again
	ends   ends
	until  time.Time // the horizon
}

func (o Outlook) play(now time.Time) *player {
	p := &player{queue: o.Queue, window: o.Window, lasts: o.Lasts, at: now, until: now.Add(Horizon)}
	if p.lasts <= 0 {
		p.lasts = DefaultLasts
	}
	if o.Queue.StartRate > 0 {
		p.rate = o.Runtime.NextStart
	}
	if o.Runtime.Hold.Gate != GateInterval { // the window says so itself
		p.at = later(p.at, o.Runtime.Hold.Until)
	}
	if o.Runtime.Brake.State == BrakeOpen {
		p.at = later(p.at, o.Runtime.Brake.Until)
	}
	for i := range o.Runtime.Running { // ascending, which is a heap
		p.ends = append(p.ends, now.Add(p.lasts*time.Duration(i+1)/time.Duration(o.Runtime.Running)))
	}
	return p
}

// skips reports whether a start would hold nothing back that comes after it.
func (p *player) skips() bool { return p.queue.Limit == 0 && p.queue.StartRate == 0 }

// next returns when it is the turn of a task that is due at a time, the zero
// time if never; the next one's turn is not before that.
func (p *player) next(due time.Time) time.Time {
	at := later(later(p.at, due), p.rate)
	for p.queue.Limit > 0 {
		for len(p.ends) > 0 && !p.ends[0].After(at) {
			heap.Pop(&p.ends)
		}
		if len(p.ends) < p.queue.Limit {
			break
		}
		at = p.ends[0]
	}
	if p.window.Zone != nil && !p.never && !at.Before(p.open) {
		open, next := p.window.Interval.Open(at, p.window.Zone)
		switch {
		case open:
			p.open = p.window.Interval.Closes(at, p.window.Zone)
			if p.open.IsZero() {
				p.open = p.until
			}
		case next.IsZero():
			p.never = true
		default:
			at = next
		}
	}
	if p.never || at.After(p.until) {
		return time.Time{}
	}
	p.at = at
	return at
}

// start starts a task when it is its turn, unless that never comes.
func (p *player) start(at time.Time) {
	if at.IsZero() {
		return
	}
	if p.queue.Limit > 0 {
		heap.Push(&p.ends, at.Add(p.lasts))
	}
	if spacing := p.queue.spacing(); spacing > 0 {
		p.rate = at.Add(spacing)
	}
}

// ends are when attempts that are up end, the first one first: a heap.
type ends []time.Time

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].Before(e[j]) }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push is part of heap.Interface.
func (e *ends) Push(at any) { *e = append(*e, at.(time.Time)) }

// Pop is part of heap.Interface.
func (e *ends) Pop() any {
	last := len(*e) - 1
	at := (*e)[last]
	*e = (*e)[:last]
	return at
}
