package dialer

import "sync"

// message is what happens to a leg of a call: an event of its driver, or its
// turn for a channel.
type message struct {
	leg     *leg
	granted bool
	event   Event
}

// mailbox gathers the messages of one call. Putting one never blocks.
type mailbox struct {
	arrived chan struct{} // holds one token while there may be messages

	mu   sync.Mutex
	list []message
	room [8]message // the first list: most calls need no other
}

func (m *mailbox) put(msg message) {
	m.mu.Lock()
	if m.list == nil {
		m.list = m.room[:0]
	}
	m.list = append(m.list, msg)
	m.mu.Unlock()
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// take returns the oldest message.
func (m *mailbox) take() (message, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		m.list = nil
		return message{}, false
	}
	msg := m.list[0]
	m.list = m.list[1:]
	return msg, true
}
