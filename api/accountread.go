package api

import (
	"cmp"
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"github.com/trustelem/zxcvbn"

	"ringback/scheduler"
)

// Limits of an account's fields, in characters.
const (
	maxAccountText  = 255
	maxEmail        = 254 // RFC 5321, section 4.5.3.1.3
	minUsername     = 3
	maxUsername     = 254
	minPassword     = 12
	maxPassword     = 128
	minMobilePhone  = 5
	maxMobilePhone  = 20
	minMobileDigits = 5
	maxWebSite      = 2048
)

// easyGuesses is how many passwords are tried before one that is good enough.
const easyGuesses = 1e6

// accountRequest is what is asked of an account: what it does not name stays.
type accountRequest struct {
	change                    []func(*scheduler.Holder)
	username, email, password string
	zone, javaZone            string // as they are given
	zoned                     bool   // one of them is, or both
	enabled                   *bool
}

// apply changes an account as it is asked for.
func (r *accountRequest) apply(h *scheduler.Holder) {
	for _, change := range r.change {
		change(h)
	}
}

// accountShape is an account in requests that change one, newAccountShape in
// those that make one.
var (
	accountShape = newShape(
		accountText("Address", false, func(h *scheduler.Holder) *string { return &h.Account.Address }),
		accountText("CompanyName", false, func(h *scheduler.Holder) *string { return &h.Account.CompanyName }),
		member[accountRequest]{"Email", "Email", func(d *decoder, r *accountRequest) { r.readEmail(d) }},
		member[accountRequest]{"Username", "Username", func(d *decoder, r *accountRequest) { r.readUsername(d) }},
		accountText("Firstname", true, func(h *scheduler.Holder) *string { return &h.Account.Firstname }),
		member[accountRequest]{"LanguageID", "LanguageID", func(d *decoder, r *accountRequest) {
			id, _ := d.guid()
			r.sets(func(h *scheduler.Holder) { h.Account.LanguageID = id })
		}},
		accountText("Lastname", true, func(h *scheduler.Holder) *string { return &h.Account.Lastname }),
		member[accountRequest]{"MobilePhone", "MobilePhone", func(d *decoder, r *accountRequest) { r.readMobilePhone(d) }},
		member[accountRequest]{"Password", "Password", func(d *decoder, r *accountRequest) { d.text(&r.password) }},
		member[accountRequest]{"TimeZone", "TimeZone", func(d *decoder, r *accountRequest) { r.zone = r.readZone(d) }},
		member[accountRequest]{"TimeZoneInJavaFormat", "TimeZoneInJavaFormat", func(d *decoder, r *accountRequest) { r.javaZone = r.readZone(d) }},
		member[accountRequest]{"WebSite", "WebSite", func(d *decoder, r *accountRequest) { r.readWebSite(d) }},
		member[accountRequest]{"Enabled", "Enabled", func(d *decoder, r *accountRequest) {
			if is, ok := d.truth(); ok {
				r.enabled = &is
			}
		}},
	)
	newAccountShape = accountShape.require("Email", "Username", "Firstname", "Lastname", "Password")
)

// sets notes a change that the request asks for.
func (r *accountRequest) sets(change func(*scheduler.Holder)) { r.change = append(r.change, change) }

// accountText is a member that is a line of text; null and "" clear it, or leave
// it if it is needed.
func accountText(name string, needed bool, of func(*scheduler.Holder) *string) member[accountRequest] {
	return member[accountRequest]{name, name, func(d *decoder, r *accountRequest) {
		if needed && d.blank() {
			d.skip()
			return
		}
		text := d.line(maxAccountText)
		r.sets(func(h *scheduler.Holder) { *of(h) = text })
	}}
}

