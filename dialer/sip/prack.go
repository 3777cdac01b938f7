package sip

import (
	"strconv"
	"strings"

	msg "github.com/emiago/sipgo/sip"
)

// nextSeq is the CSeq of our next request, with one left out for its answer to
// a challenge.
func (l *leg) nextSeq() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq = max(l.seq, l.invite.CSeq().SeqNo) + 2
	return l.seq
}

// confirmEarly sends the PRACK of a provisional response that asks for one.
func (l *leg) confirmEarly(res *msg.Response) {
	rseq, require := res.GetHeader("rseq"), res.GetHeader("require")
	if rseq == nil || require == nil || !strings.Contains(strings.ToLower(require.Value()), "100rel") {
		return
	}
	early := newDialog(l.invite, res)
	key := early.tag() + " " + rseq.Value()
	if l.confirmed[key] {
		return
	}
	l.confirmed[key] = true
	prack := newPrack(early, strings.TrimSpace(rseq.Value()), l.nextSeq(), l.trunk.via())
	l.d.wg.Go(func() { l.trunk.deliver(prack) })
}

// newPrack confirms a provisional response that asks for it (RFC 3262).
func newPrack(early *dialog, rseq string, cseq uint32, via *msg.ViaHeader) *msg.Request {
	req := early.request(msg.PRACK, cseq, via)
	req.AppendHeader(msg.NewHeader("RAck", rseq+" "+strconv.Itoa(int(early.cseq))+" INVITE"))
	return req
}
