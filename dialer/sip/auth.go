package sip

import (
	"crypto/rand"
	"slices"
	"strings"

	msg "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// credentials are what a trunk knows us by.
type credentials struct {
	username string
	password string
}

// challenged reports whether a response asks who we are.
func challenged(res *msg.Response) bool {
	return res.StatusCode == msg.StatusUnauthorized || res.StatusCode == msg.StatusProxyAuthRequired
}

// prove returns the request that answers a challenge (RFC 3261, section 22.3):
// the same one with the next CSeq, a branch of its own and our credentials. ok
// is false if they were refused already, or cannot answer it.
func (t *trunk) prove(req *msg.Request, res *msg.Response) (next *msg.Request, ok bool) {
	if t.credentials.username == "" || !challenged(res) {
		return nil, false
	}
	ask, answer := "WWW-Authenticate", "Authorization"
	if res.StatusCode == msg.StatusProxyAuthRequired {
		ask, answer = "Proxy-Authenticate", "Proxy-Authorization"
	}
	c := chooseChallenge(res.GetHeaders(ask))
	if c == nil || !c.Stale && slices.ContainsFunc(req.GetHeaders(answer), func(h msg.Header) bool { return answers(h, c) }) {
		t.log.Warn("trunk does not take our username and password", "status", res.StatusCode)
		return nil, false
	}
	proof, err := digest.Digest(c, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(),
		Username: t.credentials.username, Password: t.credentials.password, Cnonce: rand.Text(),
	})
	if err != nil {
		return nil, false
	}
	next = req.Clone()
	next.RemoveHeader("Via")
	next.PrependHeader(t.via())
	next.CSeq().SeqNo++
	replaceProof(next, answer, c)
	next.AppendHeader(msg.NewHeader(answer, proof.String()))
	next.SetDestination(req.Destination())
	next.Laddr = req.Laddr
	return next, true
}

// chooseChallenge returns the first challenge that we can answer, as the peer
// prefers them (RFC 8760, section 2.4); nil if there is none.
func chooseChallenge(headers []msg.Header) *digest.Challenge {
	for _, h := range headers {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil {
			continue
		}
		for i := range c.QOP {
			c.QOP[i] = strings.ToLower(strings.TrimSpace(c.QOP[i]))
		}
		c.Algorithm = strings.ToUpper(c.Algorithm)
		known := c.Algorithm == "" || c.Algorithm == "MD5" || c.Algorithm == "SHA-256"
		if known && (len(c.QOP) == 0 || c.SupportsQOP("auth")) {
			return c
		}
	}
	return nil
}

// answers reports whether a header of ours answers a challenge of this realm.
func answers(h msg.Header, c *digest.Challenge) bool {
	proof, err := digest.ParseCredentials(h.Value())
	return err == nil && proof.Realm == c.Realm
}

// replaceProof drops what we told this realm before: its nonce is stale.
func replaceProof(req *msg.Request, name string, c *digest.Challenge) {
	kept := slices.DeleteFunc(slices.Clone(req.GetHeaders(name)), func(h msg.Header) bool { return answers(h, c) })
	for req.RemoveHeader(name) {
	}
	for _, h := range kept {
		req.AppendHeader(h)
	}
}
