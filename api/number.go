package api

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"ringback/scheduler"
)

// Digits of an international number, after the plus (ITU-T E.164).
const (
	minE164 = 7
	maxE164 = 15
)

// minNational is how many digits a national number has at least: shorter ones
// are dial strings, such as the extension 101.
const minNational = 7

var (
	errNumber    = errors.New("must be a phone number in international form, such as +390612345678, or a dial string of 2 to 15 digits")
	errPossible  = errors.New("is not a possible phone number")
	errExtension = errors.New("must not have an extension")
)

// What is wrong with a SIP URI.
var (
	errURI     = notAllowed("must not be a SIP URI: no trunk takes its host")
	errURIForm = notAllowed(fmt.Sprintf("must be a SIP URI such as sip:anna@pbx.example or sip:anna@pbx.example:5070, of at most %d characters, without parameters",
		scheduler.MaxURI))
)

func notAllowed(why string) *scheduler.Error {
	return &scheduler.Error{Kind: scheduler.Invalid, Status: "destination_not_allowed", Message: why}
}

// numbers reads destinations. A number must be possible by the numbering plan
// of its country, not assigned.
type numbers struct {
	region   string // of national numbers (ISO 3166-1 alpha-2); "" takes none
	plans    map[string]plan
	uriHosts []string // of SIP URIs that a trunk takes
}

// plan is what the international numbers of a calling code are checked by
// without the library, which takes ten microseconds a number.
type plan struct {
	lengths uint32         // bit n: n digits after the calling code are possible
	prefix  string         // national prefix, if it is plain digits
	pattern *regexp.Regexp // national prefix, if it is not
}

// in returns the numbers as they are read for a client whose own region is
// given; "" leaves that of the system.
func (n *numbers) in(region string) *numbers {
	if region == "" || region == n.region {
		return n
	}
	return &numbers{region: region, plans: n.plans, uriHosts: n.uriHosts}
}

// newNumbers reads the plans of all calling codes from the library.
func newNumbers(region string, uriHosts ...string) *numbers {
	n := &numbers{region: region, plans: map[string]plan{}, uriHosts: uriHosts}
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		return n // every number takes the long way
	}
	for _, m := range all.GetMetadata() {
		code := int(m.GetCountryCode())
		if main := phonenumbers.GetRegionCodeForCountryCode(code); m.GetId() != main {
			continue
		}
		n.plans[strconv.Itoa(code)] = newPlan(m)
	}
	return n
}

func newPlan(m *phonenumbers.PhoneMetadata) plan {
	var p plan
	general := m.GetGeneralDesc()
	if general.GetNationalNumberPattern() == "" {
		return p
	}
	for _, n := range general.GetPossibleLength() {
		if n > 0 {
			p.lengths |= 1 << n
		}
	}
	switch prefix := m.GetNationalPrefixForParsing(); {
	case strings.Trim(prefix, "0123456789") == "":
		p.prefix = prefix
	default:
		p.pattern = regexp.MustCompile("^(?:" + prefix + ")")
	}
	return p
}

// plain reports whether national digits stay as they are: of a possible
// length, and with nothing in front that could be a national prefix.
func (p plan) plain(national string) bool {
	switch {
	case p.lengths&(1<<len(national)) == 0:
		return false
	case p.pattern != nil:
		return !p.pattern.MatchString(national)
	}
	return p.prefix == "" || !strings.HasPrefix(national, p.prefix)
}

// destination returns the E.164 form of what is to be called; "" for a dial
// string, and for a SIP URI whose host a trunk takes.
func (n *numbers) destination(given string) (string, error) {
	if !scheduler.LooksLikeURI(given) {
		return n.parse(given)
	}
	uri, ok := scheduler.ParseURI(given)
	switch {
	case !ok:
		return "", errURIForm
	case !uri.Among(n.uriHosts):
		return "", errURI
	}
	return "", nil
}

// parse returns the E.164 form of a number; "" for a dial string.
func (n *numbers) parse(given string) (string, error) {
	if n.plain(given) {
		return given, nil
	}
	if len(given) > 64 {
		return "", errNumber
	}
	if dialString(given) && (n.region == "" || len(given) < minNational || strings.ContainsAny(given, "*#")) {
		return "", nil
	}
	if given == "" || given[0] != '+' && n.region == "" || strings.Trim(given, "+0123456789 -.()/") != "" {
		return "", errNumber
	}
	e164, err := n.long(given)
	if err != nil && dialString(given) {
		return "", nil
	}
	return e164, err
}

// plain reports whether a number is in international form already, and
// possible; false may also mean that the library must say.
func (n *numbers) plain(given string) bool {
	if len(given) < 1+minE164 || len(given) > 1+maxE164 || given[0] != '+' {
		return false
	}
	for i := 1; i < len(given); i++ {
		if given[i] < '0' || given[i] > '9' {
			return false
		}
	}
	for code := 1; code <= 3; code++ {
		if p, ok := n.plans[given[1:1+code]]; ok {
			return p.plain(given[1+code:])
		}
	}
	return false
}

// long asks the library.
func (n *numbers) long(given string) (string, error) {
	number, err := phonenumbers.Parse(given, n.region)
	switch {
	case err != nil:
		return "", errNumber
	case number.GetExtension() != "":
		return "", errExtension
	case phonenumbers.IsPossibleNumberWithReason(number) != phonenumbers.IS_POSSIBLE:
		return "", errPossible
	}
	e164 := phonenumbers.Format(number, phonenumbers.E164)
	if len(e164) > 1+maxE164 {
		return "", errPossible
	}
	return e164, nil
}

// dialString reports whether a destination is passed to the trunk as it is.
func dialString(s string) bool {
	return len(s) >= 2 && len(s) <= 15 && strings.Trim(s, "0123456789*#") == ""
}
