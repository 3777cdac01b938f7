package dialer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// ends makes every leg on these trunks end so, and every other one answer.
func ends(d scheduler.Disposition, rings bool, trunks ...string) func(dialer.Originate, *line) error {
	return func(o dialer.Originate, l *line) error {
		if !slices.Contains(trunks, o.Trunk) {
			l.event(dialer.Answered)
			return nil
		}
		if d == scheduler.LocalError {
			return errors.New("refused")
		}
		if rings {
			l.event(dialer.Ringing)
		}
		l.end(d, scheduler.ByPeer)
		return nil
	}
}

func TestFailover(t *testing.T) {
	away := func(context.Context) error { return errors.New("away") }
	for name, c := range map[string]struct {
		place    func(dialer.Originate, *line) error
		change   func(one, two, three *dialer.Trunk)
		want     []string // role.try trunk disposition
		extended []string
		force    string
	}{
		"congestion is tried on the next trunk, A and B alike": {
			place: ends(scheduler.Congestion, false, "one"),
			want:  []string{"a.1 one congestion", "a.2 two answered", "b.1 one congestion", "b.2 two answered"},
		},
		"and on the one after it": {
			place: ends(scheduler.Congestion, false, "one", "two"),
			want:  []string{"a.1 one congestion", "a.2 two congestion", "a.3 three answered", "b.1 one congestion", "b.2 two congestion", "b.3 three answered"},
		},
		"the last trunk of the order is the end": {
			place: ends(scheduler.Congestion, false, "one", "two", "three"),
			want:  []string{"a.1 one congestion", "a.2 two congestion", "a.3 three congestion"},
		},
		"a trunk that takes nothing is gone around": {
			place: ends(scheduler.LocalError, false, "one"),
			want:  []string{"a.1 one local_error", "a.2 two answered", "b.1 one local_error", "b.2 two answered"},
		},
		"a busy user is busy on every trunk": {
			place: ends(scheduler.UserBusy, false, "one"),
			want:  []string{"a.1 one busy"},
		},
		"nothing is tried again after it rang": {
			place: ends(scheduler.Congestion, true, "one"),
			want:  []string{"a.1 one congestion"},
		},
		"a trunk that is down is left out": {
			place:  ends(scheduler.Congestion, false, "one"),
			change: func(_, two, _ *dialer.Trunk) { two.Health = away },
			want:   []string{"a.1 one congestion", "a.2 three answered", "b.1 one congestion", "b.2 three answered"},
		},
		"a trunk that is down is not begun with": {
			place:  ends(scheduler.Congestion, false),
			change: func(one, _, _ *dialer.Trunk) { one.Health = away },
			want:   []string{"a.1 two answered", "b.1 two answered"},
		},
		"a trunk that does not take the number is left out": {
			place:  ends(scheduler.Congestion, false, "one"),
			change: func(_, two, _ *dialer.Trunk) { two.Prefixes = []string{"+44"} },
			want:   []string{"a.1 one congestion", "a.2 three answered", "b.1 one congestion", "b.2 three answered"},
		},
		"B stays beside A": {
			place: func(o dialer.Originate, l *line) error {
				if o.Role == scheduler.LegA {
					l.event(dialer.Answered)
					return nil
				}
				return ends(scheduler.Congestion, false, "one")(o, l)
			},
			change: func(_, two, three *dialer.Trunk) { two.Driver = &network{}; three.Driver = two.Driver },
			want:   []string{"a.1 one answered", "b.1 one congestion"},
		},
		"every A number fails over by itself": {
			place: ends(scheduler.Congestion, false, "one", "two", "three"), extended: []string{"+390655500003"},
			want: []string{
				"a.1 one congestion", "a.1 one congestion", "a.2 two congestion", "a.2 two congestion", "a.3 three congestion", "a.3 three congestion",
			},
		},
		"a forced trunk is the only one, for A and for B": {
			place: ends(scheduler.Congestion, false), force: "three",
			want: []string{"a.1 three answered", "b.1 three answered"},
		},
		"it has no failover": {
			place: ends(scheduler.Congestion, false, "one"), force: "one",
			want: []string{"a.1 one congestion"},
		},
		"not while it is down, either": {
			place: ends(scheduler.LocalError, false, "one"), force: "one",
			change: func(one, _, _ *dialer.Trunk) { one.Health = away },
			want:   []string{"a.1 one local_error"},
		},
		"it must take the number": {
			place: ends(scheduler.Congestion, false), force: "two",
			change: func(_, two, _ *dialer.Trunk) { two.Prefixes = []string{"+44"} },
			want:   []string{"b.1  no_route"},
		},
		"one that is not there takes none": {
			place: ends(scheduler.Congestion, false), force: "four",
			want: []string{"b.1  no_route"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{place: c.place}
				n.bridge = func(a, b *line) error {
					b.later(time.Minute, func() { b.end(scheduler.Answered, scheduler.ByPeer) })
					return nil
				}
				one := dialer.Trunk{Name: "one", Driver: n, Failover: "two"}
				two := dialer.Trunk{Name: "two", Driver: n, Failover: "three"}
				three := dialer.Trunk{Name: "three", Driver: n}
				if c.change != nil {
					c.change(&one, &two, &three)
				}
				e, _ := engine(t, one, two, three)
				call := spec(c.extended...)
				call.Trunk = c.force
				o := e.Dial(t.Context(), call, func(time.Time) {})
				var got []string
				for _, l := range o.Legs {
					got = append(got, fmt.Sprintf("%s.%d %s %s", l.Role, l.Try, l.Trunk, l.Disposition))
				}
				same(t, "legs", got, c.want)
				for _, s := range e.Trunks() {
					if s.Channels != 0 {
						t.Errorf("trunk %s has %d channels in use after the call", s.Name, s.Channels)
					}
				}
			})
		})
	}
}

