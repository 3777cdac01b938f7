package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// ending is the end of a number that makes testdata/behaves.xml behave so.
var ending = map[dialertest.Behaviour]string{
	dialertest.Answers: "0000", dialertest.Leaves: "0200", dialertest.LeavesEarly: "0487",
	dialertest.Silent: "0480", dialertest.Busy: "0486", dialertest.Rejects: "0603",
	dialertest.Invalid: "0404", dialertest.Congested: "0503",
}

func TestTheDriverKeepsItsPromises(t *testing.T) {
	sipptest.Path(t)
	for media, direct := range map[string]bool{"relayed": false, "direct": true} {
		t.Run(media, func(t *testing.T) {
			t.Parallel()
			dialertest.Run(t, dialertest.Peer{
				Start: func(t *testing.T) dialer.Driver {
					o := sipptest.Options{Scenario: "testdata/behaves.xml", Calls: sipptest.Many, Limit: time.Minute}
					if strings.Contains(t.Name(), "two_answer_at_once") {
						// The CANCEL may arrive while SIPp is about to answer, which no scenario can expect.
						o.Args = []string{"-default_behaviors", "all,-abortunexp"}
					}
					peer := sipptest.Start(t, o)
					t.Cleanup(peer.Finish)
					return openTrunks(t, sip.Trunk{Name: "peer", Endpoint: fmt.Sprintf("sip:{number}@%s", peer.Addr), Direct: direct})
				},
				Number: func(role scheduler.Role, b dialertest.Behaviour, n int) scheduler.Number {
					side := map[scheduler.Role]int{scheduler.LegA: 1, scheduler.LegB: 2}[role]
					s := fmt.Sprintf("+3906%d%d%s", side, n, ending[b])
					return scheduler.Number{Given: s, E164: s}
				},
				Ring: time.Second, Talk: 800 * time.Millisecond,
				Bubble: func(t *testing.T, f func(*testing.T)) {
					t.Parallel()
					f(t)
				},
			})
		})
	}
}
