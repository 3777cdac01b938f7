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
	"time"

	"go.yaml.in/yaml/v3"
)

// Trunk is a way out to the telephone network.
type Trunk struct {
	Name        string
	Driver      string   // "sim", "sip", "ari" or "esl"
	Prefixes    []string // E.164 prefixes with +; empty: any number
	Internal    bool     // takes dial strings such as 101
	URIHosts    []string // of SIP URIs that tasks may call through it
	MaxChannels int      // calls at one time on this node; 0: no limit
	MaxCPS      int      // legs begun per second on this node; 0: no limit
	Failover    string   // the trunk that is tried while this one is down or congested; "": none

	// Endpoint has {number} or {e164} in it: of driver sip a SIP URI, of
	// drivers ari and esl a dial string of Asterisk or FreeSWITCH.
	Endpoint string

	// Of driver sip.
	OutboundProxy string   // host:port that every request goes to; "": the endpoint's host
	Listen        string   // IP:port, our own SIP address
	Advertise     string   // IP or IP:port, our address as the peer sees it; "": found out
	RTPPorts      string   // first-last
	Codecs        []string // PCMA, PCMU, in order of preference
	Probe         time.Duration
	Silence       time.Duration // that ends a leg
	Register      bool
	Direct        bool   // media: direct
	TLSCert       string // PEM file
	TLSKey        string // PEM file
	TLSCA         string // PEM file

	// Of drivers sip and ari.
	Username string
	Password Secret // of driver esl, too

	// Of driver ari.
	URL string // of ARI, without a slash at its end
	App string // Stasis application, without the node's name
	// Sounds is the directory in which Asterisk or FreeSWITCH finds the
	// announcements; "": where we do.
	Sounds string

	// Of driver esl.
	Address string // host:port of the event socket

	faulty bool // something is wrong with it
}

// What a trunk has where nothing else is given.
const (
	defaultSIPListen = "0.0.0.0:5060"
	defaultRTPPorts  = "20000-29999"
	defaultApp       = "ringback"
	defaultProbe     = 30 * time.Second
	defaultSilence   = 5 * time.Minute
)

// knownCodecs are those that a call may be relayed in.
var knownCodecs = []string{"PCMA", "PCMU", "G722", "G729", "GSM", "opus"}

var defaultCodecs = []string{"PCMA", "PCMU"}

// trunkField is a key of a trunk.
type trunkField struct {
	doc     string
	drivers []string // that have it; none: all
	set     func(*Trunk, string) error
}

var (
	sipAlone  = []string{"sip"}
	ariAlone  = []string{"ari"}
	eslAlone  = []string{"esl"}
	sipAndARI = []string{"sip", "ari"}
	ariAndESL = []string{"ari", "esl"}
	allReal   = []string{"sip", "ari", "esl"}
)

