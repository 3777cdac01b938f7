package webhooks_test

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"ringback/webhooks"
)

// everything is an operator who allows all there is.
var everything = webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}

// inward are URLs that lead into the operator's own network.
var inward = []string{
	"http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://a.localhost/", "http://localhost.localdomain/",
	"http://127.0.0.1/", "http://127.0.0.1:8080/", "http://127.0.0.1#@example.com/", "https://127.1.2.3/", "http://0.0.0.0/", "http://0.1.2.3/",
	"http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://100.64.0.1/",
	"http://192.0.2.1/", "http://198.18.0.1/", "http://198.51.100.1/", "http://203.0.113.9/", "http://224.0.0.1/",
	"http://240.0.0.1/", "http://255.255.255.255/", "http://192.0.0.1/", "http://192.88.99.1/",
	"http://[::]/", "http://[::1]/", "http://[::1]:80/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/",
	"http://[::ffff:7f00:1]/", "http://[::ffff:10.0.0.1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
	"http://[2002:7f00:1::]/", "http://[2001::1]/", "http://[2001:db8::1]/", "http://[3fff::1]/", "http://[fc00::1]/",
	"http://[fd12:3456::1]/", "http://[ff02::1]/", "http://[FD00::1]/", "http://[fec0::1]/", "http://[100::1]/",
	"http://[::ffff:0:7f00:1]/", "http://[64:ff9b:1::1]/",
}

// forbidden are URLs that no setting allows.
var forbidden = []string{
	"http://169.254.169.254/", "http://169.254.169.254/latest/meta-data/", "http://169.254.0.1/", "http://[fe80::1]/",
	"http://[fe80::1%25eth0]/", "http://[febf::1]/", "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/",
	"http://168.63.129.16/", "http://100.100.100.200/", "http://192.0.0.192/", "http://[fd00:ec2::254]/", "http://[fd20:ce::254]/",
	"http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::1]/", "http://[::169.254.169.254]/",
	"http://metadata.google.internal/", "http://METADATA.google.internal./", "http://metadata.goog/",
}

// malformed are what is no receiver's URL at all, addresses in disguise among
// them.
var malformed = []string{
	"", " ", "example.com", "//example.com/", "/hook", "http:/example.com", "http:example.com", "http://", "http:///hook", "https://:443/",
	"ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "mailto:a@example.com", "ws://example.com/",
	"http://user@example.com/", "http://user:secret@example.com/", "http://@example.com/", "http://:@example.com/",
	"http://example.com@127.0.0.1/", "http://example.com:0/", "http://example.com:65536/",
	"http://example.com:99999999999999999999/", "http://example.com:http/", "http://example.com:-1/",
	"http://2130706433/", "http://0x7f000001/", "http://0X7F000001/", "http://017700000001/", "http://127.1/", "http://127.0.1/",
	"http://0177.0.0.1/", "http://0x7f.0.0.1/", "http://127.0.0.0x1/", "http://127.0.0.01/", "http://127.000.000.001/", "http://127.0.0.1./",
	"http://256.0.0.1/", "http://1.2.3/", "http://0/", "http://1/", "http://[127.0.0.1]/", "http://[::1/", "http://::1/",
	"http://①②⑦.⓪.⓪.①/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://bücher.example/", "http://ex%61mple.com/",
	"http://exa mple.com/", "http://exam\tple.com/", "http://example.com\r\n/", "http://exam\x00ple.com/", "http://example..com/",
	"http://.example.com/", "http://-example.com/", "http://example-.com/", "http://example.com../", "http://*.example.com/",
	"http://" + strings.Repeat("a", 64) + ".com/", "http://" + strings.Repeat("a.", 127) + "com/", "http://example.com%00.internal/",
}

// good are URLs of receivers.
var good = []string{
	"http://example.com", "https://example.com/", "HTTPS://EXAMPLE.COM/Hook", "https://example.com:8443/hook?x=1&y=2", "http://example.com./",
	"https://xn--bcher-kva.example/", "https://a.b.c.d.example.co.uk/", "http://receiver:8080/", "http://my_receiver/", "http://1e100.net/",
	"http://127.0.0.1.nip.io/", "http://8.8.8.8/", "http://[2606:4700:4700::1111]/", "http://[2606:4700:4700::1111]:8080/", "http://[::ffff:8.8.8.8]/",
	"https://example.com/a%20b/ü?q=%00#fragment", "http://localhost.example.com/", "http://notlocalhost/", "https://example.com:/hook",
}

func TestCheckURL(t *testing.T) {
	for name, c := range map[string]struct {
		guard webhooks.Guard
		urls  []string
		want  string // in the error; "" for none
	}{
		"a receiver on the internet is taken":                  {webhooks.Guard{}, good, ""},
		"an inward one is refused, with the setting's name":    {webhooks.Guard{}, inward, "RINGBACK_WEBHOOK_ALLOW_CIDRS"},
		"an inward one that is allowed is taken":               {everything, inward, ""},
		"link-local and metadata are refused":                  {webhooks.Guard{}, forbidden, "no setting allows"},
		"even when they are allowed":                           {everything, forbidden, "no setting allows"},
		"what is no plain URL is refused":                      {webhooks.Guard{}, malformed, "must "},
		"even when everything is allowed, and in any disguise": {everything, malformed, "must "},
	} {
		t.Run(name, func(t *testing.T) {
			for _, u := range c.urls {
				err := c.guard.CheckURL(u)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%q: %v", u, err)
				}
				if err != nil && (!strings.HasPrefix(err.Error(), "must ") || strings.Contains(err.Error(), "secret")) {
					t.Errorf("%q: the sentence reads %q", u, err)
				}
			}
		})
	}
}