func TestFailoversAreChecked(t *testing.T) {
	n := &network{}
	for claim, c := range map[string]struct {
		trunks []dialer.Trunk
		want   string
	}{
		"to nowhere":    {[]dialer.Trunk{{Name: "a", Driver: n, Failover: "b"}}, "failover b is no trunk"},
		"to itself":     {[]dialer.Trunk{{Name: "a", Driver: n, Failover: "a"}}, "trunk a fails over to itself"},
		"in a circle":   {[]dialer.Trunk{{Name: "a", Driver: n, Failover: "b"}, {Name: "b", Driver: n, Failover: "a"}}, "trunk b fails over to itself"},
		"a bad max_cps": {[]dialer.Trunk{{Name: "a", Driver: n, MaxCPS: -1}}, "max_cps must not be negative"},
	} {
		t.Run(claim, func(t *testing.T) {
			if _, err := dialer.New(dialer.Options{Trunks: c.trunks}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestCallsPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var began []time.Time
		n := &network{}
		n.place = func(o dialer.Originate, l *line) error {
			mu.Lock()
			defer mu.Unlock()
			began = append(began, time.Now())
			return busy(o, l)
		}
		e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxCPS: 10})
		if room := e.Room(); room != 5 {
			t.Errorf("room %d, want half of the legs of a second", room)
		}
		// Twelve at once: five numbers and their call's own, twice.
		numbers := []string{"+390655500003", "+390655500004", "+390655500005", "+390655500006", "+390655500007"}
		for range 2 {
			dial(t, e, spec(numbers...))
			synctest.Wait()
		}
		if e.Room() != 0 {
			t.Error("there is room on a trunk that has work for more than a second")
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(began) != 12 {
			t.Fatalf("%d legs", len(began))
		}
		for i := 1; i < len(began); i++ {
			if gap := began[i].Sub(began[i-1]); gap < 100*time.Millisecond {
				t.Errorf("leg %d came %v after the one before", i, gap)
			}
		}
		if whole := began[11].Sub(began[0]); whole != 1100*time.Millisecond {
			t.Errorf("twelve legs took %v", whole)
		}
	})
}

func TestAnAThatCannotBeBegunSoonIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{place: busy}
		e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxCPS: 1, MaxChannels: 9})
		o := e.Dial(t.Context(), spec("+390655500003", "+390655500004", "+390655500005", "+390655500006"), noBridge(t))
		same(t, "legs", told(o), []string{"a busy peer", "a busy peer", "a busy peer", "a local_error us", "a local_error us"})
		if got := e.Trunks()[0]; got.Channels != 0 || !got.Up {
			t.Errorf("%+v", got)
		}
	})
}

func TestALegThatWaitsForItsTurnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{place: answersAfter(100 * time.Millisecond)}
		e, _ := engine(t, dialer.Trunk{Name: "t", Driver: n, MaxCPS: 1, MaxChannels: 9})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(500*time.Millisecond, cancel)
		o := e.Dial(ctx, spec("+390655500003"), noBridge(t)) // answered at once, the second one waits
		same(t, "legs", told(o), []string{"a answered us"})
		if got := e.Trunks()[0].Channels; got != 0 {
			t.Errorf("%d channels in use", got)
		}
	})
}

// seen notes the legs an observer is told of.
type seen []string

func (s *seen) LegEnded(l scheduler.Leg) {
	*s = append(*s, fmt.Sprintf("%s %s %s", l.Role, l.Trunk, l.Disposition))
}

func TestTheObserverHearsOfEveryLeg(t *testing.T) {
	var s seen
	n := &network{place: ends(scheduler.Congestion, false, "one")}
	n.bridge = func(_, b *line) error { b.end(scheduler.Answered, scheduler.ByPeer); return nil }
	e, err := dialer.New(dialer.Options{Observer: &s, Trunks: []dialer.Trunk{{Name: "one", Driver: n, Failover: "two"}, {Name: "two", Driver: n}}})
	if err != nil {
		t.Fatal(err)
	}
	e.Dial(t.Context(), spec(), func(time.Time) {})
	same(t, "observed", s, []string{"a one congestion", "b one congestion", "b two answered", "a two answered"})
}
