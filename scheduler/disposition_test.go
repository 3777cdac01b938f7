package scheduler_test

import (
	"testing"

	"ringback/scheduler"
)

// TestCauseDisposition is the table of dispositions and causes, row by row.
func TestCauseDisposition(t *testing.T) {
	type cause = scheduler.Cause
	for claim, c := range map[string]struct {
		causes []cause
		want   scheduler.Disposition
	}{
		"busy":               {[]cause{{Q850: 17}, {SIP: 486}, {SIP: 600}}, scheduler.UserBusy},
		"no answer":          {[]cause{{Q850: 18}, {Q850: 19}, {SIP: 408, Rang: true}, {SIP: 480}}, scheduler.NoAnswer},
		"our time-out":       {[]cause{{TimedOut: true}, {SIP: 487, TimedOut: true}, {Q850: 16, TimedOut: true}}, scheduler.NoAnswer},
		"rejected":           {[]cause{{Q850: 21}, {SIP: 603}, {SIP: 607}, {SIP: 608}}, scheduler.Rejected},
		"absent":             {[]cause{{Q850: 20}, {SIP: 480, Q850: 20}}, scheduler.Absent},
		"invalid by cause":   {[]cause{{Q850: 1}, {Q850: 22}, {Q850: 28}}, scheduler.InvalidNumber},
		"invalid by code":    {[]cause{{SIP: 404}, {SIP: 410}, {SIP: 484}, {SIP: 485}, {SIP: 604}}, scheduler.InvalidNumber},
		"congestion by code": {[]cause{{SIP: 403}, {SIP: 500}, {SIP: 502}, {SIP: 503}, {SIP: 504}}, scheduler.Congestion},
		"congestion by cause": {
			[]cause{{Q850: 2}, {Q850: 3}, {Q850: 27}, {Q850: 34}, {Q850: 38}, {Q850: 41}, {Q850: 42}, {Q850: 47}, {Q850: 102}, {SIP: 404, Q850: 3}},
			scheduler.Congestion,
		},
		"failed": {
			[]cause{{}, {SIP: 400}, {SIP: 401}, {SIP: 407}, {SIP: 408}, {SIP: 415}, {SIP: 481}, {SIP: 488}, {SIP: 487}, {Q850: 88}, {Q850: 111}},
			scheduler.Failed,
		},
		"cancelled by us":                     {[]cause{{SIP: 487, Cancelled: true}, {Q850: 16, Cancelled: true}, {Cancelled: true}}, scheduler.Cancelled},
		"a cause beats the code":              {[]cause{{SIP: 503, Q850: 17}, {SIP: 480, Q850: 17}, {SIP: 404, Q850: 17, Rang: true}}, scheduler.UserBusy},
		"a cause of another kind beats it":    {[]cause{{SIP: 486, Q850: 88}}, scheduler.Failed},
		"16, 26, 31, 127 leave it to code":    {[]cause{{SIP: 486, Q850: 16}, {SIP: 486, Q850: 26}, {SIP: 486, Q850: 31}, {SIP: 486, Q850: 127}}, scheduler.UserBusy},
		"16, 26, 31, 127 alone say nothing":   {[]cause{{Q850: 16}, {Q850: 26}, {Q850: 31}, {Q850: 127}}, scheduler.Failed},
		"a refusal that crossed our time-out": {[]cause{{SIP: 486, TimedOut: true}, {Q850: 17, TimedOut: true}}, scheduler.UserBusy},
	} {
		t.Run(claim, func(t *testing.T) {
			for _, in := range c.causes {
				if got := in.Disposition(); got != c.want {
					t.Errorf("%+v is %s, want %s", in, got, c.want)
				}
			}
		})
	}
}

func TestDispositionProperties(t *testing.T) {
	for _, c := range []struct {
		d                scheduler.Disposition
		final, signalled bool
		result           scheduler.CallResult
	}{
		{scheduler.Answered, false, true, scheduler.CallAnswered},
		{scheduler.UserBusy, false, true, scheduler.CallBusy},
		{scheduler.NoAnswer, false, true, scheduler.CallNotAnswered},
		{scheduler.Rejected, false, true, scheduler.CallRejected},
		{scheduler.Absent, false, true, scheduler.CallNotAnswered},
		{scheduler.InvalidNumber, true, true, scheduler.CallFailed},
		{scheduler.NoRoute, true, false, scheduler.CallFailed},
		{scheduler.Congestion, false, true, scheduler.CallFailed},
		{scheduler.Failed, false, true, scheduler.CallFailed},
		{scheduler.Cancelled, false, true, scheduler.CallNotAnswered},
		{scheduler.LocalError, false, false, scheduler.CallFailed},
		{"", false, false, scheduler.CallFailed},
	} {
		if c.d.Final() != c.final || c.d.Signalled() != c.signalled || scheduler.CallResultOf(c.d) != c.result {
			t.Errorf("%q: final %t, signalled %t, result %q", c.d, c.d.Final(), c.d.Signalled(), scheduler.CallResultOf(c.d))
		}
	}
}

func TestCauseName(t *testing.T) {
	for q850, want := range map[int]string{
		0: "", 1: "UNALLOCATED_NUMBER", 16: "NORMAL_CLEARING", 17: "USER_BUSY", 19: "NO_ANSWER", 21: "CALL_REJECTED",
		34: "NORMAL_CIRCUIT_CONGESTION", 127: "INTERWORKING", 99: "UNSPECIFIED",
	} {
		if got := scheduler.CauseName(q850); got != want {
			t.Errorf("%d is %q, want %q", q850, got, want)
		}
	}
}
