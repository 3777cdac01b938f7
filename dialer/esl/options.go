package esl

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ringback/scheduler"
)

// Options are a FreeSWITCH as it is configured.
type Options struct {
	Address  string // host:port of its event socket, such as 127.0.0.1:8021
	Password string
	Node     string // of ours; it marks our channels, so that two nodes may share a FreeSWITCH
	// Endpoints are dial strings by trunk, such as
	// "sofia/gateway/carrier/{number}"; {number} is replaced by the digits,
	// {e164} by them with a leading +.
	Endpoints map[string]string
	// Sounds are the directories by trunk in which FreeSWITCH finds the sounds;
	// without one it finds them where we do.
	Sounds map[string]string
	Log    *slog.Logger // nil: nothing is logged
}

// settings are options that were understood.
type settings struct {
	endpoints map[string]endpoint
	log       *slog.Logger
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// check reads the options and returns every fault of them.
func (o Options) check() (settings, error) {
	s := settings{endpoints: map[string]endpoint{}, log: o.Log}
	var faults []error
	if err := checkAddress(o.Address); err != nil {
		faults = append(faults, err)
	}
	if !nameForm.MatchString(o.Node) {
		faults = append(faults, errors.New("node must be 1 to 64 letters, digits, dots, dashes or underscores"))
	}
	if o.Password == "" || strings.ContainsFunc(o.Password, unicode.IsControl) {
		faults = append(faults, errors.New("password is required and is one line"))
	}
	for _, trunk := range slices.Sorted(maps.Keys(o.Endpoints)) {
		var err error
		if s.endpoints[trunk], err = parseEndpoint(o.Endpoints[trunk]); err != nil {
			faults = append(faults, fmt.Errorf("trunk %s: endpoint %w", trunk, err))
		}
	}
	for _, trunk := range slices.Sorted(maps.Keys(o.Sounds)) {
		if !pathForm.MatchString(o.Sounds[trunk]) {
			faults = append(faults, fmt.Errorf("trunk %s: sounds must be an absolute directory of letters, digits and . _ + @ -", trunk))
		}
	}
	if len(faults) > 0 {
		return s, errors.Join(faults...)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("url_host", o.Address)
	return s, nil
}

func checkAddress(s string) error {
	host, port, err := net.SplitHostPort(s)
	n, errPort := strconv.Atoi(port)
	if err != nil || errPort != nil || host == "" || n < 1 || n > 65535 {
		return errors.New("address must be a host and a port, such as 127.0.0.1:8021")
	}
	return nil
}

// Placeholders of an endpoint template.
const (
	placeNumber = "{number}" // digits only
	placeE164   = "{e164}"   // with the leading +
)

const (
	maxNumber = 32 // characters of a number: E.164 allows 15 digits
	maxName   = 64 // characters of a caller's name
)

// endpoint is a dial string of FreeSWITCH with a place for the number.
type endpoint string

// endpointForm has none of the characters by which FreeSWITCH parts dial
// strings or reads settings from them: space , | & [ ] { } < > ' " ^ $ \
var endpointForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*/[A-Za-z0-9._:;=@/+*%-]+$`)

// parseEndpoint reads a template such as "sofia/gateway/carrier/{number}" or
// "user/{number}@example.net".
func parseEndpoint(s string) (endpoint, error) {
	bare := strings.NewReplacer(placeNumber, "1", placeE164, "1").Replace(s)
	switch {
	case strings.Count(s, placeNumber)+strings.Count(s, placeE164) != 1:
		return "", errors.New("must have {number} or {e164} once, such as sofia/gateway/carrier/{number}")
	case !endpointForm.MatchString(bare) || strings.Contains(bare, ":_:"):
		return "", errors.New("must be one dial string of FreeSWITCH, such as sofia/gateway/carrier/{number}")
	}
	return endpoint(s), nil
}

// dial returns the dial string for a number. A # ends a SIP URI unless it is
// escaped (RFC 3261, section 19.1.2), which only a gateway's dial string
// allows: in others % parts the user from the domain.
func (e endpoint) dial(n scheduler.Number) (string, error) {
	full := n.Dial()
	digits := strings.TrimPrefix(full, "+")
	if !isDialled(digits) {
		return "", errors.New("the number has characters that cannot be dialled")
	}
	if strings.Contains(digits, "#") && strings.HasPrefix(string(e), "sofia/") {
		if !strings.HasPrefix(string(e), "sofia/gateway/") {
			return "", errors.New("a # can be dialled by way of a gateway alone")
		}
		digits, full = strings.ReplaceAll(digits, "#", "%23"), strings.ReplaceAll(full, "#", "%23")
	}
	return strings.NewReplacer(placeNumber, digits, placeE164, full).Replace(string(e)), nil
}

// isDialled reports whether s is nothing but keys of a telephone.
func isDialled(s string) bool {
	return s != "" && len(s) <= maxNumber && strings.Trim(s, "0123456789*#") == ""
}

// callerName keeps of a name what has no meaning to FreeSWITCH: letters,
// digits, spaces, dots, dashes and underscores.
func callerName(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	})
	text := []rune(strings.Join(words, " "))
	return strings.TrimSpace(string(text[:min(len(text), maxName)]))
}

var variableForm = regexp.MustCompile(`^[A-Za-z0-9_]{1,100}$`)

// escape writes all of a value but letters, digits, dots, dashes and
// underscores as %XX.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