var trunkFields = map[string]trunkField{
	"name": {doc: "unique; appears in the call history",
		set: func(t *Trunk, s string) error { return nodeName(&t.Name, s) }},
	"driver": {doc: "`sip`, `ari` for an Asterisk, `esl` for a FreeSWITCH, or `sim` for a simulated carrier",
		set: func(t *Trunk, s string) error { return driver(&t.Driver, s) }},
	"prefixes": {doc: "numbers it takes, such as `[\"+39\", \"+44\"]`, longest match; empty: any number",
		set: func(t *Trunk, s string) error { return numberPrefixes(&t.Prefixes, s) }},
	"internal": {doc: "`true`: takes dial strings such as 101",
		set: func(t *Trunk, s string) error { return onOff(&t.Internal, s) }},
	"uri_hosts": {drivers: sipAlone, doc: "hosts of SIP URIs that tasks may call through it as they are, such as `[pbx.example.com]`; absent: none",
		set: func(t *Trunk, s string) error { return uriHosts(&t.URIHosts, s) }},
	"max_channels": {doc: "legs at one time on this node; 0 or absent: no limit",
		set: func(t *Trunk, s string) error { return integer(&t.MaxChannels, s, 0, 100_000) }},
	"max_cps": {doc: "legs begun per second on this node; 0 or absent: no limit",
		set: func(t *Trunk, s string) error { return integer(&t.MaxCPS, s, 0, 10_000) }},
	"failover": {doc: "the trunk that is tried while this one is down, or congested before anything rang",
		set: func(t *Trunk, s string) error { return nodeName(&t.Failover, s) }},
	"options_interval": {drivers: sipAlone, doc: "between two OPTIONS that see whether the peer is there; three that nobody answers take the trunk down until one is; `0s`: none; absent: `30s`",
		set: func(t *Trunk, s string) error { return duration(&t.Probe, s, 0, time.Hour) }},
	"endpoint": {drivers: allReal, doc: "`sip:{number}@sip.example.net:5060;transport=tcp` (udp, tcp or tls), with `ari` `PJSIP/{number}@trunk`, or with `esl` `sofia/gateway/carrier/{number}`; `{number}` digits only, `{e164}` with +",
		set: func(t *Trunk, s string) error { t.Endpoint = s; return nil }}, // judged once the driver is known
	"url": {drivers: ariAlone, doc: "of Asterisk's ARI: `http://127.0.0.1:8088/ari`",
		set: func(t *Trunk, s string) error { return ariURL(&t.URL, s) }},
	"username": {drivers: sipAndARI, doc: "what we answer to a SIP trunk that asks who we are; with `ari` a user of `ari.conf`",
		set: func(t *Trunk, s string) error { return userName(&t.Username, s) }},
	"password": {drivers: allReal, doc: "its password, or with `esl` that of the event socket; or a file that holds it as `password_file`",
		set: func(t *Trunk, s string) error { t.Password = Secret(s); return nil }},
	"app": {drivers: ariAlone, doc: "the Stasis application, which the node's name is added to; absent: `" + defaultApp + "`",
		set: func(t *Trunk, s string) error { return nodeName(&t.App, s) }},
	"sounds": {drivers: ariAndESL, doc: "absolute directory in which Asterisk or FreeSWITCH finds the files of `RINGBACK_SOUNDS_DIR`; absent: the same as ours",
		set: func(t *Trunk, s string) error { return soundsDir(&t.Sounds, s) }},
	"address": {drivers: eslAlone, doc: "of FreeSWITCH's event socket: `127.0.0.1:8021`",
		set: func(t *Trunk, s string) error { return eslAddress(&t.Address, s) }},
	"register": {drivers: sipAlone, doc: "`true`: the trunk wants `username` to be registered with it; until it is, the trunk is down",
		set: func(t *Trunk, s string) error { return onOff(&t.Register, s) }},
	"rtp_timeout": {drivers: sipAlone, doc: "an answered leg that sends no sound for so long, and does not hold, is taken for dead; `0s`: none is; absent: `5m`",
		set: func(t *Trunk, s string) error { return duration(&t.Silence, s, 0, 24*time.Hour) }},
	"media": {drivers: sipAlone, doc: "`relay`: sound goes through ringback; `direct`: from A to B past it, where the trunks of both say so; absent: `relay`",
		set: func(t *Trunk, s string) error { return media(&t.Direct, s) }},
	"tls_cert": {drivers: sipAlone, doc: "PEM file of our certificate, with `;transport=tls` in the endpoint; absent: we show none and take no TLS connections",
		set: func(t *Trunk, s string) error { t.TLSCert = s; return nil }},
	"tls_key": {drivers: sipAlone, doc: "PEM file of its key",
		set: func(t *Trunk, s string) error { t.TLSKey = s; return nil }},
	"tls_ca": {drivers: sipAlone, doc: "PEM file of who may vouch for the peer; absent: the system's",
		set: func(t *Trunk, s string) error { t.TLSCA = s; return nil }},
	"outbound_proxy": {drivers: sipAlone, doc: "`host:port` that every request is sent to, over the endpoint's transport; absent: the endpoint's host",
		set: func(t *Trunk, s string) error { return proxy(&t.OutboundProxy, s) }},
	"listen": {drivers: sipAlone, doc: "our own SIP address, IP and port; absent: `" + defaultSIPListen + "`",
		set: func(t *Trunk, s string) error { return sipListen(&t.Listen, s) }},
	"advertise": {drivers: sipAlone, doc: "our address as the peer sees it (NAT), IP with or without a port; absent: found out",
		set: func(t *Trunk, s string) error { return advertise(&t.Advertise, s) }},
	"rtp_ports": {drivers: sipAlone, doc: "ports of the media; absent: `" + defaultRTPPorts + "`",
		set: func(t *Trunk, s string) error { return ports(&t.RTPPorts, s) }},
	"codecs": {drivers: sipAlone, doc: "in order of preference, of `PCMA`, `PCMU`, `G722`, `G729`, `GSM`, `opus`; one of the first two is needed; absent: `[PCMA, PCMU]`",
		set: func(t *Trunk, s string) error { return codecs(&t.Codecs, s) }},
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
		t.faulty = len(*faults) > before
		if t.Name != "" && names[t.Name] {
			faults.add(at+".name", "is the name of another trunk too")
		}
		names[t.Name] = true
		if other := t.otherUser(trunks); other != "" {
			faults.add(at, "uses the same application of the same Asterisk as trunk %s: it needs the same username and password, or an app of its own", other)
		}
		if other := t.otherPassword(trunks); other != "" {
			faults.add(at, "is on the same FreeSWITCH as trunk %s: it needs the same password", other)
		}
		trunks = append(trunks, t)
	}
	for i, t := range trunks {
		if t.Failover != "" && (!names[t.Failover] || t.Failover == t.Name) {
			faults.add(fmt.Sprintf("%s:%d trunks[%d].failover", path, node.Content[i].Line, i), "must be the name of another trunk")
		}
	}
	return trunks
}

