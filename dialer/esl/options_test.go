package esl

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"ringback/dialer"
	"ringback/dialer/esl/esltest"
	"ringback/scheduler"
)

func TestOptions(t *testing.T) {
	good := func() Options {
		return Options{
			Address: "127.0.0.1:8021", Password: "hush", Node: "a.b-1",
			Endpoints: map[string]string{"t": "sofia/gateway/carrier/{number}"},
		}
	}
	for claim, test := range map[string]struct {
		change func(*Options)
		want   string // "": no fault
	}{
		"as it should be":                 {func(*Options) {}, ""},
		"a name and IPv6":                 {func(o *Options) { o.Address = "[::1]:8021" }, ""},
		"a registered phone":              {func(o *Options) { o.Endpoints["t"] = "user/{number}@example.net" }, ""},
		"a SIP URI":                       {func(o *Options) { o.Endpoints["t"] = "sofia/external/{e164}@192.0.2.1:5060;transport=tcp" }, ""},
		"no address":                      {func(o *Options) { o.Address = "" }, "address must be"},
		"no port":                         {func(o *Options) { o.Address = "127.0.0.1" }, "address must be"},
		"no host":                         {func(o *Options) { o.Address = ":8021" }, "address must be"},
		"a port that is none":             {func(o *Options) { o.Address = "h:70000" }, "address must be"},
		"no password":                     {func(o *Options) { o.Password = "" }, "password is required"},
		"a password that is a command":    {func(o *Options) { o.Password = "hush\n\napi shutdown" }, "password is required and is one line"},
		"a node that is two settings":     {func(o *Options) { o.Node = "a,b=c" }, "node must be"},
		"an endpoint without number":      {func(o *Options) { o.Endpoints["t"] = "sofia/gateway/x/1" }, "trunk t: endpoint must have {number}"},
		"an endpoint with two":            {func(o *Options) { o.Endpoints["t"] = "sofia/gateway/x/{number}{e164}" }, "{number} or {e164} once"},
		"two endpoints, one at a time":    {func(o *Options) { o.Endpoints["t"] = "user/{number}|user/1" }, "must be one dial string"},
		"two endpoints, at the same time": {func(o *Options) { o.Endpoints["t"] = "user/{number},user/1" }, "must be one dial string"},
		"two endpoints of an enterprise":  {func(o *Options) { o.Endpoints["t"] = "user/{number}:_:user/1" }, "must be one dial string"},
		"settings of its own":             {func(o *Options) { o.Endpoints["t"] = "{x=y}user/{number}" }, "must be one dial string"},
		"settings of the leg":             {func(o *Options) { o.Endpoints["t"] = "[x=y]user/{number}" }, "must be one dial string"},
		"a variable":                      {func(o *Options) { o.Endpoints["t"] = "user/{number}@${domain}" }, "must be one dial string"},
		"a line break":                    {func(o *Options) { o.Endpoints["t"] = "user/{number}\n" }, "must be one dial string"},
		"a space":                         {func(o *Options) { o.Endpoints["t"] = "user/{number} &echo" }, "must be one dial string"},
		"sounds of its own":               {func(o *Options) { o.Sounds = map[string]string{"t": "/usr/share/sounds"} }, ""},
		"sounds that are a command":       {func(o *Options) { o.Sounds = map[string]string{"t": "/x y"} }, "trunk t: sounds must be"},
		"no module":                       {func(o *Options) { o.Endpoints["t"] = "{number}@h" }, "must be one dial string"},
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
	_, err := New(Options{Endpoints: map[string]string{"t": ""}})
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 4 {
		t.Errorf("of four faults %d are told: %v", n, err)
	}
}

func TestDial(t *testing.T) {
	const gateway, phone, direct = "sofia/gateway/x/{number}", "user/{number}@h", "sofia/external/{number}@h"
	for claim, test := range map[string]struct{ template, given, e164, want string }{
		"digits alone":                  {gateway, "", "+39065551234", "sofia/gateway/x/39065551234"},
		"digits after a plus":           {"sofia/gateway/x/{e164}", "", "+39065551234", "sofia/gateway/x/+39065551234"},
		"an extension":                  {phone, "101", "", "user/101@h"},
		"a hash by way of a gateway":    {gateway, "*43#", "", "sofia/gateway/x/*43%23"},
		"a hash to a phone":             {phone, "*43#", "", "user/*43#@h"},
		"a hash where % parts":          {direct, "*43#", "", ""},
		"no number":                     {gateway, "", "", ""},
		"a plus alone":                  {gateway, "+", "", ""},
		"a second endpoint":             {gateway, "1,user/2", "", ""},
		"another one after it":          {gateway, "1|user/2", "", ""},
		"an enterprise":                 {gateway, "1:_:user/2", "", ""},
		"settings":                      {gateway, "[api_on_answer=fsctl]1", "", ""},
		"settings for all":              {gateway, "{api_on_answer=fsctl}1", "", ""},
		"settings with a mark of parts": {gateway, "^^:a=b:1", "", ""},
		"another host":                  {gateway, "1@other", "", ""},
		"another application":           {gateway, "1 &system(id)", "", ""},
		"a line break":                  {gateway, "1\r\n\r\napi shutdown", "", ""},
		"a quote":                       {gateway, "1'", "", ""},
		"a variable":                    {gateway, "${system(id)}", "", ""},
		"letters":                       {gateway, "12a", "", ""},
		"more than anyone can dial":     {gateway, strings.Repeat("1", 33), "", ""},
		"a placeholder as the number":   {gateway, "{e164}", "", ""},
		"digits that are not ASCII":     {gateway, "١٢", "", ""},
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

func TestCaller(t *testing.T) {
	for claim, test := range map[string]struct{ name, number, want string }{
		"name and number":        {"Ringback", "+390655500000", "origination_caller_id_number=+390655500000,origination_caller_id_name='Ringback'"},
		"number alone":           {"", "101", "origination_caller_id_number=101"},
		"a name of two words":    {"Acme S.p.A.", "1", "origination_caller_id_number=1,origination_caller_id_name='Acme S.p.A.'"},
		"nobody":                 {"Ringback", "", ""},
		"a number of letters":    {"Ringback", "me", ""},
		"a number and more":      {"", "1,api_on_answer=x", ""},
		"a quote in the name":    {"a',b='c", "1", "origination_caller_id_number=1,origination_caller_id_name='a b c'"},
		"braces in it":           {"a}user/1", "1", "origination_caller_id_number=1,origination_caller_id_name='a user 1'"},
		"a line break in it":     {"a\r\n\r\napi x", "1", "origination_caller_id_number=1,origination_caller_id_name='a api x'"},
		"a variable in it":       {"${system(id)}", "1", "origination_caller_id_number=1,origination_caller_id_name='system id'"},
		"a backslash in it":      {`a\`, "1", "origination_caller_id_number=1,origination_caller_id_name='a'"},
		"nothing that stays":     {"'{}'", "1", "origination_caller_id_number=1"},
		"a name that is long":    {strings.Repeat("é", 99), "1", "origination_caller_id_number=1,origination_caller_id_name='" + strings.Repeat("é", 64) + "'"},
		"bytes that are no text": {"a\xffb", "1", "origination_caller_id_number=1,origination_caller_id_name='a b'"},
	} {
		t.Run(claim, func(t *testing.T) {
			got := strings.Join(callerSettings(scheduler.CallerID{Name: test.name, Number: test.number}), ",")
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// FuzzOriginate: whatever a task holds, FreeSWITCH reads the settings that are
// meant and no others.
func FuzzOriginate(f *testing.F) {
	for _, s := range []string{"", "a", "O'Neill", "}user/1", "a,b=c", "^^:a=b", "[x=y]", "\r\n\r\napi x", "1|2", "&park()", "${x}", "\\", "%27", "'", "`id`", "\x00", "é"} {
		f.Add(s, s, s, s)
		f.Add("Ringback", "+39", "order", s)
		f.Add(s, "1", "0", s)
	}
	f.Fuzz(func(t *testing.T, name, number, variable, value string) {
		o := dialer.Originate{
			ID: "0123456789abcdef0123456789abcdef-a1.2", Caller: scheduler.CallerID{Name: name, Number: number},
			Variables: map[string]string{variable: value},
		}
		dial, err := endpoint("sofia/gateway/x/{number}").dial(scheduler.Number{Given: number})
		if err != nil {
			dial = "user/1"
		}
		command := originateCommand("desk", dial, o)
		if strings.ContainsAny(command, "\r\n\x00") {
			t.Fatalf("more than one line: %q", command)
		}
		got, to, fault := esltest.ParseOriginate(strings.TrimPrefix(command, "originate "))
		if fault != "" || to != dial {
			t.Fatalf("%q: %s, to %q", command, fault, to)
		}
		want := []string{
			"hangup_after_bridge", "ignore_early_media", "loopback_bowout", "originate_timeout", "origination_caller_id_name", "origination_caller_id_number",
			"origination_uuid", "park_after_bridge", "ringback_node",
		}
		if got["ringback_node"] != "desk" || got["origination_uuid"] != string(o.ID) || got["ignore_early_media"] != "true" {
			t.Fatalf("%q: read as %v", command, got)
		}
		if written, ok := got["ringback_var_"+variable]; ok {
			if read, err := url.PathUnescape(written); err != nil || read != value {
				t.Fatalf("%q is read as %q, %v", value, read, err)
			}
			want = append(want, "ringback_var_"+variable)
		}
		for key := range maps.Keys(got) {
			if !slices.Contains(want, key) {
				t.Fatalf("%q: %s is set, too", command, key)
			}
		}
	})
}

// TestOneLine: the last guard, whatever passed the others.
func TestOneLine(t *testing.T) {
	for _, line := range []string{"api x\n\napi y", "api x\r", "\x00"} {
		if _, err := (&conn{}).send(line); !errors.Is(err, errUnsent) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// FuzzRead: whatever FreeSWITCH says, reading it ends, with what is bounded.
func FuzzRead(f *testing.F) {
	f.Add("Content-Type: auth/request\n\n")
	f.Add("Content-Length: 9\nContent-Type: text/event-plain\n\nA: b%20c\n\nx")
	f.Add("Content-Length: 999\n\n")
	f.Add("\n\n\n: \n\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := newReader(strings.NewReader(text))
		for {
			m, err := r.next()
			if err != nil {
				return
			}
			if len(m.body) > len(text) || len(m.head) == 0 {
				t.Fatalf("read %+v", m)
			}
			e := parseEvent(m.body)
			for name := range e.fields {
				_ = e.get(name)
				_ = e.number(name)
			}
			_ = (&leg{}).verdict(hangupOf(e))
		}
	})
}
