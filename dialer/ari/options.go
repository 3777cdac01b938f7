package ari

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"ringback/scheduler"
)

// Options are an Asterisk as it is configured.
type Options struct {
	URL      string // of its ARI, such as http://127.0.0.1:8088/ari
	Username string
	Password string
	App      string // the Stasis application, without the node
	Node     string // of ours; two nodes in one application would throw each other out
	// Endpoints are dial strings by trunk, such as "PJSIP/{number}@trunk";
	// {number} is replaced by the digits, {e164} by them with a leading +.
	Endpoints map[string]string
	// Sounds are the directories by trunk in which Asterisk finds the sounds;
	// without one it finds them where we do.
	Sounds map[string]string
	// KeepLeft leaves what a former life left as it is until Sweep.
	KeepLeft bool
	Log      *slog.Logger // nil: nothing is logged
}

// settings are options that were understood.
type settings struct {
	base      *url.URL
	app       string
	endpoints map[string]endpoint
	log       *slog.Logger
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// check reads the options and returns every fault of them.
func (o Options) check() (settings, error) {
	s := settings{app: o.App + "-" + o.Node, endpoints: map[string]endpoint{}, log: o.Log}
	var faults []error
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	var err error
	s.base, err = parseURL(o.URL)
	fault(err)
	for field, name := range map[string]string{"app": o.App, "node": o.Node} {
		if !nameForm.MatchString(name) {
			fault(fmt.Errorf("%s must be 1 to 64 letters, digits, dots, dashes or underscores", field))
		}
	}
	if o.Username == "" || strings.Contains(o.Username, ":") {
		fault(errors.New("username is required and has no colon"))
	}
	if o.Password == "" {
		fault(errors.New("password is required"))
	}
	for _, trunk := range slices.Sorted(maps.Keys(o.Endpoints)) {
		if s.endpoints[trunk], err = parseEndpoint(o.Endpoints[trunk]); err != nil {
			fault(fmt.Errorf("trunk %s: endpoint %w", trunk, err))
		}
	}
	if len(faults) > 0 {
		return s, errors.Join(faults...)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.log = s.log.With("url_host", s.base.Host)
	return s, nil
}

// parseURL never repeats the text: it may hold a password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("url must be http:// or https:// and a host, such as http://127.0.0.1:8088/ari")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("url must have no user, query or fragment: username and password are settings of their own")
	}
	return u, nil
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

// endpoint is a dial string of Asterisk with a place for the number.
type endpoint string

var endpointForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*/[A-Za-z0-9._:;=@/+*#\[\]-]+$`)

// parseEndpoint reads a template such as "PJSIP/{number}@trunk" or
// "PJSIP/trunk/sip:{number}@192.0.2.1".
func parseEndpoint(s string) (endpoint, error) {
	bare := strings.NewReplacer(placeNumber, "1", placeE164, "1").Replace(s)
	switch {
	case strings.Count(s, placeNumber)+strings.Count(s, placeE164) != 1:
		return "", errors.New("must have {number} or {e164} once, such as PJSIP/{number}@trunk")
	case !endpointForm.MatchString(bare):
		return "", errors.New("must be a dial string of Asterisk, technology/resource, such as PJSIP/{number}@trunk")
	}
	return endpoint(s), nil
}

// dial returns the dial string for a number. A # in a SIP URI is escaped (RFC
// 3261, section 19.1.2); nothing else that a number may have needs that.
func (e endpoint) dial(n scheduler.Number) (string, error) {
	full := n.Dial()
	digits := strings.TrimPrefix(full, "+")
	if digits == "" || len(digits) > maxNumber || strings.Trim(digits, "0123456789*#") != "" {
		return "", errors.New("the number has characters that cannot be dialled")
	}
	if strings.Contains(string(e), "sip:") {
		digits, full = strings.ReplaceAll(digits, "#", "%23"), strings.ReplaceAll(full, "#", "%23")
	}
	return strings.NewReplacer(placeNumber, digits, placeE164, full).Replace(string(e)), nil
}

// callerID returns "name" <number> as Asterisk reads it: of the number only
// what can be dialled, of the name only what is printed and has no meaning to
// Asterisk. "" leaves the caller to Asterisk's own settings.
func callerID(c scheduler.CallerID) string {
	number := c.Number
	digits := strings.TrimPrefix(number, "+")
	if digits == "" || len(digits) > maxNumber || strings.Trim(digits, "0123456789*#") != "" {
		return ""
	}
	name := []rune(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) || strings.ContainsRune("\"<>\\", r) {
			return ' '
		}
		return r
	}, c.Name))
	text := strings.TrimSpace(string(name[:min(len(name), maxName)]))
	if text == "" {
		return "<" + number + ">"
	}
	return `"` + text + `" <` + number + ">"
}
