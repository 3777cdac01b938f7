package api

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ringback/scheduler"
)

// Limits of those who listen, on one node.
const (
	// pollEvery is how often the heads of the queues that are listened to are
	// asked for: one statement for all of them, none while nobody listens.
	pollEvery = 250 * time.Millisecond
	// clientListeners is how many listeners a client may have.
	clientListeners = 256
	// mostListeners is how many there may be in all.
	mostListeners = 2048
	// feedReads is how many listeners read the database at one time.
	feedReads = 4
)

// hub tells listeners when to look: one loop asks how far the changes of their
// queues are. Listeners read by themselves, each from where it stands, so that
// nobody waits for a slow one and nothing is kept for it.
type hub struct {
	changes Changes
	log     *slog.Logger
	reading chan struct{} // a place each for those who read
	over    chan struct{} // closed when the loop has ended

	mu      sync.Mutex
	feeds   map[scheduler.QueueID]*feed
	clients map[scheduler.ClientID]int
	count   int
}

// feed is a queue that is listened to.
type feed struct {
	queue scheduler.QueueID
	gone  chan struct{} // closed when the queue is deleted

	// Of the hub's mutex.
	head      int64
	listeners map[*listener]struct{}

	reads  sync.Mutex // one reads, the others take what it has read
	recent [2]*excerpt
}

// listener is one who listens.
type listener struct {
	feed   *feed
	client scheduler.ClientID
	moved  chan struct{} // its queue has changed since it was last told so
}

func newHub(changes Changes, log *slog.Logger) *hub {
	return &hub{
		changes: changes, log: log, reading: make(chan struct{}, feedReads), over: make(chan struct{}),
		feeds: map[scheduler.QueueID]*feed{}, clients: map[scheduler.ClientID]int{},
	}
}

// run tells listeners of changes until ctx ends, then ends all of them.
func (h *hub) run(ctx context.Context) {
	defer close(h.over)
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := h.look(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			h.log.Warn("changes cannot be read for those who listen; trying on", "err", err)
		}
		failing = err != nil
	}
}

// look asks how far the queues are, and wakes the listeners of those that moved.
func (h *hub) look(ctx context.Context) error {
	h.mu.Lock()
	ids := make([]scheduler.QueueID, 0, len(h.feeds))
	for id := range h.feeds {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	heads, err := h.changes.Heads(ctx, ids)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		f := h.feeds[id]
		if f == nil {
			continue // its last listener left meanwhile
		}
		switch head, live := heads[id]; {
		case !live:
			close(f.gone)
			delete(h.feeds, id)
		case head > f.head:
			f.head = head
			for l := range f.listeners {
				select {
				case l.moved <- struct{}{}:
				default:
				}
			}
		default:
			f.forget()
		}
	}
	return nil
}

// join adds a listener to a queue; Busy if there are too many.
func (h *hub) join(client scheduler.ClientID, queue scheduler.QueueID) (*listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.clients[client] >= clientListeners {
		return nil, scheduler.Errorf(scheduler.Busy, "event_listeners: a client may have %d at one time", clientListeners)
	}
	if h.count >= mostListeners {
		return nil, scheduler.Errorf(scheduler.Busy, "event_listeners: this node takes %d at one time", mostListeners)
	}
	f := h.feeds[queue]
	if f == nil {
		f = &feed{queue: queue, gone: make(chan struct{}), listeners: map[*listener]struct{}{}}
		h.feeds[queue] = f
	}
	l := &listener{feed: f, client: client, moved: make(chan struct{}, 1)}
	f.listeners[l] = struct{}{}
	h.clients[client]++
	h.count++
	return l, nil
}

// leave forgets a listener, and with the last one its queue.
func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(l.feed.listeners, l)
	if h.clients[l.client]--; h.clients[l.client] == 0 {
		delete(h.clients, l.client)
	}
	h.count--
	if len(l.feed.listeners) == 0 && h.feeds[l.feed.queue] == l.feed {
		delete(h.feeds, l.feed.queue)
	}
}

// excerpt returns what follows a cursor. Those who stand at the same place are
// given the same bytes.
func (h *hub) excerpt(ctx context.Context, f *feed, from cursor, read func(context.Context) (*excerpt, error)) (*excerpt, error) {
	f.reads.Lock()
	defer f.reads.Unlock()
	for _, e := range f.recent {
		if e != nil && e.from == from {
			return e, nil
		}
	}
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e, err := read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	if len(e.frames) > 0 {
		f.recent[0], f.recent[1] = e, f.recent[0]
	}
	return e, nil
}

// forget lets go of what was read while the queue moved, unless somebody reads.
func (f *feed) forget() {
	if f.reads.TryLock() {
		f.recent = [2]*excerpt{}
		f.reads.Unlock()
	}
}
