package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Trunk is a way out to the telephone network.
type Trunk struct {
	Name        string
	Driver      string   // "sim" or "sip"
	Prefixes    []string // E.164 prefixes with +; empty: any number
	Internal    bool     // takes dial strings such as 101
	MaxChannels int      // calls at one time on this node; 0: no limit

	// Of driver sip.
	Endpoint      string   // SIP URI with {number} or {e164}
	OutboundProxy string   // host:port that every request goes to; "": the endpoint's host
	Listen        string   // IP:port, our own SIP address
	Advertise     string   // IP or IP:port, our address as the peer sees it; "": found out
	RTPPorts      string   // first-last
	Codecs        []string // PCMA, PCMU, in order of preference
}

// What a sip trunk has where nothing else is given.
const (
	defaultSIPListen = "0.0.0.0:5060"
	defaultRTPPorts  = "20000-29999"
)

var defaultCodecs = []string{"PCMA", "PCMU"}

// trunkField is a key of a trunk.
type trunkField struct {
	doc string
	sip bool // of driver sip alone
	set func(*Trunk, string) error
}

var trunkFields = map[string]trunkField{
	"name": {doc: "unique; appears in the call history",
		set: func(t *Trunk, s string) error { return nodeName(&t.Name, s) }},
	"driver": {doc: "`sip`, or `sim` for a simulated carrier",
		set: func(t *Trunk, s string) error { return driver(&t.Driver, s) }},
	"prefixes": {doc: "numbers it takes, such as `[\"+39\", \"+44\"]`, longest match; empty: any number",
		set: func(t *Trunk, s string) error { return numberPrefixes(&t.Prefixes, s) }},
	"internal": {doc: "`true`: takes dial strings such as 101",
		set: func(t *Trunk, s string) error { return onOff(&t.Internal, s) }},
	"max_channels": {doc: "legs at one time on this node; 0 or absent: no limit",
		set: func(t *Trunk, s string) error { return integer(&t.MaxChannels, s, 0, 100_000) }},
	"endpoint": {sip: true, doc: "`sip:{number}@sip.example.net:5060`; `{number}` digits only, `{e164}` with +",
		set: func(t *Trunk, s string) error { return endpoint(&t.Endpoint, s) }},
	"outbound_proxy": {sip: true, doc: "`host:port` that every request is sent to; absent: the endpoint's host",
		set: func(t *Trunk, s string) error { return proxy(&t.OutboundProxy, s) }},
	"listen": {sip: true, doc: "our own SIP address, IP and port; absent: `" + defaultSIPListen + "`",
		set: func(t *Trunk, s string) error { return sipListen(&t.Listen, s) }},
	"advertise": {sip: true, doc: "our address as the peer sees it (NAT), IP with or without a port; absent: found out",
		set: func(t *Trunk, s string) error { return advertise(&t.Advertise, s) }},
	"rtp_ports": {sip: true, doc: "ports of the media; absent: `" + defaultRTPPorts + "`",
		set: func(t *Trunk, s string) error { return ports(&t.RTPPorts, s) }},
	"codecs": {sip: true, doc: "in order of preference; absent: `[PCMA, PCMU]`",
		set: func(t *Trunk, s string) error { return codecs(&t.Codecs, s) }},
}

// trunkNotYet are keys of trunks that are documented for later releases.
var trunkNotYet = []string{
	"username", "password", "media", "register", "tls_cert", "tls_key", "tls_ca",
	"uri_hosts", "max_cps", "failover", "url", "app", "address",
}

// readTrunks reads the list of trunks.
func readTrunks(path string, node *yaml.Node, faults *Faults) []Trunk {
	if node.Kind != yaml.SequenceNode {
		faults.add(fmt.Sprintf("%s:%d trunks", path, node.Line), "must be a list")
		return nil
	}
	var trunks []Trunk
	names := map[string]bool{}
	for i, n := range node.Content {
		in := fmt.Sprintf("trunks[%d]", i)
		before := len(*faults)
		t := readTrunk(path, in, n, faults)
		at := fmt.Sprintf("%s:%d %s", path, n.Line, in)
		if len(*faults) == before {
			t.check(at, faults)
		}
		if t.Name != "" && names[t.Name] {
			faults.add(at+".name", "is the name of another trunk too")
		}
		names[t.Name] = true
		trunks = append(trunks, t)
	}
	return trunks
}

