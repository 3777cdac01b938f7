package scheduler_test

import (
	"strings"
	"testing"

	"ringback/scheduler"
)

func TestParseURI(t *testing.T) {
	type uri = scheduler.URI
	for claim, c := range map[string]struct {
		given string
		want  uri // zero: it is none
	}{
		"a name":                    {"sip:anna@pbx.example.com", uri{"anna", "pbx.example.com", 0}},
		"in any case":               {"SIP:Anna@PBX.Example.com", uri{"Anna", "pbx.example.com", 0}},
		"with a port":               {"sip:anna@pbx:5070", uri{"anna", "pbx", 5070}},
		"an IPv4 address":           {"sip:1*2@192.0.2.1:5060", uri{"1*2", "192.0.2.1", 5060}},
		"an IPv6 address":           {"sip:a@[2001:DB8:0::1]:5060", uri{"a", "2001:db8:0::1", 5060}},
		"what is escaped stays so":  {"sip:a%20%22b@pbx", uri{"a%20%22b", "pbx", 0}},
		"all that a user may have":  {"sip:aZ0-_.!~*'()&=+$,/@pbx", uri{"aZ0-_.!~*'()&=+$,/", "pbx", 0}},
		"TLS by scheme":             {"sips:anna@pbx", uri{}},
		"no user":                   {"sip:pbx", uri{}},
		"an empty user":             {"sip:@pbx", uri{}},
		"parameters":                {"sip:anna@pbx;transport=tcp", uri{}},
		"parameters of the user":    {"sip:anna;x=1@pbx", uri{}},
		"headers":                   {"sip:anna@pbx?X-Evil=1", uri{}},
		"a password":                {"sip:anna:secret@pbx", uri{}},
		"two hosts":                 {"sip:anna@pbx@evil", uri{}},
		"a line break":              {"sip:anna@pbx\r\nX-Evil: 1", uri{}},
		"a line break at the end":   {"sip:anna@pbx\n", uri{}},
		"a line break in the user":  {"sip:an\r\nna@pbx", uri{}},
		"an escaped line break":     {"sip:anna%0D%0AX-Evil@pbx", uri{}},
		"an escaped zero":           {"sip:anna%00@pbx", uri{}},
		"an escaped delete":         {"sip:anna%7f@pbx", uri{}},
		"half an escape":            {"sip:anna%2@pbx", uri{}},
		"a blank":                   {"sip:an na@pbx", uri{}},
		"angle brackets":            {"sip:anna>@pbx", uri{}},
		"braces":                    {"sip:{number}@pbx", uri{}},
		"letters beyond ASCII":      {"sip:änna@pbx", uri{}},
		"a host that is none":       {"sip:anna@-pbx..", uri{}},
		"a host with an underscore": {"sip:anna@p_bx", uri{}},
		"an address with a zone":    {"sip:anna@[fe80::1%25eth0]", uri{}},
		"a port that is none":       {"sip:anna@pbx:99999", uri{}},
		"port 0":                    {"sip:anna@pbx:0", uri{}},
		"more than fits":            {"sip:" + strings.Repeat("a", 125) + "@pbx", uri{}},
		"a number":                  {"+390612345678", uri{}},
	} {
		t.Run(claim, func(t *testing.T) {
			got, ok := scheduler.ParseURI(c.given)
			if ok != (c.want != uri{}) || got != c.want {
				t.Errorf("%q is %+v, %t", c.given, got, ok)
			}
		})
	}
}

func TestHostsOfURIs(t *testing.T) {
	u, _ := scheduler.ParseURI("sip:anna@PBX.example.com:5070")
	if !u.Among([]string{"other", "pbx.example.com"}) || u.Among([]string{"example.com"}) || u.Among(nil) {
		t.Error("a host is not found in a list, or in another")
	}
	for given, want := range map[string]bool{"sip:x": true, "SIPS:x": true, "tel:1": false, "101": false, "sipp": false, "": false} {
		if scheduler.LooksLikeURI(given) != want {
			t.Errorf("%q looks like a URI: %t", given, !want)
		}
	}
}

// FuzzParseURI looks for a URI that is taken and is more than a user and a host.
func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"sip:anna@pbx", "sip:a%20@[::1]:5060", "sip:a@b\r\n", "sip:a;b@c", "SIP:1@1.2.3.4:99999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, given string) {
		u, ok := scheduler.ParseURI(given)
		if !ok {
			return
		}
		if strings.ContainsAny(u.User, "@;?<>\"\\ \r\n:{}") || strings.ContainsAny(u.Host, "@;?<>\"\\ \r\n[]%{}") || u.User == "" || u.Host == "" {
			t.Errorf("%q is taken as %+v", given, u)
		}
		for _, r := range given {
			if r <= ' ' || r > '~' {
				t.Errorf("%q is taken", given)
			}
		}
	})
}
