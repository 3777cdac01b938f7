package sip

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	msg "github.com/emiago/sipgo/sip"

	"ringback/scheduler"
)

// Placeholders of an endpoint template.
const (
	placeNumber = "{number}" // digits only
	placeE164   = "{e164}"   // with the leading +
)

const (
	defaultPort    = 5060
	defaultTLSPort = 5061
	maxNumber      = 32 // characters of a number: E.164 allows 15 digits
	maxDisplayName = 64 // characters shown of a caller's name: an INVITE must fit one datagram
)

// endpoint is where a trunk's calls go: a SIP URI whose user part has a place
// for the number.
type endpoint struct {
	template msg.Uri
	over     transport
}

// parseEndpoint reads a template such as
// "sip:{number}@sip.example.net:5060;transport=udp".
func parseEndpoint(s string) (endpoint, error) {
	e := endpoint{over: overUDP}
	if s == "" {
		return e, errors.New("is required")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"`, r) }) {
		return e, errors.New("must be a SIP URI of printable ASCII")
	}
	if err := msg.ParseUri(s, &e.template); err != nil {
		return e, fmt.Errorf("must be a SIP URI: %w", err)
	}
	u := e.template
	carrier, given := u.UriParams.Get("transport")
	switch {
	case u.Scheme != "sip":
		return e, errors.New("must be a sip: URI")
	case u.Host == "" || strings.ContainsAny(u.Host, "{}"):
		return e, errors.New("must name a host")
	case u.Port < 0 || u.Port > 65535:
		return e, errors.New("must have a port up to 65535")
	case given && !slices.Contains([]transport{overUDP, overTCP, overTLS}, transport(strings.ToUpper(carrier))):
		return e, fmt.Errorf("must not ask for transport %q: udp, tcp and tls are supported", carrier)
	case u.Password != "" || len(u.Headers) > 0:
		return e, errors.New("must have neither a password nor headers")
	case strings.Count(u.User, placeNumber)+strings.Count(u.User, placeE164) != 1:
		return e, errors.New("must have {number} or {e164} once before the @")
	case strings.ContainsAny(strings.NewReplacer(placeNumber, "", placeE164, "").Replace(s), "{}"):
		return e, errors.New("has an unknown placeholder")
	}
	if given {
		e.over = transport(strings.ToUpper(carrier))
	}
	return e, nil
}

// uri returns the Request-URI for a number. A dial string has no + to keep or
// to drop; its # is escaped (RFC 3261, section 19.1.2). A SIP URI stays as it is.
func (e endpoint) uri(n scheduler.Number) (msg.Uri, error) {
	if as, ok := scheduler.ParseURI(n.Dial()); ok {
		return msg.Uri{Scheme: "sip", User: as.User, Host: uriHost(as.Host), Port: as.Port}, nil
	}
	dial := n.Dial()
	digits := strings.TrimPrefix(dial, "+")
	if digits == "" || len(digits) > maxNumber || strings.Trim(digits, "0123456789*#") != "" {
		return msg.Uri{}, errors.New("the number has characters that cannot be dialled")
	}
	u := *e.template.Clone()
	u.User = strings.Replace(u.User, placeNumber, escapeUser(digits), 1)
	u.User = strings.Replace(u.User, placeE164, escapeUser(dial), 1)
	return u, nil
}

// parseProxy reads an outbound proxy, "host", "host:port" or a sip: URI, as
// the route to be put into every INVITE; nil for "". It is reached over the
// trunk's transport.
func parseProxy(s string, over transport) (*msg.Uri, error) {
	if s == "" {
		return nil, nil
	}
	if !strings.HasPrefix(s, "sip:") {
		s = "sip:" + s
	}
	u := msg.Uri{}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"`, r) }) {
		return nil, errors.New("must be host:port of printable ASCII")
	}
	if err := msg.ParseUri(s, &u); err != nil || u.Host == "" || u.User != "" || u.Port > 65535 {
		return nil, errors.New("must be host:port")
	}
	carrier, given := u.UriParams.Get("transport")
	switch {
	case given && !strings.EqualFold(carrier, string(over)):
		return nil, fmt.Errorf("must not ask for transport %q: the endpoint asks for %s", carrier, over)
	case !given && over != overUDP:
		u.UriParams.Add("transport", strings.ToLower(string(over)))
	}
	u.UriParams.Add("lr", "")
	return &u, nil
}

// escapeUser escapes everything a user part may not hold as it is (RFC 3261,
// section 25.1: unreserved, and + of user-unreserved).
func escapeUser(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()+"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(plain, s[i]) >= 0 {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// displayName makes the inside of a quoted-string (RFC 3261, section 25.1):
// nothing that is not printed, quotes and backslashes escaped, cut to what fits.
func displayName(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxDisplayName {
			break
		}
		switch {
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			r = ' '
		case r == '"' || r == '\\':
			b.WriteByte('\\')
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
