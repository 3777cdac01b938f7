package sip

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestEveryFaultOfTheOptionsIsTold(t *testing.T) {
	_, err := New(Options{Trunks: []Trunk{{
		Name: "carrier", Endpoint: "tel:{number}", Listen: "localhost", Advertise: "0.0.0.0", RTPPorts: "9-1",
		Codecs: []string{"opus"}, OutboundProxy: "a b",
	}, {Name: "carrier", Endpoint: "sip:{number}@127.0.0.1"}}})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(strings.ReplaceAll(err.Error(), "trunk carrier: ", ""), "\n")
	for _, field := range []string{"is there twice", "endpoint", "listen", "advertise", "rtp_ports", "codecs", "outbound_proxy"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l+" ", field+" ") }) {
			t.Errorf("nothing about %s in\n%v", field, err)
		}
	}
}

func TestOptions(t *testing.T) {
	fine := Trunk{Endpoint: "sip:{number}@127.0.0.1", Listen: "127.0.0.1:0"}
	for claim, c := range map[string]struct {
		change func(*Trunk)
		fault  string
	}{
		"the least there may be":             {func(*Trunk) {}, ""},
		"one codec":                          {func(o *Trunk) { o.Codecs = []string{"pcmu"} }, ""},
		"a codec twice":                      {func(o *Trunk) { o.Codecs = []string{"PCMA", "PCMA"} }, "twice"},
		"an address to tell, without a port": {func(o *Trunk) { o.Advertise = "192.0.2.1" }, ""},
		"an address to tell, with a port":    {func(o *Trunk) { o.Advertise = "192.0.2.1:5062" }, ""},
		"a name to tell":                     {func(o *Trunk) { o.Advertise = "sip.example.net" }, "IP address"},
		"IPv6 told for IPv4":                 {func(o *Trunk) { o.Advertise = "2001:db8::1" }, "same IP version"},
		"every address, ours is found":       {func(o *Trunk) { o.Listen = "0.0.0.0:0" }, ""},
		"a proxy over TCP":                   {func(o *Trunk) { o.OutboundProxy = "sip:pbx;transport=tcp" }, "the endpoint asks for UDP"},
		"TCP to a proxy, too":                {func(o *Trunk) { o.Endpoint += ";transport=tcp"; o.OutboundProxy = "sip:pbx;transport=tcp" }, ""},
		"a certificate without TLS":          {func(o *Trunk) { o.TLSCert = "x" }, "only with transport=tls"},
		"a certificate without its key":      {func(o *Trunk) { o.Endpoint += ";transport=tls"; o.TLSCert = "x" }, "go together"},
		"a certificate that is not there":    {func(o *Trunk) { o.Endpoint += ";transport=tls"; o.TLSCert, o.TLSKey = "x", "y" }, "certificate cannot be used"},
		"an authority that is not there":     {func(o *Trunk) { o.Endpoint += ";transport=tls"; o.TLSCA = "x" }, "authority cannot be read"},
		"an authority that is none":          {func(o *Trunk) { o.Endpoint += ";transport=tls"; o.TLSCA = "options_test.go" }, "authority has no certificate"},
		"TLS without a certificate":          {func(o *Trunk) { o.Endpoint += ";transport=tls" }, ""},
		"a registration of nobody":           {func(o *Trunk) { o.Register = true }, "needs a username"},
		"a username alone":                   {func(o *Trunk) { o.Username = "acme" }, "go together"},
		"a proxy with a user":                {func(o *Trunk) { o.OutboundProxy = "sip:me@pbx" }, "host:port"},
		"a trunk whose address is unknown":   {func(o *Trunk) { o.Listen, o.Endpoint = "0.0.0.0:0", "sip:{number}@no.such.host.invalid" }, "advertise is needed"},
		"a SIP address that is not ours":     {func(o *Trunk) { o.Listen = "192.0.2.1:5060" }, "open the SIP address"},
	} {
		t.Run(claim, func(t *testing.T) {
			o := fine
			c.change(&o)
			d, err := New(Options{Trunks: []Trunk{o}})
			if err == nil {
				defer d.Close(context.Background())
			}
			if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
				t.Fatalf("error %v, want one about %q", err, c.fault)
			}
			if o.Advertise == "192.0.2.1:5062" {
				if got := d.trunks[o.Name].contact().Address.String(); got != "sip:ringback@192.0.2.1:5062" {
					t.Errorf("contact %s", got)
				}
			}
		})
	}
}
