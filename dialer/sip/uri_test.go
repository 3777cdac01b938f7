package sip

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	msg "github.com/emiago/sipgo/sip"

	"ringback/dialer"
	"ringback/scheduler"
)

func TestEndpoint(t *testing.T) {
	rome := scheduler.Number{Given: "06 1234", E164: "+39061234"}
	for claim, c := range map[string]struct {
		template string
		number   scheduler.Number
		want     string
		fault    string
	}{
		"digits only":                        {"sip:{number}@sip.example.net:5070;transport=udp", rome, "sip:39061234@sip.example.net:5070;transport=udp", ""},
		"with the +":                         {"sip:{e164}@sip.example.net;user=phone", rome, "sip:+39061234@sip.example.net;user=phone", ""},
		"a tech prefix":                      {"sip:99*{number}@10.0.0.1", rome, "sip:99*39061234@10.0.0.1", ""},
		"IPv6":                               {"sip:{number}@[2001:db8::1]:5060", rome, "sip:39061234@[2001:db8::1]:5060", ""},
		"a dial string as it is":             {"sip:{number}@pbx", scheduler.Number{Given: "*101#"}, "sip:*101%23@pbx", ""},
		"a dial string has no +":             {"sip:{e164}@pbx", scheduler.Number{Given: "101"}, "sip:101@pbx", ""},
		"a SIP URI as it is":                 {"sip:{number}@pbx;transport=tcp", scheduler.Number{Given: "sip:an%20na@[2001:DB8::1]:5070"}, "sip:an%20na@[2001:db8::1]:5070", ""},
		"a SIP URI with more in it":          {"sip:{number}@pbx", scheduler.Number{Given: "sip:a@b;x=1"}, "", "cannot be dialled"},
		"a SIP URI with a line break":        {"sip:{number}@pbx", scheduler.Number{Given: "sip:a@b\r\nX: 1"}, "", "cannot be dialled"},
		"letters in a number":                {"sip:{number}@pbx", scheduler.Number{Given: "call me"}, "", "cannot be dialled"},
		"a line break in a number":           {"sip:{number}@pbx", scheduler.Number{E164: "+39\r\nX: 1"}, "", "cannot be dialled"},
		"a second + in a number":             {"sip:{number}@pbx", scheduler.Number{E164: "++39"}, "", "cannot be dialled"},
		"nothing":                            {"", rome, "", "required"},
		"no placeholder":                     {"sip:101@pbx", rome, "", "{number} or {e164} once"},
		"the placeholder twice":              {"sip:{number}{number}@pbx", rome, "", "{number} or {e164} once"},
		"the placeholder in the wrong place": {"sip:x@{number}", rome, "", "host"},
		"an unknown placeholder":             {"sip:{number}{x}@pbx", rome, "", "unknown placeholder"},
		"another scheme":                     {"tel:{number}", rome, "", "sip: URI"},
		"TLS":                                {"sips:{number}@pbx", rome, "", "sip: URI"},
		"TCP":                                {"sip:{number}@pbx;transport=tcp", rome, "sip:39061234@pbx;transport=tcp", ""},
		"another transport":                  {"sip:{number}@pbx;transport=sctp", rome, "", "udp, tcp and tls"},
		"a password":                         {"sip:{number}:secret@pbx", rome, "", "password"},
		"headers":                            {"sip:{number}@pbx?X-Evil=1", rome, "", "headers"},
		"no host":                            {"sip:{number}@", rome, "", "host"},
		"a port that is none":                {"sip:{number}@pbx:99999", rome, "", "port"},
		"a line break":                       {"sip:{number}@pbx\r\nX: 1", rome, "", "printable"},
	} {
		t.Run(claim, func(t *testing.T) {
			e, err := parseEndpoint(c.template)
			var u msg.Uri
			if err == nil {
				u, err = e.uri(c.number)
			}
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("error %v, want one about %q", err, c.fault)
				}
				return
			}
			if got := u.String(); err != nil || got != c.want {
				t.Errorf("got %q %v, want %q", got, err, c.want)
			}
		})
	}
}

