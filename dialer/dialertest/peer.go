// Package dialertest holds every driver to the same promises: one suite of
// calls, placed by the engine over the driver to a peer that behaves as asked.
package dialertest

import (
	"context"
	"flag"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// Behaviour is what the far end of a leg does.
type Behaviour int

// The behaviours.
const (
	Answers     Behaviour = iota + 1 // answers, and stays at least Peer.Talk once bridged
	Leaves                           // answers, and hangs up within Peer.Talk of the bridge, before one that Answers does
	LeavesEarly                      // answers as A, and hangs up while B rings
	Silent                           // rings, and never answers
	Busy                             // a user is busy
	Rejects                          // a user declines
	Invalid                          // the number is not assigned
	Congested                        // the network has no circuit
)

// Peer is a network with far ends that behave as the suite needs.
type Peer struct {
	// Start returns a driver connected to a peer of its own, for one test. What
	// it starts beside the driver ends with the test; the suite closes the driver.
	Start func(t *testing.T) dialer.Driver
	// Number returns a number that behaves so; n tells numbers of one call apart.
	Number func(role scheduler.Role, b Behaviour, n int) scheduler.Number
	// Ring is the ring time-out of calls. Who answers does so in half of it.
	Ring time.Duration
	// Talk is how long a bridged call lasts, see Answers and Leaves.
	Talk time.Duration
	// Bubble runs a test in virtual time; nil: it runs as it is.
	Bubble func(t *testing.T, f func(*testing.T))
	// Sounds is the directory that the suite writes its sounds to, where the
	// driver's network finds them; "": a directory of its own.
	Sounds string
	// Cannot says of tests, by name, why the driver or its peer cannot do them.
	Cannot map[string]string
}

// WaitTogether lets more tests of a package run at one time than there are
// processors, for those that mostly wait; TestMain calls it. A -parallel that is
// given is obeyed.
func WaitTogether() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "12")
	}
}

// Run holds the driver to the suite.
func Run(t *testing.T, p Peer) {
	for name, why := range p.Cannot {
		if _, ok := calls[name]; !ok {
			if _, ok := promises[name]; !ok {
				t.Errorf("there is no test %q that could not be done (%s)", name, why)
			}
		}
	}
	for name, c := range calls {
		p.run(t, name, func(t *testing.T) { c.run(t, p) })
	}
	for name, check := range promises {
		p.run(t, name, func(t *testing.T) { check(t, p) })
	}
}

func (p Peer) run(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		if why := p.Cannot[name]; why != "" {
			t.Skip(why)
		}
		if p.Bubble != nil {
			p.Bubble(t, f)
			return
		}
		f(t)
	})
}

// start returns a recorded driver and an engine over it. When the test ends,
// the driver is closed and its promises are checked.
func (p Peer) start(t *testing.T) (*Recorder, *dialer.Engine) {
	r := NewRecorder(p.Start(t))
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "peer", Driver: r, Internal: true}}, Sounds: p.sounds(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), p.Ring+10*time.Second) // the test's own is over
		defer done()
		if err := r.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		for _, fault := range r.Faults() {
			t.Error(fault)
		}
	})
	return r, e
}