func TestAllowOpensNothingElse(t *testing.T) {
	g := webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	for u, ok := range map[string]bool{
		"http://10.1.2.3/": true, "http://[::ffff:10.1.2.3]/": true, "http://10.2.0.1/": false, "http://127.0.0.1/": false,
		"http://localhost/": false, "http://[::1]/": false,
	} {
		if err := g.CheckURL(u); (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
	loopback6 := webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
	if err := loopback6.CheckURL("http://localhost/"); err != nil {
		t.Errorf("localhost with ::1 allowed: %v", err)
	}
}

func TestControl(t *testing.T) {
	loopback := webhooks.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	for name, c := range map[string]struct {
		guard            webhooks.Guard
		network, address string
		ok               bool
	}{
		"the internet":                      {webhooks.Guard{}, "tcp4", "8.8.8.8:443", true},
		"the internet on any port":          {webhooks.Guard{}, "tcp6", "[2606:4700:4700::1111]:8443", true},
		"loopback":                          {webhooks.Guard{}, "tcp4", "127.0.0.1:80", false},
		"loopback, mapped":                  {webhooks.Guard{}, "tcp6", "[::ffff:127.0.0.1]:80", false},
		"loopback, allowed":                 {loopback, "tcp4", "127.0.0.1:80", true},
		"loopback, allowed and mapped":      {loopback, "tcp6", "[::ffff:127.0.0.1]:80", true},
		"a private network":                 {loopback, "tcp4", "192.168.0.1:80", false},
		"metadata, allowed":                 {everything, "tcp4", "169.254.169.254:80", false},
		"link-local with a zone":            {everything, "tcp6", "[fe80::1%eth0]:80", false},
		"NAT64 of metadata, allowed":        {everything, "tcp6", "[64:ff9b::a9fe:a9fe]:80", false},
		"an IPv6 address with a zone, else": {webhooks.Guard{}, "tcp6", "[fc00::1%eth0]:80", false},
		"no TCP":                            {everything, "udp4", "8.8.8.8:53", false},
		"a socket of the file system":       {everything, "unix", "/run/x.sock", false},
		"what is no address":                {everything, "tcp4", "example.com:80", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.guard.Control(c.network, c.address, nil)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, webhooks.ErrBlockedAddress) {
				t.Error(err)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.com/hook?x=1":   "https://example.com:443",
		"HTTPS://Example.COM:443/other":  "https://example.com:443",
		"http://example.com./":           "http://example.com:80",
		"http://example.com:/":           "http://example.com:80",
		"http://example.com:8080/":       "http://example.com:8080",
		"http://[2001:DB8::1]/":          "http://[2001:db8::1]:80",
		"http://[2001:db8::1]:8080/path": "http://[2001:db8::1]:8080",
	} {
		if got := webhooks.Origin(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

// What is taken can be requested, and no literal is taken that the connection
// would be refused.
func FuzzCheckURL(f *testing.F) {
	for _, list := range [][]string{inward, forbidden, malformed, good} {
		for _, u := range list {
			f.Add(u)
		}
	}
	var g webhooks.Guard
	f.Fuzz(func(t *testing.T, raw string) {
		if g.CheckURL(raw) != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, raw, http.NoBody)
		if err != nil {
			t.Fatalf("%q is taken and cannot be requested: %v", raw, err)
		}
		if req.URL.User != nil || req.URL.Hostname() == "" {
			t.Fatalf("%q is taken as %+v", raw, req.URL)
		}
		if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
			if err := g.Control("tcp6", netip.AddrPortFrom(addr, 80).String(), nil); err != nil {
				t.Fatalf("%q is taken and would be refused: %v", raw, err)
			}
		}
		if origin, err := url.Parse(webhooks.Origin(raw)); err != nil || origin.Host == "" || origin.Port() == "" {
			t.Fatalf("%q has the origin %q", raw, webhooks.Origin(raw))
		}
	})
}

// Whatever address is connected to, it is in none of the ranges that are not of
// the internet, also where it is carried in another one.
func FuzzControl(f *testing.F) {
	for _, a := range insides(special) {
		f.Add(a.AsSlice())
	}
	for _, a := range outside {
		f.Add(a.AsSlice())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		network := "tcp6"
		if a.Unmap().Is4() {
			network = "tcp4"
		}
		if (webhooks.Guard{}).Control(network, netip.AddrPortFrom(a, 443).String(), nil) != nil {
			return
		}
		a = a.Unmap()
		if !a.IsGlobalUnicast() || a.IsPrivate() {
			t.Errorf("%s is taken", a)
		}
		for _, r := range special {
			if netip.MustParsePrefix(r).Contains(a) {
				t.Errorf("%s is taken, of %s", a, r)
			}
		}
	})
}
