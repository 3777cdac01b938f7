package dialertest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"ringback/dialer"
)

// storyPatience is how long a Story waits for an event.
const storyPatience = 20 * time.Second

// Story is what a driver told of a leg that a test made without an engine.
type Story struct {
	ID dialer.LegID

	mu   sync.Mutex
	told []dialer.Event
	news chan struct{} // closed with the next event; nil: nobody waits
}

// Tell takes an event; it is what Originate wants.
func (s *Story) Tell(e dialer.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, e)
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// Told returns the kinds of the events so far.
func (s *Story) Told() []dialer.EventKind {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kinds()
}

func (s *Story) kinds() []dialer.EventKind {
	kinds := make([]dialer.EventKind, len(s.told))
	for i, e := range s.told {
		kinds[i] = e.Kind
	}
	return kinds
}

// Has reports whether an event was told.
func (s *Story) Has(k dialer.EventKind) bool { return slices.Contains(s.Told(), k) }

// Await waits until an event was told.
func (s *Story) Await(t testing.TB, k dialer.EventKind) {
	t.Helper()
	limit := time.NewTimer(storyPatience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		told := s.kinds()
		if s.news == nil {
			s.news = make(chan struct{})
		}
		news := s.news
		s.mu.Unlock()
		if slices.Contains(told, k) {
			return
		}
		select {
		case <-news:
		case <-limit.C:
			t.Fatalf("of leg %s %s was not told, only %v", s.ID, kindNames[k], told)
		}
	}
}

// End waits for the leg's end, which must be the only one and the last event.
func (s *Story) End(t testing.TB) dialer.End {
	t.Helper()
	s.Await(t, dialer.Ended)
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.told[len(s.told)-1]
	if slices.Index(s.kinds(), dialer.Ended) != len(s.told)-1 {
		t.Errorf("of leg %s was told %v", s.ID, s.told)
	}
	return last.End
}
