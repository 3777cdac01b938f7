package esl_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/esl"
	"ringback/dialer/esl/esltest"
	"ringback/scheduler"
)

func TestMain(m *testing.M) {
	dialertest.WaitTogether()
	goleak.VerifyTestMain(m)
}

// ending is the end of a number that makes esltest.ByNumber behave so.
var ending = map[dialertest.Behaviour]string{
	dialertest.Answers: "0000", dialertest.Leaves: "0200", dialertest.LeavesEarly: "0487",
	dialertest.Silent: "0480", dialertest.Busy: "0486", dialertest.Rejects: "0603",
	dialertest.Invalid: "0404", dialertest.Congested: "0503",
}

func number(role scheduler.Role, b dialertest.Behaviour, n int) scheduler.Number {
	side := map[scheduler.Role]int{scheduler.LegA: 1, scheduler.LegB: 2}[role]
	s := fmt.Sprintf("+3906%d%d%s", side, n, ending[b])
	return scheduler.Number{Given: s, E164: s}
}

func options(fs *esltest.Server) esl.Options {
	return esl.Options{
		Address: fs.Addr, Password: fs.Password, Node: "desk",
		Endpoints: map[string]string{"peer": "sofia/gateway/carrier/{number}"},
	}
}

// open opens a driver and waits until it is connected.
func open(t testing.TB, o esl.Options) *esl.Driver {
	t.Helper()
	d := begin(t, o)
	healthy(t, d)
	return d
}

// begin makes a driver and does not wait for it.
func begin(t testing.TB, o esl.Options) *esl.Driver {
	t.Helper()
	d, err := esl.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the test may have done so
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// eventually waits until f says nil.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func healthy(t testing.TB, d *esl.Driver) {
	t.Helper()
	eventually(t, func() error { return d.Health(t.Context()) })
}

func unhealthy(t testing.TB, d *esl.Driver) {
	t.Helper()
	eventually(t, func() error {
		if d.Health(t.Context()) == nil {
			return fmt.Errorf("the driver is still healthy")
		}
		return nil
	})
}

// noneLeft wants FreeSWITCH to have these channels and no other.
func noneLeft(t testing.TB, fs *esltest.Server, but ...string) {
	t.Helper()
	slices.Sort(but)
	eventually(t, func() error {
		if left := fs.Channels(); !slices.Equal(left, but) {
			return fmt.Errorf("freeswitch has channels %q, want %q", left, but)
		}
		return nil
	})
}

// TestTheDriverKeepsItsPromises runs the suite.
func TestTheDriverKeepsItsPromises(t *testing.T) {
	t.Parallel()
	dialertest.Run(t, dialertest.Peer{
		Start: func(t *testing.T) dialer.Driver {
			fs := esltest.Start(t, esltest.Options{})
			t.Cleanup(func() { noneLeft(t, fs) })
			return open(t, options(fs))
		},
		Number: number,
		Ring:   2 * time.Second, Talk: 800 * time.Millisecond,
		Bubble: func(t *testing.T, f func(*testing.T)) {
			t.Parallel()
			f(t)
		},
	})
}