// FuzzInvite looks for a number or a caller that breaks out of its place.
func FuzzInvite(f *testing.F) {
	f.Add("+390612345", "Rossi", "+39333")
	f.Add("*101#", "\"\\\r\n\x00\xff", "1\r\nX-Evil: 1")
	f.Add("1@evil", "a>b<c;d,e", "<sip:x@y>;tag=1")
	f.Add("sip:anna%22@192.0.2.1", "", "")
	e, err := parseEndpoint("sip:{number}@192.0.2.1:5060;transport=udp")
	if err != nil {
		f.Fatal(err)
	}
	d := &trunk{station: &station{over: overUDP}}
	parser := msg.NewParser()
	f.Fuzz(func(t *testing.T, number, name, caller string) {
		uri, err := e.uri(scheduler.Number{Given: number})
		if err != nil {
			return
		}
		o := dialer.Originate{ID: "id", Caller: scheduler.CallerID{Name: name, Number: caller}}
		text := d.newInvite(uri, o, []byte("v=0\r\n")).String()
		parsed, err := parser.ParseSIP([]byte(text))
		if err != nil {
			t.Fatalf("%v of\n%s", err, text)
		}
		req := parsed.(*msg.Request)
		if got := len(req.Headers()); got != 14 {
			t.Errorf("%d headers in\n%s", got, text)
		}
		if as, ok := scheduler.ParseURI(number); ok {
			if req.Recipient.User != as.User || strings.Trim(req.Recipient.Host, "[]") != as.Host || req.To().Address.User != as.User {
				t.Errorf("%q is called as %s", number, req.Recipient.String())
			}
		} else if req.Recipient.Host != "192.0.2.1" || req.To().Address.Host != "192.0.2.1" {
			t.Errorf("goes to %s", req.Recipient.String())
		}
		if strings.ContainsFunc(strings.ReplaceAll(text, "\r\n", ""), unicode.IsControl) || !utf8.ValidString(text) {
			t.Errorf("control characters in\n%q", text)
		}
	})
}

func TestDisplayName(t *testing.T) {
	for claim, c := range map[string]struct{ in, want string }{
		"plain":                        {"Rossi", "Rossi"},
		"quotes and backslashes":       {`a"b\c`, `a\"b\\c`},
		"line breaks become blanks":    {"a\r\nb", "a  b"},
		"broken UTF-8 becomes a blank": {"a\xffb", "a b"},
		"cut at 64 characters":         {strings.Repeat("è", 100), strings.Repeat("è", 64)},
		"blanks around it go":          {" a ", "a"},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := displayName(c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseReason(t *testing.T) {
	for claim, c := range map[string]struct {
		headers []string
		want    int
	}{
		"plain":                            {[]string{"Q.850;cause=17"}, 17},
		"in any case and with blanks":      {[]string{` q.850 ; text="x" ; CAUSE = 20 `}, 20},
		"after another protocol":           {[]string{`SIP;cause=600;text="a, b", Q.850;cause=21`}, 21},
		"in a second header":               {[]string{"SIP;cause=600", "Q.850;cause=1"}, 1},
		"not inside a quoted text":         {[]string{`SIP;text="x, Q.850;cause=9"`}, 0},
		"an escaped quote stays quoted":    {[]string{`SIP;text="\", Q.850;cause=9"`}, 0},
		"no number":                        {[]string{"Q.850;cause=busy"}, 0},
		"a cause that Q.850 cannot have":   {[]string{"Q.850;cause=4711"}, 0},
		"without any header there is none": {nil, 0},
	} {
		t.Run(claim, func(t *testing.T) {
			res := msg.NewResponse(480, "x")
			for _, h := range c.headers {
				res.AppendHeader(msg.NewHeader("Reason", h))
			}
			if got, _ := parseReason(res); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
