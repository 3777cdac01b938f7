package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// Bounds of what is believed of a trunk.
const (
	missesUntilDown = 3
	longestRest     = time.Hour // that a Retry-After is obeyed for
)

// condition is what we know of a trunk's peer.
type condition struct {
	mu     sync.Mutex
	misses int // probes in a row that nobody answered
	// unregistered is why the trunk has no registration; nil: it has, or wants none.
	unregistered error
	rest         time.Time // until when it asked to be left alone
	// peers are the addresses that the last request could go to.
	peers []netip.Addr
	// avoid is until when an address that failed is tried last.
	avoid map[netip.AddrPort]time.Time
}

// health is nil if calls may be placed on the trunk.
func (t *trunk) health() error {
	select {
	case <-t.station.served:
		return errors.New("the SIP address is closed")
	default:
	}
	t.condition.mu.Lock()
	defer t.condition.mu.Unlock()
	if t.condition.misses >= missesUntilDown {
		return errors.New("the peer does not answer OPTIONS")
	}
	if t.condition.unregistered != nil {
		return t.condition.unregistered
	}
	if wait := time.Until(t.condition.rest); wait > 0 {
		return fmt.Errorf("the peer asked to be left alone for %s more", wait.Round(time.Second))
	}
	return nil
}

// heard notes a response of the peer: it is there, and may want some rest.
func (t *trunk) heard(res *msg.Response) {
	rest := retryAfter(res)
	t.condition.mu.Lock()
	back := t.condition.misses >= missesUntilDown
	t.condition.misses = 0
	if rest > 0 {
		t.condition.rest = time.Now().Add(rest)
	}
	t.condition.mu.Unlock()
	if back {
		t.log.Info("trunk is up again")
	}
	if rest > 0 {
		t.log.Warn("trunk asked to be left alone for "+rest.String(), "status", res.StatusCode)
	}
}

// isPeer reports whether the trunk's requests go to an address, given with its
// port.
func (t *trunk) isPeer(source string) bool {
	from, err := netip.ParseAddrPort(source)
	t.condition.mu.Lock()
	defer t.condition.mu.Unlock()
	return err == nil && slices.Contains(t.condition.peers, from.Addr().Unmap())
}

// missed notes that nobody answered a probe.
func (t *trunk) missed() {
	t.condition.mu.Lock()
	t.condition.misses++
	down := t.condition.misses == missesUntilDown
	t.condition.mu.Unlock()
	if down {
		t.log.Warn("trunk is down: the peer does not answer OPTIONS")
	}
}

// retryAfter is how long a 503 asks not to be called (RFC 3261, section
// 20.33); 0: not at all.
func retryAfter(res *msg.Response) time.Duration {
	h := res.GetHeader("retry-after")
	if res.StatusCode != msg.StatusServiceUnavailable || h == nil {
		return 0
	}
	digits := strings.TrimSpace(h.Value())
	if end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		digits = digits[:end]
	}
	seconds, err := strconv.Atoi(digits)
	if err != nil || seconds <= 0 {
		return 0
	}
	if seconds > int(longestRest/time.Second) {
		return longestRest
	}
	return time.Duration(seconds) * time.Second
}

// watch probes the peer until ctx is over: at the trunk's interval, and sooner
// while it does not answer.
func (t *trunk) watch(ctx context.Context) {
	for {
		wait := t.probeEvery
		if !t.probe(ctx) {
			wait = min(wait, 16*msg.T1)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// probe asks for the peer's OPTIONS, one address after the other. Whatever one
// of them says, the peer is there.
func (t *trunk) probe(ctx context.Context) bool {
	list, err := t.targets(ctx, t.newOptions())
	for i := 0; i < len(list) && err == nil && ctx.Err() == nil; i++ {
		req := t.newOptions()
		req.SetDestination(list[i].String())
		if res := t.ask(ctx, req); res != nil {
			t.heard(res)
			return true
		}
		t.avoid(list[i], avoidFor)
	}
	if ctx.Err() == nil {
		t.missed()
	}
	return false
}

// ask sends a request and waits 16 × T1 for its final response; nil: none came.
func (t *trunk) ask(ctx context.Context, req *msg.Request) *msg.Response {
	ctx, cancel := context.WithTimeout(ctx, 16*msg.T1)
	defer cancel()
	tx, err := t.begin(ctx, req)
	if err != nil {
		return nil
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return res
			}
		case <-tx.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// newOptions builds a probe of the trunk's host.
func (t *trunk) newOptions() *msg.Request {
	uri := *t.endpoint.template.Clone()
	uri.User = ""
	req := msg.NewRequest(msg.OPTIONS, uri)
	from := &msg.FromHeader{Address: msg.Uri{Scheme: "sip", User: ourName, Host: uriHost(t.host.String())}}
	from.Params.Add("tag", rand.Text())
	callID := msg.CallIDHeader("probe-" + rand.Text())
	maxForwards := msg.MaxForwardsHeader(70)
	req.AppendHeader(t.via())
	if t.proxy != nil {
		req.AppendHeader(&msg.RouteHeader{Address: *t.proxy.Clone()})
	}
	req.AppendHeader(&maxForwards)
	req.AppendHeader(from)
	req.AppendHeader(&msg.ToHeader{Address: msg.Uri{Scheme: uri.Scheme, Host: uri.Host}})
	req.AppendHeader(&callID)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: 1, MethodName: msg.OPTIONS})
	req.AppendHeader(t.contact())
	req.AppendHeader(msg.NewHeader("Accept", sdpType))
	req.AppendHeader(msg.NewHeader("User-Agent", ourName))
	req.SetBody(nil)
	return req
}
