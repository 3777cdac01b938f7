package sip_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// Numbers of a call that rings two telephones of A.
var (
	desk   = scheduler.Number{Given: "+390612340001", E164: "+390612340001"}
	mobile = scheduler.Number{Given: "+390612340011", E164: "+390612340011"}
	callee = scheduler.Number{Given: "+390612340002", E164: "+390612340002"}
)

// ring calls desk and mobile, then the callee, over one trunk, lets them talk
// for a while, and returns the end and the row of the attempt.
func ring(t *testing.T, peers map[scheduler.Number]*sipptest.Peer) (scheduler.Outcome, scheduler.Attempt) {
	t.Helper()
	exchange := sipptest.NewExchange(t)
	for n, p := range peers {
		exchange.Connect(strings.TrimPrefix(n.E164, "+"), p.Addr)
	}
	d := openTrunks(t, sip.Trunk{Name: "carrier", Endpoint: "sip:{number}@" + exchange.Addr.String()})
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "carrier", Driver: d}}})
	if err != nil {
		t.Fatal(err)
	}
	task := scheduler.Task{
		ID: 1, Status: scheduler.Scheduled, TryCount: 1, ANumber: desk.Given, ANumberE164: desk.E164, BNumber: callee.Given, BNumberE164: callee.E164,
		Params: scheduler.Params{ExtendedA: []scheduler.Number{mobile}},
	}
	started := task.Start(time.Now(), scheduler.NewCallID(time.Now()), "n1", 1).Task
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	outcome := e.Dial(ctx, started.Call(scheduler.Extension{}), func(time.Time) { time.AfterFunc(300*time.Millisecond, hangUp) })
	for _, p := range peers {
		p.Wait()
	}
	return outcome, started.End(outcome, time.Now()).Attempt
}

// TestWhoRangBesideTheWinnerIsToldSo on the wire, and has a row of its own.
func TestWhoRangBesideTheWinnerIsToldSo(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct{ desk, mobile string }{
		"the extended number loses": {"answer", "cancelled_elsewhere"},
		"the task's own loses":      {"cancelled_elsewhere", "answer"},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			outcome, cdr := ring(t, map[scheduler.Number]*sipptest.Peer{
				desk: scenario(t, c.desk, nil), mobile: scenario(t, c.mobile, nil), callee: scenario(t, "answer", nil),
			})
			var rows []string
			for _, l := range cdr.Legs {
				row := string(l.Role) + " " + l.Number + " " + string(l.Disposition)
				if l.Lost {
					row += " lost"
				}
				rows = append(rows, row)
			}
			won, lost := "a +390612340001 ", "a +390612340011 "
			if c.mobile == "answer" {
				won, lost = lost, won
			}
			want := []string{won + "answered", lost + "cancelled lost", "b +390612340002 answered"}
			slices.Sort(want)
			slices.Sort(rows)
			if !slices.Equal(rows, want) || cdr.Result != scheduler.CallBridged || outcome.BridgedAt.IsZero() {
				t.Errorf("rows %q, want %q; the call is %s", rows, want, cdr.Result)
			}
		})
	}
}

// TestOfTwoThatAnswerAtOnceOneWins; the other is acknowledged, hung up with
// cause 26, and hears nothing.
func TestOfTwoThatAnswerAtOnceOneWins(t *testing.T) {
	t.Parallel()
	ears := map[scheduler.Number]*probe{desk: newProbe(t), mobile: newProbe(t)}
	peers := map[scheduler.Number]*sipptest.Peer{callee: scenario(t, "answer", nil)}
	for n, ear := range ears {
		peers[n] = sipptest.Start(t, sipptest.Options{
			Scenario: "testdata/answers_too.xml", Keys: map[string]string{"sound": ear.port},
			// The CANCEL may come in the very moment before the answer; it comes again.
			Args: []string{"-default_behaviors", "all,-abortunexp"},
		})
	}
	outcome, cdr := ring(t, peers)
	if cdr.Result != scheduler.CallBridged || len(cdr.Legs) != 3 {
		t.Fatalf("the call is %s: %+v", cdr.Result, cdr.Legs)
	}
	losers := 0
	for _, l := range outcome.Legs {
		n := scheduler.Number{Given: l.Number, E164: l.Number}
		if l.Role == scheduler.LegB {
			continue
		}
		elsewhere := strings.Contains(peers[n].Messages(), `Reason: Q.850;cause=26;text="Call completed elsewhere"`)
		if l.Lost != elsewhere || strings.Count(peers[n].Messages(), "\nACK sip:") == 0 {
			t.Errorf("%s lost: %t, and was told so: %t", l.Number, l.Lost, elsewhere)
		}
		if !l.Lost {
			continue
		}
		losers++
		if l.Disposition != scheduler.Answered && l.Disposition != scheduler.Cancelled {
			t.Errorf("%s is %s", l.Number, l.Disposition)
		}
		if heard := ears[n].count(8) + ears[n].count(0); heard > 0 {
			t.Errorf("%s lost and heard %d packets", l.Number, heard)
		}
	}
	if losers != 1 {
		t.Errorf("%d of two lost", losers)
	}
}
