package scheduler

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxURI is how long a destination that is a SIP URI may be, in characters: an
// INVITE repeats it, and must fit one datagram.
const MaxURI = 128

// URI is a destination that is a SIP URI (RFC 3261, section 19.1), without
// parameters, headers or a password.
type URI struct {
	User string // as it is written: what needs to be escaped is
	Host string // name, IPv4 address, or IPv6 address without brackets; in lower case
	Port int    // 0: not given
}

// uriForm leaves nothing in a user part that could end it, and no control
// characters, escaped or not.
var uriForm = regexp.MustCompile(`^(?i:sip):((?:[A-Za-z0-9_.!~*'()&=+$,/-]|%[2-7][0-9A-Fa-f])+)@([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?$`)

// hostForm is a name, an IPv4 address, or what may be an IPv6 address.
var hostForm = regexp.MustCompile(`^(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*)$`)

// LooksLikeURI reports whether a destination is meant as a SIP URI.
func LooksLikeURI(given string) bool {
	scheme, _, ok := strings.Cut(given, ":")
	return ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips"))
}

// ParseURI reads a destination that is a SIP URI such as sip:anna@pbx.example;
// ok is false if it is none, or one that is not dialled.
func ParseURI(given string) (u URI, ok bool) {
	m := uriForm.FindStringSubmatch(given)
	if m == nil || len(given) > MaxURI || strings.Contains(strings.ToUpper(m[1]), "%7F") {
		return URI{}, false
	}
	u = URI{User: m[1], Host: strings.ToLower(strings.Trim(m[2], "[]"))}
	if m[3] != "" {
		port, err := strconv.Atoi(m[3])
		if err != nil || port == 0 || port > 65535 {
			return URI{}, false
		}
		u.Port = port
	}
	if len(u.Host) > 253 || !hostForm.MatchString(u.Host) {
		return URI{}, false
	}
	return u, true
}

// Among reports whether the URI's host is one of hosts, which are names and
// addresses as Host has them. One address written in two ways is two.
func (u URI) Among(hosts []string) bool {
	return slices.Contains(hosts, u.Host)
}
