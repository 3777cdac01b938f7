package sip

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

// allow names the methods we take (RFC 3261, section 20.5).
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"

const sdpType = "application/sdp"

// notCallID reports whether r may not stand in a Call-ID as we write it.
func notCallID(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '.' && r != '_'
}

// uriHost puts an IPv6 address in brackets.
func uriHost(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// newInvite builds the INVITE of a leg. A caller without a number is shown as
// ourselves: the trunk puts its own.
func (t *trunk) newInvite(uri msg.Uri, o dialer.Originate, offer []byte) *msg.Request {
	req := msg.NewRequest(msg.INVITE, uri)
	caller := escapeUser(o.Caller.Number)
	if caller == "" {
		caller = ourName
	}
	from := &msg.FromHeader{
		DisplayName: displayName(o.Caller.Name),
		Address:     msg.Uri{Scheme: "sip", User: caller, Host: uriHost(t.host.String())},
	}
	from.Params.Add("tag", rand.Text())
	callID := msg.CallIDHeader(o.ID)
	maxForwards := msg.MaxForwardsHeader(70)
	contentType := msg.ContentTypeHeader(sdpType)
	req.AppendHeader(t.via())
	if t.proxy != nil {
		req.AppendHeader(&msg.RouteHeader{Address: *t.proxy.Clone()})
	}
	req.AppendHeader(&maxForwards)
	req.AppendHeader(from)
	req.AppendHeader(&msg.ToHeader{Address: msg.Uri{Scheme: uri.Scheme, User: uri.User, Host: uri.Host}})
	req.AppendHeader(&callID)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: 1, MethodName: msg.INVITE})
	req.AppendHeader(t.contact())
	req.AppendHeader(msg.NewHeader("Allow", allow))
	req.AppendHeader(msg.NewHeader("Supported", "timer, 100rel"))
	req.AppendHeader(msg.NewHeader("Session-Expires", strconv.Itoa(sessionExpires)+";refresher=uac"))
	req.AppendHeader(msg.NewHeader("Min-SE", strconv.Itoa(sessionLeast)))
	req.AppendHeader(msg.NewHeader("User-Agent", ourName))
	req.AppendHeader(&contentType)
	req.SetBody(offer)
	return req
}

// newCancel builds the CANCEL of an INVITE (RFC 3261, section 9.1): the same
// branch, the same next hop.
func newCancel(invite *msg.Request, reason dialer.HangupReason) *msg.Request {
	req := msg.NewRequest(msg.CANCEL, invite.Recipient)
	req.AppendHeader(msg.HeaderClone(invite.Via()))
	msg.CopyHeaders("Route", invite, req)
	maxForwards := msg.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	req.AppendHeader(msg.HeaderClone(invite.From()))
	req.AppendHeader(msg.HeaderClone(invite.To()))
	req.AppendHeader(msg.HeaderClone(invite.CallID()))
	req.AppendHeader(&msg.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: msg.CANCEL})
	req.AppendHeader(reasonHeader(causeOf(reason)))
	req.SetBody(nil)
	req.SetDestination(invite.Destination())
	return req
}

// dialog is what requests within a call are built from (RFC 3261, section 12.1.2).
type dialog struct {
	callID msg.CallIDHeader
	local  msg.FromHeader
	remote msg.ToHeader
	target msg.Uri
	route  []msg.Uri
	next   string       // where its requests go, host:port; "": not known yet
	cseq   uint32       // of the INVITE
	proofs []msg.Header // credentials of the INVITE
}

// newDialog returns the dialog that a 2xx makes of our INVITE.
func newDialog(invite *msg.Request, res *msg.Response) *dialog {
	d := &dialog{
		callID: *invite.CallID(), local: *invite.From(), remote: *invite.To(),
		target: invite.Recipient, cseq: invite.CSeq().SeqNo,
	}
	if to := res.To(); to != nil {
		d.remote = *to
	}
	if target, ok := contactOf(res); ok {
		d.target = target
	}
	for _, h := range res.GetHeaders("record-route") {
		if r, ok := h.(*msg.RecordRouteHeader); ok {
			d.route = append(d.route, r.Address)
		}
	}
	slices.Reverse(d.route)
	d.proofs = append(invite.GetHeaders("Authorization"), invite.GetHeaders("Proxy-Authorization")...)
	return d
}

