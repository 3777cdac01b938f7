package sim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// suffixes are the numbers of the carrier that behave as the suite asks. The
// one of Leaves has no meaning to the carrier: see leaver.
var suffixes = map[dialertest.Behaviour]string{
	dialertest.Answers: "1111", dialertest.Leaves: "7777", dialertest.LeavesEarly: "0487", dialertest.Silent: "0480",
	dialertest.Busy: "0486", dialertest.Rejects: "0603", dialertest.Invalid: "0404", dialertest.Congested: "0503",
}

// leaver makes an A of a number that ends in 7777 hang up after half of the
// talk; the carrier lets B hang up.
type leaver struct{ *Driver }

func (l leaver) Bridge(ctx context.Context, a, b dialer.LegID) error {
	if err := l.Driver.Bridge(ctx, a, b); err != nil {
		return err
	}
	if leg := l.leg(a); leg != nil && strings.HasSuffix(leg.originate.Number.Dial(), suffixes[dialertest.Leaves]) {
		leg.leaveAfter(l.o.Talk / 2)
	}
	return nil
}

// TestConformance runs the suite in virtual time, with a carrier that takes
// its time and with one that takes none to ring.
func TestConformance(t *testing.T) {
	for name, ring := range map[string]time.Duration{"rings": 3 * time.Second, "answers at once": 0} {
		t.Run(name, func(t *testing.T) {
			dialertest.Run(t, dialertest.Peer{
				Start: func(t *testing.T) dialer.Driver {
					return leaver{newDriver(t, Options{AnswerPercent: 100, Ring: ring, Talk: 20 * time.Second})}
				},
				Number: func(_ scheduler.Role, b dialertest.Behaviour, n int) scheduler.Number {
					e164 := fmt.Sprintf("+39065%d%s", n, suffixes[b])
					return scheduler.Number{Given: e164, E164: e164}
				},
				Ring:   30 * time.Second,
				Talk:   20 * time.Second,
				Bubble: synctest.Test,
			})
		})
	}
}

func newDriver(t *testing.T, o Options) *Driver {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
