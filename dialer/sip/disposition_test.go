package sip_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// refusal is how a peer refuses a call, and what becomes of it.
type refusal struct {
	status int
	cause  int // of a Reason header; 0: there is none
	rings  bool
	want   scheduler.Disposition
}

func (r refusal) String() string {
	s := fmt.Sprint(r.status)
	if r.cause != 0 {
		s += fmt.Sprintf(" with cause %d", r.cause)
	}
	if r.rings {
		s += " after ringing"
	}
	return fmt.Sprintf("%s is %s", s, r.want)
}

// refusals are the table of dispositions as a trunk speaks it: each SIP code
// without a Reason header and with one that says nothing, and each Q.850 cause
// beside a code that by itself says something else.
func refusals() []refusal {
	var list []refusal
	idle := []int{scheduler.CauseNormalClearing, scheduler.CauseAnsweredElse, scheduler.CauseNormal, scheduler.CauseInterworking}
	for cause, want := range scheduler.Causes() {
		switch {
		case cause.SIP != 0:
			list = append(list, refusal{cause.SIP, 0, false, want}, refusal{cause.SIP, idle[cause.SIP%len(idle)], true, want})
		case want == scheduler.Congestion:
			list = append(list, refusal{486, cause.Q850, false, want})
		default:
			list = append(list, refusal{503, cause.Q850, false, want})
		}
	}
	for _, status := range []int{400, 401, 407, 408, 415, 481, 488} {
		list = append(list, refusal{status, 0, false, scheduler.Failed}, refusal{status, scheduler.CauseUserBusy, false, scheduler.UserBusy})
	}
	return append(list,
		refusal{408, 0, true, scheduler.NoAnswer}, refusal{404, scheduler.CauseNoRoute, false, scheduler.Congestion},
		refusal{480, scheduler.CauseAbsent, true, scheduler.Absent}, refusal{486, 88, false, scheduler.Failed},
		refusal{487, 0, true, scheduler.Failed}, // nobody cancelled it
	)
}

// dial makes one attempt of a task over a trunk at addr, through the engine,
// and returns its end, and the attempt as its row is written.
func dial(ctx context.Context, t *testing.T, trunk sip.Trunk, ring time.Duration) (scheduler.Outcome, scheduler.Attempt) {
	t.Helper()
	trunk.Name = "carrier"
	d := openTrunks(t, trunk)
	e, err := dialer.New(dialer.Options{Trunks: []dialer.Trunk{{Name: "carrier", Driver: d}}})
	if err != nil {
		t.Fatal(err)
	}
	task := scheduler.Task{
		ID: 1, Status: scheduler.Scheduled, TryCount: 1, ANumber: number.Given, ANumberE164: number.E164, BNumber: "+390612345678", BNumberE164: "+390612345678",
	}
	started := task.Start(time.Now(), scheduler.NewCallID(time.Now()), "n1", 1).Task
	call := started.Call(scheduler.Extension{})
	call.Ring = ring
	outcome := e.Dial(ctx, call, func(time.Time) { t.Error("the call was bridged") })
	return outcome, started.End(outcome, time.Now()).Attempt
}

func TestEveryRowOfTheTableOfDispositions(t *testing.T) {
	t.Parallel()
	for _, r := range refusals() {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			name, extra := "refuse_at_once", "Server: peer"
			if r.rings {
				name = "refuse"
			}
			if r.cause != 0 {
				extra = fmt.Sprintf(`Reason: Q.850;cause=%d;text="as it is"`, r.cause)
			}
			peer := scenario(t, name, map[string]string{"status": strconv.Itoa(r.status), "phrase": "As It Is", "extra": extra})
			_, cdr := dial(t.Context(), t, sip.Trunk{Endpoint: "sip:{number}@" + peer.Addr.String()}, patience)
			peer.Wait()
			if len(cdr.Legs) != 1 {
				t.Fatalf("legs %+v", cdr.Legs)
			}
			leg := cdr.Legs[0]
			if leg.Disposition != r.want || leg.SIP != r.status || leg.Q850 != r.cause || leg.Native != "As It Is" ||
				leg.By != scheduler.ByPeer || leg.RangAt.IsZero() == r.rings {
				t.Errorf("the leg is %+v", leg)
			}
			if cdr.Result != scheduler.CallResultOf(r.want) || cdr.HangupBy != scheduler.CalleeRefuse || cdr.HangupCause != leg.CauseName() {
				t.Errorf("the call is %s, %s, %s", cdr.Result, cdr.HangupBy, cdr.HangupCause)
			}
		})
	}
}

func TestTheRowsThatAreOurDoing(t *testing.T) {
	t.Parallel()
	stopped, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := stopped.Addr().String()
	stopped.Close()
	for claim, c := range map[string]struct {
		scenario string
		endpoint string // "": that of the scenario
		cut      time.Duration
		want     scheduler.Leg
	}{
		"nobody answers in time: no_answer": {scenario: "cancelled", want: scheduler.Leg{
			Disposition: scheduler.NoAnswer, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs}},
		"a client cancels: cancelled": {scenario: "cancelled", cut: 200 * time.Millisecond, want: scheduler.Leg{
			Disposition: scheduler.Cancelled, SIP: 487, Native: "Request Terminated", By: scheduler.ByUs}},
		"the peer is stopped and nothing is signalled: local_error": {endpoint: "sip:{number}@" + nobody + ";transport=tcp", want: scheduler.Leg{
			Disposition: scheduler.LocalError, By: scheduler.ByUs}},
		"the peer is stopped and nobody says so: failed": {endpoint: "sip:{number}@" + nobody, want: scheduler.Leg{
			Disposition: scheduler.Failed, SIP: 408, Native: "no response", By: scheduler.ByUs}},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			ctx, endpoint, ring := t.Context(), c.endpoint, patience
			var peer *sipptest.Peer
			if c.scenario != "" {
				peer = scenario(t, c.scenario, nil)
				endpoint = "sip:{number}@" + peer.Addr.String()
				ring = 300 * time.Millisecond
			}
			if c.cut > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, c.cut, scheduler.CutError{Cut: scheduler.CutAPI})
				defer cancel()
				ring = patience
			}
			outcome, cdr := dial(ctx, t, sip.Trunk{Endpoint: endpoint}, ring)
			if peer != nil {
				peer.Wait()
			}
			if len(outcome.Legs) != 1 {
				t.Fatalf("legs %+v", outcome.Legs)
			}
			leg := outcome.Legs[0]
			if c.want.Disposition == scheduler.LocalError && strings.Contains(leg.Native, "refused") {
				leg.Native = "" // in the words of the system
			}
			if leg.Disposition != c.want.Disposition || leg.SIP != c.want.SIP || leg.Native != c.want.Native || leg.By != c.want.By {
				t.Errorf("the leg is %+v", leg)
			}
			if free := leg.Disposition == scheduler.LocalError; outcome.Free() != free {
				t.Errorf("the attempt counts: %t", !outcome.Free())
			} else if !free && (len(cdr.Legs) != 1 || cdr.Legs[0] != outcome.Legs[0] || cdr.HangupBy != scheduler.InternalCancel) {
				t.Errorf("the call is %+v", cdr)
			}
		})
	}
}
