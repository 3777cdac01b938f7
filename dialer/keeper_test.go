package dialer_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// shelf is a store of legs in memory.
type shelf struct {
	mu     sync.Mutex
	kept   map[string]string // trunk by leg
	left   []scheduler.KeptLeg
	writes int
	down   bool
}

func (s *shelf) KeepLegs(_ context.Context, _ scheduler.Owner, kept []scheduler.KeptLeg, over []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writes++; s.down {
		return errors.New("the database is away")
	}
	for _, k := range kept {
		s.kept[k.ID] = k.Trunk
	}
	for _, id := range over {
		delete(s.kept, id)
		s.left = slices.DeleteFunc(s.left, func(k scheduler.KeptLeg) bool { return k.ID == id })
	}
	return nil
}

func (s *shelf) LeftLegs(context.Context, scheduler.Owner) ([]scheduler.KeptLeg, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.left), nil
}

func (s *shelf) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

func (s *shelf) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.kept))
}

// lasting is a driver whose legs answer at once, last, and outlive it.
type lasting struct {
	dialer.Driver
	mu        sync.Mutex
	events    map[dialer.LegID]func(dialer.Event)
	recovered []string
	fails     int // of Recover, first
}

func (d *lasting) Originate(_ context.Context, o dialer.Originate, events func(dialer.Event)) error {
	d.mu.Lock()
	d.events[o.ID] = events
	d.mu.Unlock()
	events(dialer.Event{Kind: dialer.Answered, State: []byte(o.ID)})
	return nil
}

func (d *lasting) Hangup(_ context.Context, leg dialer.LegID, _ dialer.HangupReason) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events[leg](dialer.Event{Kind: dialer.Ended, End: dialer.End{Disposition: scheduler.Answered, By: scheduler.ByUs}})
	return nil
}

func (*lasting) Ringback(context.Context, dialer.LegID, bool) error       { return nil }
func (*lasting) Bridge(context.Context, dialer.LegID, dialer.LegID) error { return nil }
func (*lasting) Health(context.Context) error                             { return nil }

func (d *lasting) Recover(_ context.Context, trunk string, state []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails--; d.fails >= 0 {
		return errors.New("not now")
	}
	d.recovered = append(d.recovered, trunk+" "+string(state))
	return nil
}

// keeping runs a test with an engine whose keeper runs.
func keeping(t *testing.T, test func(*shelf, *lasting, *dialer.Engine)) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &shelf{kept: map[string]string{}}, &lasting{events: map[dialer.LegID]func(dialer.Event){}}
		s.left = []scheduler.KeptLeg{{ID: "old-a1", Trunk: "t", State: []byte("x")}, {ID: "old-b1", Trunk: "no more", State: []byte("y")}}
		d.fails = 1
		keeper := dialer.NewKeeper(dialer.KeeperOptions{Legs: s, Lease: scheduler.NewLease(), Log: slog.New(slog.DiscardHandler)})
		e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "t", Driver: d, Internal: true}}, Keeper: keeper})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { keeper.Run(ctx, e.Recover) })
		test(s, d, e)
		stop()
		running.Wait()
		if ids := s.ids(); len(ids) != 0 {
			t.Errorf("kept are %v at the end", ids)
		}
	})
}

// talk dials a call that is cut after a time.
func talk(e *dialer.Engine, length time.Duration) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), length, scheduler.CutError{Cut: scheduler.CutAPI})
	defer cancel()
	number := scheduler.Number{Given: "101"}
	e.Dial(ctx, scheduler.Call{ID: scheduler.NewCallID(time.Now()), A: []scheduler.Number{number}, B: number}, func(time.Time) {})
}

func TestAnsweredLegsAreKeptUntilTheyEnd(t *testing.T) {
	keeping(t, func(s *shelf, _ *lasting, e *dialer.Engine) {
		time.Sleep(10 * time.Second) // what was left is over
		before := s.written()
		go talk(e, 3*time.Second)
		time.Sleep(time.Second)
		if ids := s.ids(); len(ids) != 2 || s.written()-before != 1 {
			t.Errorf("kept are %v, in %d writes", ids, s.written()-before)
		}
		time.Sleep(3 * time.Second)
		if ids := s.ids(); len(ids) != 0 || s.written()-before != 2 {
			t.Errorf("kept are %v, after %d writes", ids, s.written()-before)
		}
		for range 100 {
			talk(e, 0)
		}
		go talk(e, 50*time.Millisecond)
		time.Sleep(time.Second)
		if more := s.written() - before - 2; more != 0 {
			t.Errorf("%d writes for calls that were over at once", more)
		}
	})
}

func TestLegsAreKeptOnceTheDatabaseIsBack(t *testing.T) {
	keeping(t, func(s *shelf, _ *lasting, e *dialer.Engine) {
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		s.down = true
		s.mu.Unlock()
		go talk(e, 20*time.Second)
		go talk(e, 2*time.Second)
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		s.down = false
		s.mu.Unlock()
		time.Sleep(2 * time.Second)
		if ids := s.ids(); len(ids) != 2 {
			t.Errorf("kept are %v", ids)
		}
		time.Sleep(20 * time.Second)
	})
}

func TestLegsThatWereLeftAreEnded(t *testing.T) {
	keeping(t, func(s *shelf, d *lasting, _ *dialer.Engine) {
		time.Sleep(time.Second)
		if left, _ := s.LeftLegs(t.Context(), scheduler.Owner{}); len(left) != 1 { // the trunk of the other is no more
			t.Errorf("left are %+v", left)
		}
		time.Sleep(10 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if left, _ := s.LeftLegs(t.Context(), scheduler.Owner{}); len(left) != 0 || !slices.Equal(d.recovered, []string{"t x"}) {
			t.Errorf("left are %+v, recovered were %q", left, d.recovered)
		}
	})
}