func readTrunk(path, in string, node *yaml.Node, faults *Faults) Trunk {
	var t Trunk
	sipOnly := map[string]string{} // key → where
	walk(path, in+".", node, faults, func(key, from string, value *yaml.Node) {
		field, ok := trunkFields[key]
		text, scalar := flatten(value)
		switch {
		case slices.Contains(trunkNotYet, key):
			faults.add(from, "is not supported yet by this release")
		case !ok:
			faults.add(from, "is not a setting of a trunk")
		case !scalar:
			faults.add(from, "must be a single value or a list of them")
		default:
			if field.sip {
				sipOnly[key] = from
			}
			if err := field.set(&t, text); err != nil {
				faults.add(from, "%s", err)
			}
		}
	})
	if t.Driver == "sim" {
		for _, from := range sipOnly {
			faults.add(from, "is for driver sip alone")
		}
	}
	return t
}

// check finds what a trunk lacks.
func (t *Trunk) check(at string, faults *Faults) {
	switch {
	case t.Name == "":
		faults.add(at+".name", "is required")
	case t.Driver == "":
		faults.add(at+".driver", "is required")
	case t.Driver == "sip" && t.Endpoint == "":
		faults.add(at+".endpoint", "is required for driver sip")
	}
	if t.Driver != "sip" {
		return
	}
	if t.Listen == "" {
		t.Listen = defaultSIPListen
	}
	if t.RTPPorts == "" {
		t.RTPPorts = defaultRTPPorts
	}
	if len(t.Codecs) == 0 {
		t.Codecs = defaultCodecs
	}
}

func driver(to *string, s string) error {
	if s == "ari" || s == "esl" {
		return fmt.Errorf("%s is not supported yet by this release", s)
	}
	return oneOf(to, s, "sip", "sim")
}

var prefixForm = regexp.MustCompile(`^\+[0-9]{1,15}$`)

func numberPrefixes(to *[]string, s string) error {
	if s == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for _, p := range list {
		if !prefixForm.MatchString(p) {
			return fmt.Errorf("%q must be + and 1 to 15 digits, in quotes", p)
		}
	}
	*to = list
	return nil
}

func endpoint(to *string, s string) error {
	if !strings.HasPrefix(s, "sip:") || !strings.Contains(s, "{number}@") && !strings.Contains(s, "{e164}@") {
		return errors.New("must be a SIP URI with the number in it: sip:{number}@sip.example.net:5060")
	}
	for _, p := range strings.Split(s, ";")[1:] {
		if strings.HasPrefix(p, "transport=") && p != "transport=udp" {
			return fmt.Errorf("%s is not supported yet by this release", p)
		}
	}
	*to = s
	return nil
}

func proxy(to *string, s string) error {
	if s == "" {
		return nil
	}
	if err := address(to, s); err != nil {
		return errors.New("must be host:port, such as proxy.example.net:5060")
	}
	return nil
}

func sipListen(to *string, s string) error {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return errors.New("must be an IP address and a port, such as 0.0.0.0:5060")
	}
	*to = s
	return nil
}

func advertise(to *string, s string) error {
	if s == "" {
		return nil
	}
	_, errAddr := netip.ParseAddr(s)
	_, errPort := netip.ParseAddrPort(s)
	if errAddr != nil && errPort != nil {
		return errors.New("must be an IP address, with or without a port")
	}
	*to = s
	return nil
}

func ports(to *string, s string) error {
	from, last, ok := strings.Cut(s, "-")
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(last)
	if !ok || errA != nil || errB != nil || a < 1024 || b > 65535 || b-a < 3 {
		return errors.New("must be a range of at least four ports above 1023: 20000-29999")
	}
	*to = s
	return nil
}

func codecs(to *[]string, s string) error {
	list := strings.Split(s, ",")
	for _, c := range list {
		if c != "PCMA" && c != "PCMU" {
			return fmt.Errorf("%q must be PCMA or PCMU", c)
		}
	}
	*to = list
	return nil
}

// TrunkTable returns the keys of a trunk as a table in Markdown, as the README
// has it.
func TrunkTable() string {
	var b strings.Builder
	b.WriteString("| key | drivers | |\n|---|---|---|\n")
	for _, key := range slices.Sorted(maps.Keys(trunkFields)) {
		f := trunkFields[key]
		drivers := "all"
		if f.sip {
			drivers = "`sip`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, drivers, f.doc)
	}
	return b.String()
}