// line reads a text of at most so many characters that can all be printed.
func (d *decoder) line(most int) string {
	text := ""
	d.text(&text)
	switch n := utf8.RuneCountInString(text); {
	case d.faulty(d.path + d.field):
	case n > most:
		d.fault(fmt.Sprintf("must be at most %d characters long", most))
	case strings.ContainsFunc(text, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t' }):
		d.fault("must not contain control characters")
	}
	return text
}

func (r *accountRequest) readEmail(d *decoder) {
	if d.blank() {
		d.skip()
		return
	}
	r.email = d.line(maxEmail)
	if !d.faulty("Email") && !isEmail(r.email) {
		d.fault("must be an e-mail address, such as name@example.com")
	}
	r.sets(func(h *scheduler.Holder) { h.Account.Email = r.email })
}

// isEmail reports whether s is a plain address (RFC 5322, addr-spec) of a
// domain with a dot.
func isEmail(s string) bool {
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s {
		return false
	}
	domain := s[strings.LastIndexByte(s, '@')+1:]
	first, last, dotted := strings.Cut(domain, ".")
	return dotted && first != "" && last != "" && domain[0] != '[' && !strings.HasSuffix(last, ".")
}

// readUsername reads the name of a user; null and "" leave it. A space within is fine, as the source's
// own sample has it.
func (r *accountRequest) readUsername(d *decoder) {
	if d.blank() {
		d.skip()
		return
	}
	d.text(&r.username)
	n := utf8.RuneCountInString(r.username)
	switch {
	case d.faulty("Username"):
	case n < minUsername || n > maxUsername:
		d.fault(fmt.Sprintf("must be %d to %d characters long", minUsername, maxUsername))
	case strings.TrimSpace(r.username) != r.username || strings.ContainsFunc(r.username, func(c rune) bool { return !unicode.IsPrint(c) }):
		d.fault("must be of printable characters, without space around them")
	}
	r.sets(func(h *scheduler.Holder) { h.User.Username = r.username })
}

func (r *accountRequest) readMobilePhone(d *decoder) {
	number := d.line(1 << 20)
	digits := 0
	for _, c := range number {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if n := utf8.RuneCountInString(number); number != "" && (n < minMobilePhone || n > maxMobilePhone || digits < minMobileDigits) {
		d.fault(fmt.Sprintf("must be %d to %d characters long, with at least %d digits", minMobilePhone, maxMobilePhone, minMobileDigits))
	}
	r.sets(func(h *scheduler.Holder) { h.Account.MobilePhone = number })
}

func (r *accountRequest) readWebSite(d *decoder) {
	site := d.line(maxWebSite)
	if u, err := url.Parse(site); site != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "") {
		d.fault("must be an absolute URL, such as https://www.example.com")
	}
	r.sets(func(h *scheduler.Holder) { h.Account.WebSite = site })
}

// readZone reads the name of a time zone.
func (r *accountRequest) readZone(d *decoder) string {
	name := strings.TrimSpace(d.line(maxAccountText))
	if name != "" && ianaZone(name) == "" && !d.faulty(d.field) {
		d.fault("must be the IANA name of a time zone, such as Europe/Rome, or Windows' name of one")
	}
	r.zoned = true
	return name
}

// ianaZone returns the IANA name of a time zone that may be named as Windows
// does; "" if there is none.
func ianaZone(name string) string {
	for windows, zone := range windowsZones {
		if strings.EqualFold(windows, name) {
			return zone
		}
	}
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		return ""
	}
	return name
}

// chooseZone finds the time zone that is meant: UTC if it is null or "". Two that
// are not the same are refused. Windows has fewer zones, so that one of its own
// only must have the offsets of this year's winter and summer; the other one says
// more, and is kept. Of a stored account the zone is meant that is not what is
// stored: both are told when it is read.
func (r *accountRequest) chooseZone(d *decoder, stored string, now time.Time) {
	if !r.zoned || d.faulty("TimeZone") || d.faulty("TimeZoneInJavaFormat") {
		return
	}
	zone, java := ianaZone(r.zone), ianaZone(r.javaZone)
	switch stored {
	case java:
		java = ""
	case zone:
		zone = ""
	}
	if zone != "" && java != "" && zone != java {
		same := zone != r.zone
		for _, month := range []time.Month{time.January, time.July} {
			same = same && offsetIn(zone, now.Year(), month) == offsetIn(java, now.Year(), month)
		}
		if !same {
			d.faults.Add("TimeZoneInJavaFormat", "must be the same zone as TimeZone")
		}
	}
	chosen := cmp.Or(java, zone)
	if chosen == "" && r.zone == "" && r.javaZone == "" {
		chosen = "UTC"
	}
	r.sets(func(h *scheduler.Holder) { h.Account.TimeZone = cmp.Or(chosen, h.Account.TimeZone) })
}

// offsetIn returns a zone's offset in a month, in seconds.
func offsetIn(zone string, year int, month time.Month) int {
	at, err := time.LoadLocation(zone)
	if err != nil {
		return 0
	}
	_, offset := time.Date(year, month, 15, 12, 0, 0, 0, at).Zone()
	return offset
}

// checkPassword adds what is wrong with a password. One that is well known, or
// made of what is known of its user, is found by how soon it would be guessed.
func checkPassword(faults *scheduler.Faults, password string, known ...string) {
	n := utf8.RuneCountInString(password)
	switch {
	case n < minPassword || n > maxPassword:
		faults.Add("Password", "must be %d to %d characters long", minPassword, maxPassword)
	case zxcvbn.PasswordStrength(firstRunes(password, 2*minPassword), known).Guesses < easyGuesses:
		faults.Add("Password", "is too well known, or too easily guessed")
	}
}

// firstRunes returns the first n characters of s.
func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// readAccount reads and checks an account, of which the time zone is stored.
func readAccount(c echo.Context, me caller, s shape[accountRequest], stored string, now time.Time) (*accountRequest, error) {
	d, err := ask(c, me, "AccountRequest")
	if err != nil {
		return nil, err
	}
	r := &accountRequest{}
	s.read(d, r)
	r.chooseZone(d, stored, now)
	if r.password != "" && !d.faulty("Password") {
		checkPassword(&d.faults, r.password, r.username, r.email)
	}
	return r, d.err()
}