// contactOf returns where the sender of a message is reached, if it says so.
func contactOf(m interface{ Contact() *msg.ContactHeader }) (msg.Uri, bool) {
	c := m.Contact()
	if c == nil || c.Address.Scheme != "sip" || c.Address.Host == "" {
		return msg.Uri{}, false
	}
	return c.Address, true
}

// tag is the peer's; "" from a peer older than RFC 3261.
func (d *dialog) tag() string { return d.remote.Params.GetOr("tag", "") }

// request builds a request within the dialog.
func (d *dialog) request(method msg.RequestMethod, cseq uint32, via *msg.ViaHeader) *msg.Request {
	req := msg.NewRequest(method, d.target)
	req.Recipient.Headers = nil
	req.AppendHeader(via)
	for _, r := range d.route {
		req.AppendHeader(&msg.RouteHeader{Address: *r.Clone()})
	}
	maxForwards := msg.MaxForwardsHeader(70)
	callID := d.callID
	req.AppendHeader(&maxForwards)
	req.AppendHeader(msg.HeaderClone(&d.local))
	req.AppendHeader(msg.HeaderClone(&d.remote))
	req.AppendHeader(&callID)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: cseq, MethodName: method})
	req.SetBody(nil)
	req.SetDestination(d.next)
	return req
}

// ack acknowledges the 2xx that made the dialog, with the credentials that its
// INVITE had (RFC 3261, section 13.2.2.4).
func (d *dialog) ack(via *msg.ViaHeader) *msg.Request {
	req := d.request(msg.ACK, d.cseq, via)
	for _, h := range d.proofs {
		req.AppendHeader(msg.HeaderClone(h))
	}
	return req
}

// bye ends the dialog.
func (d *dialog) bye(via *msg.ViaHeader, cseq uint32, cause int) *msg.Request {
	req := d.request(msg.BYE, cseq, via)
	req.AppendHeader(reasonHeader(cause))
	return req
}

// causeOf is the Q.850 cause we give for hanging up.
func causeOf(reason dialer.HangupReason) int {
	if reason == dialer.HangupElsewhere {
		return scheduler.CauseAnsweredElse
	}
	return scheduler.CauseNormalClearing
}

// reasonText is the text of the causes we give (RFC 3326; ITU-T Q.850).
var reasonText = map[int]string{
	scheduler.CauseNormalClearing: "Normal call clearing",
	scheduler.CauseAnsweredElse:   "Call completed elsewhere",
	causeIncompatible:             "Incompatible destination",
	causeTimer:                    "Recovery on timer expiry",
}

// What we give to a peer whose media we cannot use, and to one that is dead.
const (
	causeIncompatible = 88
	causeTimer        = 102
)

func reasonHeader(cause int) msg.Header {
	return msg.NewHeader("Reason", "Q.850;cause="+strconv.Itoa(cause)+`;text="`+reasonText[cause]+`"`)
}

// parseReason returns the Q.850 cause of a message's Reason headers, 0 if it
// has none, and the first of them raw (RFC 3326).
func parseReason(m msg.Message) (q850 int, raw string) {
	for _, h := range m.GetHeaders("reason") {
		if raw == "" {
			raw = h.Value()
		}
		for value := range splitQuoted(h.Value(), ',') {
			protocol, params, _ := strings.Cut(value, ";")
			if !strings.EqualFold(strings.TrimSpace(protocol), "Q.850") {
				continue
			}
			for param := range splitQuoted(params, ';') {
				name, number, _ := strings.Cut(param, "=")
				n, err := strconv.Atoi(strings.TrimSpace(number))
				if strings.EqualFold(strings.TrimSpace(name), "cause") && err == nil && n > 0 && n <= 127 {
					return n, raw
				}
			}
		}
	}
	return 0, raw
}

// splitQuoted yields the parts of s between separators that stand outside
// quoted strings.
func splitQuoted(s string, separator byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '\\' && quoted:
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == separator && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
