package esl

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"ringback/dialer"
	"ringback/scheduler"
)

// errNoChannel says that there is no channel to obey an order.
var errNoChannel = errors.New("there is no such channel")

func isRefusal(err error) bool {
	var refused refusal
	return errors.As(err, &refused)
}

// noChannel returns errNoChannel for a refusal that says so.
func noChannel(err error) error {
	var refused refusal
	if errors.As(err, &refused) && refused.noChannel() {
		return errNoChannel
	}
	return err
}

// causes are FreeSWITCH's names of the Q.850 causes that tell of a user; the
// second absent one is its own, of a phone that is not registered.
var causes = map[string]int{
	"UNALLOCATED_NUMBER": scheduler.CauseUnallocated, "USER_BUSY": scheduler.CauseUserBusy,
	"SUBSCRIBER_ABSENT": scheduler.CauseAbsent, "USER_NOT_REGISTERED": scheduler.CauseAbsent,
	"INVALID_NUMBER_FORMAT": scheduler.CauseInvalidFormat,
}

// causeOfUser returns the Q.850 cause of a call that FreeSWITCH refused to make
// because of the user who was to be called; 0: it was for another reason.
func causeOfUser(text string) int {
	words := strings.Fields(text)
	if len(words) == 0 {
		return 0
	}
	return causes[words[len(words)-1]]
}

// hangup is why a channel ended, as CHANNEL_HANGUP_COMPLETE tells it.
type hangup struct {
	q850 int
	sip  int    // final response code; 0: not told
	name string // FreeSWITCH's own word
	side string // who ended the SIP call: sip_hangup_disposition; "": not told
}

// hangupOf reads the end of a channel.
func hangupOf(e event) hangup {
	h := hangup{
		q850: e.number("variable_hangup_cause_q850"), sip: e.number("variable_sip_term_status"),
		name: e.get("Hangup-Cause"), side: e.get("variable_sip_hangup_disposition"),
	}
	if h.q850 == 0 || h.q850 == scheduler.CauseNormalClearing { // 16 stands for names that are FreeSWITCH's own, too
		h.q850 = cmp.Or(causes[h.name], h.q850)
	}
	if code, ok := strings.CutPrefix(e.get("variable_proto_specific_hangup_cause"), "sip:"); ok && h.sip == 0 {
		h.sip, _ = strconv.Atoi(code)
	}
	if h.sip < 200 || h.sip > 699 {
		h.sip = 0
	}
	return h
}

// byFreeSWITCH reports whether FreeSWITCH, not the far end, ended the call.
func (h hangup) byFreeSWITCH() bool { return h.side == "send_bye" || h.side == "send_cancel" }

// byPeer reports whether the far end did. A refusal is told as sent on the
// outgoing side, too.
func (h hangup) byPeer() bool { return h.side != "" && !h.byFreeSWITCH() }

// verdict judges the end of a channel. One that we hung up is our doing unless
// FreeSWITCH says that the far end was faster, or the cause is one of its own.
// A cause that FreeSWITCH made of a SIP response says no more than that.
func (l *leg) verdict(h hangup) dialer.End {
	e := dialer.End{Q850: h.q850, SIP: h.sip, Native: h.name, By: scheduler.ByPeer}
	if h.byFreeSWITCH() {
		e.By = scheduler.ByUs
	}
	if !l.pickedUp.IsZero() {
		e.Disposition = scheduler.Answered
		if l.hung && !h.byPeer() {
			e.Q850, e.By = l.cause(), scheduler.ByUs
		}
		return e
	}
	if l.hung && !h.byPeer() && (h.byFreeSWITCH() || l.ours(h.q850)) {
		timeout := l.reason == dialer.HangupTimeout
		e.Q850, e.By = l.cause(), scheduler.ByUs
		e.Disposition = scheduler.Cause{TimedOut: timeout, Cancelled: !timeout}.Disposition()
		return e
	}
	told := h.q850
	if h.sip != 0 && derived[h.sip] == told {
		told = 0
	}
	e.Disposition = scheduler.Cause{
		Q850: told, SIP: h.sip, Rang: l.rang || l.early, TimedOut: h.byFreeSWITCH() && h.q850 == scheduler.CauseNoAnswer,
	}.Disposition()
	return e
}

// ours reports whether a cause may come of our own hang-up.
func (l *leg) ours(cause int) bool {
	switch cause {
	case 0, scheduler.CauseNormalClearing, scheduler.CauseAnsweredElse, scheduler.CauseNormal, scheduler.CauseInterworking:
		return true
	}
	return cause == l.cause()
}

// derived are the causes that FreeSWITCH makes of SIP responses that have no
// Reason header (mod_sofia's table).
var derived = map[int]int{
	400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127, 415: 79,
	416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 3, 486: 17, 488: 88,
	500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 600: 17, 603: 21, 604: 3, 606: 88, 607: 21, 608: 21,
}
