package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// Bounds of a registration.
const (
	registerFor      = 600 // seconds that we ask for
	longestRegister  = 24 * 60 * 60
	intervalTooBrief = 423 // RFC 3261, section 21.4.17
)

// binding is our registration with a trunk (RFC 3261, section 10).
type binding struct {
	t       *trunk
	callID  msg.CallIDHeader
	tag     string
	seq     uint32
	expires int // seconds that we ask for
}

// enrol keeps the trunk registered until ctx is over, then gives the
// registration back.
func (t *trunk) enrol(ctx context.Context) {
	b := &binding{t: t, callID: msg.CallIDHeader("register-" + rand.Text()), tag: rand.Text(), expires: registerFor}
	for ctx.Err() == nil {
		granted, err := b.register(ctx, b.expires)
		wait := time.Duration(granted) * time.Second * 3 / 4
		if err != nil {
			wait = 16 * msg.T1
		}
		if ctx.Err() == nil {
			t.setRegistered(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	if t.registered() == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*msg.T1)
		defer cancel()
		_, _ = b.register(ctx, 0) // it runs out by itself as well
	}
}

// register asks the trunk to send our calls here for so many seconds, and
// returns how many it granted.
func (b *binding) register(ctx context.Context, seconds int) (granted int, err error) {
	req := b.request(seconds)
	list, err := b.t.targets(ctx, req)
	if err != nil {
		return 0, err
	}
	req.SetDestination(list[0].String())
	for {
		res := b.t.ask(ctx, req)
		switch {
		case res == nil:
			b.t.avoid(list[0], avoidFor) // the next try asks another
			return 0, errors.New("no response to REGISTER")
		case res.IsSuccess():
			return b.granted(res, seconds), nil
		}
		if least := minExpires(res); least > seconds && least <= longestRegister {
			b.expires = least
			return b.register(ctx, least)
		}
		next, ok := b.t.prove(req, res)
		if !ok {
			return 0, fmt.Errorf("REGISTER is answered by %d %s", res.StatusCode, res.Reason)
		}
		req, b.seq = next, next.CSeq().SeqNo
	}
}

// minExpires is the least a registrar grants that found our wish too brief; 0:
// it did not say so.
func minExpires(res *msg.Response) int {
	h := res.GetHeader("min-expires")
	if res.StatusCode != intervalTooBrief || h == nil {
		return 0
	}
	least, _ := strconv.Atoi(strings.TrimSpace(h.Value()))
	return least
}

// granted is how long a registration lasts: as our Contact in the answer says,
// else its Expires, else as asked.
func (b *binding) granted(res *msg.Response, asked int) int {
	ours := b.t.contact().Address
	for _, h := range res.GetHeaders("contact") {
		c, ok := h.(*msg.ContactHeader)
		if !ok || c.Address.Host != ours.Host || c.Address.Port != ours.Port {
			continue
		}
		if s, ok := c.Params.Get("expires"); ok {
			if n, err := strconv.Atoi(s); err == nil && n > 0 {
				return min(n, longestRegister)
			}
		}
	}
	if h := res.GetHeader("expires"); h != nil {
		if n, err := strconv.Atoi(strings.TrimSpace(h.Value())); err == nil && n > 0 {
			return min(n, longestRegister)
		}
	}
	return max(asked, 1)
}

// request builds a REGISTER of our username at the trunk's host.
func (b *binding) request(seconds int) *msg.Request {
	t := b.t
	b.seq++
	registrar := *t.endpoint.template.Clone()
	registrar.User = ""
	req := msg.NewRequest(msg.REGISTER, registrar)
	us := msg.Uri{Scheme: "sip", User: escapeUser(t.credentials.username), Host: registrar.Host}
	from := &msg.FromHeader{Address: us}
	from.Params.Add("tag", b.tag)
	callID, maxForwards := b.callID, msg.MaxForwardsHeader(70)
	req.AppendHeader(t.via())
	if t.proxy != nil {
		req.AppendHeader(&msg.RouteHeader{Address: *t.proxy.Clone()})
	}
	req.AppendHeader(&maxForwards)
	req.AppendHeader(from)
	req.AppendHeader(&msg.ToHeader{Address: us})
	req.AppendHeader(&callID)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: b.seq, MethodName: msg.REGISTER})
	req.AppendHeader(t.contact())
	req.AppendHeader(msg.NewHeader("Expires", strconv.Itoa(seconds)))
	req.AppendHeader(msg.NewHeader("User-Agent", ourName))
	req.SetBody(nil)
	return req
}

// errNotYet is the health of a trunk before its first registration.
var errNotYet = errors.New("is not registered yet")

// setRegistered notes what became of a registration.
func (t *trunk) setRegistered(err error) {
	t.condition.mu.Lock()
	was := t.condition.unregistered
	t.condition.unregistered = err
	t.condition.mu.Unlock()
	switch {
	case err != nil && (was == nil || errors.Is(was, errNotYet)):
		t.log.Warn("trunk could not be registered", "err", err)
	case err == nil && was != nil:
		t.log.Info("trunk is registered")
	}
}

// registered is nil unless the trunk wants a registration and has none.
func (t *trunk) registered() error {
	t.condition.mu.Lock()
	defer t.condition.mu.Unlock()
	return t.condition.unregistered
}
