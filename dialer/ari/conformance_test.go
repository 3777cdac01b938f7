package ari_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringback/dialer"
	"ringback/dialer/ari"
	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ending is the end of a number that makes the sip driver's behaves.xml behave so.
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

// options are those of a node of its own.
func options(pbx *asterisktest.PBX, endpoint string) ari.Options {
	return ari.Options{
		URL: pbx.URL, Username: pbx.Username, Password: pbx.Password, App: "ringback", Node: fmt.Sprintf("test%d", rand.Uint32()),
		Endpoints: map[string]string{"peer": endpoint},
	}
}

// open opens a driver and waits until it is connected.
func open(t testing.TB, o ari.Options) *ari.Driver {
	t.Helper()
	d, err := ari.New(o)
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
	healthy(t, d)
	return d
}

// eventually waits until f says nil.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func healthy(t testing.TB, d *ari.Driver) {
	t.Helper()
	eventually(t, func() error { return d.Health(t.Context()) })
}

// TestTheDriverKeepsItsPromises runs the suite: Asterisk calls SIPp over PJSIP.
func TestTheDriverKeepsItsPromises(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		sounds := pbx.Dir("sounds")
		dialertest.Run(t, dialertest.Peer{
			Sounds: filepath.Join(root, sounds),
			Start: func(t *testing.T) dialer.Driver {
				o := sipptest.Options{Scenario: "../sip/testdata/behaves.xml", Calls: sipptest.Many}
				if strings.Contains(t.Name(), "two_answer_at_once") {
					// The CANCEL may arrive while SIPp is about to answer, which no scenario can expect.
					o.Args = []string{"-default_behaviors", "all,-abortunexp"}
				}
				peer := sipptest.Start(t, o)
				t.Cleanup(peer.Finish)
				own := options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", peer.Addr))
				own.Sounds = map[string]string{"peer": sounds}
				return open(t, own)
			},
			Number: number,
			Ring:   2 * time.Second, Talk: 800 * time.Millisecond,
		})
		eventually(t, func() error {
			if channels, bridges := pbx.Channels(), pbx.Bridges(); len(channels)+len(bridges) > 0 {
				return fmt.Errorf("asterisk still has channels %q and bridges %q", channels, bridges)
			}
			return nil
		})
	})
}
