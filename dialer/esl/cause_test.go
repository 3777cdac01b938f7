package esl

import (
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// TestVerdict: what the end of a channel says, in the words of FreeSWITCH.
func TestVerdict(t *testing.T) {
	now := time.Now()
	hungUp := func(r dialer.HangupReason) *leg { return &leg{hung: true, reason: r} }
	for claim, test := range map[string]struct {
		leg  *leg
		end  string // fields of the event
		want dialer.End
	}{
		"busy": {&leg{}, "Hangup-Cause: USER_BUSY\nvariable_hangup_cause_q850: 17\nvariable_sip_term_status: 486\nvariable_sip_hangup_disposition: send_refuse",
			dialer.End{Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, Native: "USER_BUSY", By: scheduler.ByPeer}},
		"busy everywhere, whose cause is no Q.850 one": {&leg{}, "Hangup-Cause: BUSY_EVERYWHERE\nvariable_hangup_cause_q850: 16\nvariable_sip_term_status: 600",
			dialer.End{Disposition: scheduler.UserBusy, Q850: 16, SIP: 600, Native: "BUSY_EVERYWHERE", By: scheduler.ByPeer}},
		"the SIP code in its other place": {&leg{}, "Hangup-Cause: NORMAL_UNSPECIFIED\nvariable_hangup_cause_q850: 31\nvariable_proto_specific_hangup_cause: sip%3A603",
			dialer.End{Disposition: scheduler.Rejected, Q850: 31, SIP: 603, Native: "NORMAL_UNSPECIFIED", By: scheduler.ByPeer}},
		"a cause without SIP": {&leg{}, "Hangup-Cause: SUBSCRIBER_ABSENT\nvariable_hangup_cause_q850: 20",
			dialer.End{Disposition: scheduler.Absent, Q850: 20, Native: "SUBSCRIBER_ABSENT", By: scheduler.ByPeer}},
		"a name alone": {&leg{}, "Hangup-Cause: USER_BUSY", dialer.End{Disposition: scheduler.UserBusy, Q850: 17, Native: "USER_BUSY", By: scheduler.ByPeer}},
		"a phone that is not registered": {&leg{}, "Hangup-Cause: USER_NOT_REGISTERED\nvariable_hangup_cause_q850: 16",
			dialer.End{Disposition: scheduler.Absent, Q850: 20, Native: "USER_NOT_REGISTERED", By: scheduler.ByPeer}},
		"403 is no user's refusal": {&leg{}, "variable_hangup_cause_q850: 21\nvariable_sip_term_status: 403",
			dialer.End{Disposition: scheduler.Congestion, Q850: 21, SIP: 403, By: scheduler.ByPeer}},
		"408 without ringing is no user's": {&leg{}, "variable_hangup_cause_q850: 102\nvariable_sip_term_status: 408",
			dialer.End{Disposition: scheduler.Failed, Q850: 102, SIP: 408, By: scheduler.ByPeer}},
		"408 after ringing is": {&leg{rang: true}, "variable_hangup_cause_q850: 102\nvariable_sip_term_status: 408",
			dialer.End{Disposition: scheduler.NoAnswer, Q850: 102, SIP: 408, By: scheduler.ByPeer}},
		"a cause that the peer gave beats its response": {&leg{}, "variable_hangup_cause_q850: 20\nvariable_sip_term_status: 480",
			dialer.End{Disposition: scheduler.Absent, Q850: 20, SIP: 480, By: scheduler.ByPeer}},
		"404 for want of a route": {&leg{}, "variable_hangup_cause_q850: 3\nvariable_sip_term_status: 404",
			dialer.End{Disposition: scheduler.Congestion, Q850: 3, SIP: 404, By: scheduler.ByPeer}},
		"it rang for as long as FreeSWITCH lets it": {&leg{rang: true}, "Hangup-Cause: NO_ANSWER\nvariable_hangup_cause_q850: 19\nvariable_sip_term_status: 487\nvariable_sip_hangup_disposition: send_cancel",
			dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, SIP: 487, Native: "NO_ANSWER", By: scheduler.ByUs}},
		"nothing told": {&leg{}, "", dialer.End{Disposition: scheduler.Failed, By: scheduler.ByPeer}},

		"we cancelled": {hungUp(dialer.HangupCancel), "variable_hangup_cause_q850: 16\nvariable_sip_term_status: 487\nvariable_sip_hangup_disposition: send_cancel",
			dialer.End{Disposition: scheduler.Cancelled, Q850: 16, SIP: 487, By: scheduler.ByUs}},
		"we gave up": {hungUp(dialer.HangupTimeout), "variable_hangup_cause_q850: 19", dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, By: scheduler.ByUs}},
		"another one answered": {hungUp(dialer.HangupElsewhere), "Hangup-Cause: LOSE_RACE\nvariable_hangup_cause_q850: 16",
			dialer.End{Disposition: scheduler.Cancelled, Q850: 26, Native: "LOSE_RACE", By: scheduler.ByUs}},
		"a refusal beats our hang-up": {hungUp(dialer.HangupCancel), "variable_hangup_cause_q850: 17\nvariable_sip_term_status: 486\nvariable_sip_hangup_disposition: recv_refuse",
			dialer.End{Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, By: scheduler.ByPeer}},
		"so does one that says little": {hungUp(dialer.HangupCancel), "variable_hangup_cause_q850: 31\nvariable_sip_term_status: 486\nvariable_sip_hangup_disposition: send_refuse",
			dialer.End{Disposition: scheduler.UserBusy, Q850: 31, SIP: 486, By: scheduler.ByPeer}},
		"19 is the peer's if we cancelled": {hungUp(dialer.HangupCancel), "variable_hangup_cause_q850: 19",
			dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, By: scheduler.ByPeer}},

		"the far end hung up": {&leg{pickedUp: now}, "variable_hangup_cause_q850: 16\nvariable_sip_term_status: 200\nvariable_sip_hangup_disposition: recv_bye",
			dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, By: scheduler.ByPeer}},
		"we did": {&leg{pickedUp: now, hung: true}, "variable_hangup_cause_q850: 16\nvariable_sip_hangup_disposition: send_bye",
			dialer.End{Disposition: scheduler.Answered, Q850: 16, By: scheduler.ByUs}},
		"the far end was faster": {&leg{pickedUp: now, hung: true}, "variable_hangup_cause_q850: 31\nvariable_sip_hangup_disposition: recv_bye",
			dialer.End{Disposition: scheduler.Answered, Q850: 31, By: scheduler.ByPeer}},
		"FreeSWITCH did, by itself": {&leg{pickedUp: now}, "Hangup-Cause: MEDIA_TIMEOUT\nvariable_hangup_cause_q850: 16\nvariable_sip_hangup_disposition: send_bye",
			dialer.End{Disposition: scheduler.Answered, Q850: 16, Native: "MEDIA_TIMEOUT", By: scheduler.ByUs}},
		"we did, and no SIP tells": {&leg{pickedUp: now, hung: true}, "variable_hangup_cause_q850: 16",
			dialer.End{Disposition: scheduler.Answered, Q850: 16, By: scheduler.ByUs}},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := test.leg.verdict(hangupOf(parseEvent(test.end + "\n\n"))); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