func readTrunk(path, in string, node *yaml.Node, faults *Faults) Trunk {
	t := Trunk{Probe: defaultProbe, Silence: defaultSilence}
	places := map[string]string{} // key → where it stands
	walk(path, in+".", node, faults, func(key, from string, value *yaml.Node) {
		field, ok := trunkFields[strings.TrimSuffix(key, "_file")]
		ok = ok && (trunkFields[key].set != nil || key == "password_file")
		text, scalar := flatten(value)
		var err error
		switch {
		case !ok:
			faults.add(from, "is not a setting of a trunk")
			return
		case !scalar:
			faults.add(from, "must be a single value or a list of them")
			return
		case strings.HasSuffix(key, "_file"):
			text, err = secretFile(text)
		}
		places[key] = from
		if err == nil {
			err = field.set(&t, text)
		}
		if err != nil {
			faults.add(from, "%s", err)
		}
	})
	t.checkKeys(places, faults)
	return t
}

// checkKeys finds keys that the trunk's driver does not have, or that exclude
// each other; places says where each stands.
func (t *Trunk) checkKeys(places map[string]string, faults *Faults) {
	for _, key := range slices.Sorted(maps.Keys(places)) {
		only := trunkFields[strings.TrimSuffix(key, "_file")].drivers
		switch {
		case t.Driver == "" || only == nil || slices.Contains(only, t.Driver):
		default:
			faults.add(places[key], "is for driver %s alone", strings.Join(only, " and driver "))
		}
	}
	if from, ok := places["password_file"]; ok && places["password"] != "" {
		faults.add(from, "is given twice: here and as password")
	}
	from, ok := places["endpoint"]
	if !ok {
		return
	}
	judge := map[string]func(string) error{"sip": sipEndpoint, "ari": ariEndpoint, "esl": eslEndpoint}[t.Driver]
	if judge == nil {
		return
	}
	if err := judge(t.Endpoint); err != nil {
		faults.add(from, "%s", err)
	}
}

// check finds what a trunk lacks.
func (t *Trunk) check(at string, faults *Faults) {
	switch {
	case t.Name == "":
		faults.add(at+".name", "is required")
	case t.Driver == "":
		faults.add(at+".driver", "is required")
	case t.Driver != "sim" && t.Endpoint == "":
		faults.add(at+".endpoint", "is required for driver %s", t.Driver)
	}
	if t.Driver != "sip" {
		t.Probe, t.Silence = 0, 0
	}
	switch t.Driver {
	case "sip":
		t.finishSIP(at, faults)
	case "ari":
		t.finishARI(at, faults)
	case "esl":
		t.finishESL(at, faults)
	}
}

func (t *Trunk) finishSIP(at string, faults *Faults) {
	if len(t.URIHosts) > 0 && t.OutboundProxy == "" && strings.Contains(t.Endpoint, "transport=tls") {
		faults.add(at+".uri_hosts", "needs an outbound_proxy with transport=tls: the certificate is held to one name")
	}
	if t.Register && t.Username == "" {
		faults.add(at+".register", "needs a username and a password")
	}
	if (t.Username == "") != (t.Password == "") {
		faults.add(at+".username", "and password go together")
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
	return oneOf(to, s, "sip", "ari", "esl", "sim")
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

var hostName = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)

func uriHosts(to *[]string, s string) error {
	if s == "" {
		return nil
	}
	list := strings.Split(strings.ToLower(s), ",")
	for _, h := range list {
		if _, err := netip.ParseAddr(h); err != nil && !hostName.MatchString(h) {
			return fmt.Errorf("%q must be a host name or an IP address, without a port", h)
		}
	}
	*to = list
	return nil
}

func sipEndpoint(s string) error {
	if !strings.HasPrefix(s, "sip:") || !strings.Contains(s, "{number}@") && !strings.Contains(s, "{e164}@") {
		return errors.New("must be a SIP URI with the number in it: sip:{number}@sip.example.net:5060")
	}
	for _, p := range strings.Split(s, ";")[1:] {
		if carrier, ok := strings.CutPrefix(p, "transport="); ok && !slices.Contains([]string{"udp", "tcp", "tls"}, carrier) {
			return fmt.Errorf("transport=%s must be udp, tcp or tls", carrier)
		}
	}
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

func media(direct *bool, s string) error {
	var choice string
	err := oneOf(&choice, s, "relay", "direct")
	*direct = choice == "direct"
	return err
}

func codecs(to *[]string, s string) error {
	list := strings.Split(s, ",")
	for _, c := range list {
		if !slices.ContainsFunc(knownCodecs, func(k string) bool { return strings.EqualFold(k, c) }) {
			return fmt.Errorf("%q must be one of %s", c, strings.Join(knownCodecs, ", "))
		}
	}
	if !slices.ContainsFunc(list, func(c string) bool { return strings.EqualFold(c, "PCMA") || strings.EqualFold(c, "PCMU") }) {
		return errors.New("must have PCMA or PCMU, too: ringing and announcements are spoken in them")
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
		if f.drivers != nil {
			drivers = "`" + strings.Join(f.drivers, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, drivers, f.doc)
	}
	return b.String()
}
