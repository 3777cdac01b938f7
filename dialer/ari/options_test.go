package ari

import (
	"fmt"
	"strings"
	"testing"

	"ringback/scheduler"
)

func TestOptions(t *testing.T) {
	good := func() Options {
		return Options{
			URL: "http://127.0.0.1:8088/ari", Username: "u", Password: "hush", App: "ringback", Node: "a.b-1",
			Endpoints: map[string]string{"t": "PJSIP/{number}@trunk"},
		}
	}
	for claim, test := range map[string]struct {
		change func(*Options)
		want   string // "": no fault
	}{
		"as it should be":             {func(*Options) {}, ""},
		"a slash at the end":          {func(o *Options) { o.URL += "/" }, ""},
		"no url":                      {func(o *Options) { o.URL = "" }, "url must be"},
		"another scheme":              {func(o *Options) { o.URL = "ws://h/ari" }, "url must be"},
		"a password in the url":       {func(o *Options) { o.URL = "http://u:hush@h/ari" }, "url must have no user"},
		"no app":                      {func(o *Options) { o.App = "" }, "app must be"},
		"an app that is two":          {func(o *Options) { o.App = "a,b" }, "app must be"},
		"a node that is two":          {func(o *Options) { o.Node = "a,b" }, "node must be"},
		"no username":                 {func(o *Options) { o.Username = "" }, "username is required"},
		"a colon in the username":     {func(o *Options) { o.Username = "a:b" }, "username is required and has no colon"},
		"no password":                 {func(o *Options) { o.Password = "" }, "password is required"},
		"an endpoint without number":  {func(o *Options) { o.Endpoints["t"] = "PJSIP/trunk" }, "trunk t: endpoint must have {number}"},
		"an endpoint with two":        {func(o *Options) { o.Endpoints["t"] = "PJSIP/{number}{e164}@t" }, "{number} or {e164} once"},
		"an endpoint of two channels": {func(o *Options) { o.Endpoints["t"] = "PJSIP/{number}@t&PJSIP/1@t" }, "must be a dial string"},
		"an endpoint with a newline":  {func(o *Options) { o.Endpoints["t"] = "PJSIP/{number}@t\n" }, "must be a dial string"},
		"an unknown placeholder":      {func(o *Options) { o.Endpoints["t"] = "PJSIP/{number}@{host}" }, "must be a dial string"},
		"no technology":               {func(o *Options) { o.Endpoints["t"] = "{number}@t" }, "must be a dial string"},
	} {
		t.Run(claim, func(t *testing.T) {
			o := good()
			test.change(&o)
			_, err := o.check()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) || strings.Contains(fmt.Sprint(err), "hush") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	_, err := Options{Endpoints: map[string]string{"t": ""}}.check()
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 6 {
		t.Errorf("of six faults %d are told: %v", n, err)
	}
}

func TestDial(t *testing.T) {
	for claim, test := range map[string]struct{ template, given, e164, want string }{
		"digits alone":                  {"PJSIP/{number}@trunk", "", "+39065551234", "PJSIP/39065551234@trunk"},
		"digits after a plus":           {"PJSIP/{e164}@trunk", "", "+39065551234", "PJSIP/+39065551234@trunk"},
		"a dial string":                 {"PJSIP/{number}@trunk", "*43#", "", "PJSIP/*43#@trunk"},
		"a hash in a SIP URI":           {"PJSIP/trunk/sip:{number}@h:5060", "*43#", "", "PJSIP/trunk/sip:*43%23@h:5060"},
		"no number":                     {"PJSIP/{number}@trunk", "", "", ""},
		"a plus alone":                  {"PJSIP/{number}@trunk", "+", "", ""},
		"a second channel":              {"PJSIP/{number}@trunk", "1&PJSIP/2", "", ""},
		"another endpoint":              {"PJSIP/{number}@trunk", "1@other", "", ""},
		"another context":               {"Local/{number}@out", "1@secret/n", "", ""},
		"a line break":                  {"PJSIP/{number}@trunk", "1\r\nX: y", "", ""},
		"a JSON string":                 {"PJSIP/{number}@trunk", `1","app":"other`, "", ""},
		"a function of the dialplan":    {"PJSIP/{number}@trunk", "${SHELL(id)}", "", ""},
		"letters":                       {"PJSIP/{number}@trunk", "12a", "", ""},
		"more than anyone can dial":     {"PJSIP/{number}@trunk", strings.Repeat("1", 33), "", ""},
		"a placeholder as the number":   {"PJSIP/{number}@trunk", "{e164}", "", ""},
		"digits that are not ASCII":     {"PJSIP/{number}@trunk", "١٢", "", ""},
		"a number that is a whole path": {"PJSIP/{number}@trunk", "../channels", "", ""},
	} {
		t.Run(claim, func(t *testing.T) {
			e, err := parseEndpoint(test.template)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.dial(scheduler.Number{Given: test.given, E164: test.e164})
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestCallerID(t *testing.T) {
	for claim, test := range map[string]struct{ name, number, want string }{
		"name and number":        {"Ringback", "+390655500000", `"Ringback" <+390655500000>`},
		"number alone":           {"", "101", "<101>"},
		"nobody":                 {"Ringback", "", ""},
		"a number of letters":    {"Ringback", "me", ""},
		"a number and more":      {"Ringback", "1>,\"x\" <2", ""},
		"quotes in the name":     {`a" <666> "b`, "1", `"a   666   b" <1>`},
		"a line break in it":     {"a\r\nFrom: b", "1", `"a  From: b" <1>`},
		"a backslash in it":      {`a\`, "1", `"a" <1>`},
		"a name that is long":    {strings.Repeat("é", 99), "1", `"` + strings.Repeat("é", 64) + `" <1>`},
		"bytes that are no text": {"a\xffb", "1", `"a b" <1>`},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := callerID(scheduler.CallerID{Name: test.name, Number: test.number}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzCallerID(f *testing.F) {
	f.Add("a", "1")
	f.Add("a\" <666>", "+1")
	f.Fuzz(func(t *testing.T, name, number string) {
		got := callerID(scheduler.CallerID{Name: name, Number: number})
		if strings.ContainsAny(got, "\r\n\x00\\") || strings.Count(got, "<") > 1 || strings.Count(got, ">") > 1 || strings.Count(got, `"`)%2 != 0 || strings.Count(got, `"`) > 2 {
			t.Errorf("%q <%s> became %q", name, number, got)
		}
	})
}
