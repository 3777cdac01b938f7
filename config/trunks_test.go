package config_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestTrunks(t *testing.T) {
	file := `
dialer: trunks
webhook_allow_cidrs: [10.0.0.0/8, 192.168.0.0/16]
trunks:
  - name: carrier
    driver: sip
    prefixes: ["+39", "+44"]
    endpoint: "sip:{number}@sip.example.net:5060;transport=udp"
    listen: "0.0.0.0:5060"
    outbound_proxy: proxy.example.net:5070
    advertise: 192.0.2.1
    rtp_ports: "20000-29999"
    codecs: [PCMU]
    uri_hosts: [PBX.example.com, "2001:DB8:0::1"]
    register: true
    media: direct
    username: acme
    password: hush
    max_channels: 200
    max_cps: 20
    failover: desk
  - name: desk
    driver: sim
    internal: true
  - name: pbx
    driver: ari
    sounds: /srv/sounds/
    url: http://127.0.0.1:8088/ari/
    username: ringback
    password: hush
    endpoint: "PJSIP/{number}@trunk"
  - name: local
    driver: ari
    url: http://127.0.0.1:8088/ari
    username: ringback
    password_file: ari.secret
    app: ringback
    endpoint: "Local/{number}@outgoing/n"
  - name: fs
    driver: esl
    address: 127.0.0.1:8021
    password_file: ari.secret
    endpoint: "sofia/gateway/carrier/{number}"
    sounds: /srv/sounds/
`
	cfg, err := load(t, true, nil, nil, map[string]string{"ringback.yaml": file, "ari.secret": "hush\n"})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{carrier sip [+39 +44] false [pbx.example.com 2001:db8:0::1] 200 20 desk sip:{number}@sip.example.net:5060;transport=udp proxy.example.net:5070 0.0.0.0:5060 192.0.2.1 20000-29999 [PCMU] 30s 5m0s true true    acme (secret)     false} ` +
		`{desk sim [] true [] 0 0       [] 0s 0s false false          false} ` +
		`{pbx ari [] false [] 0 0  PJSIP/{number}@trunk     [] 0s 0s false false    ringback (secret) http://127.0.0.1:8088/ari ringback /srv/sounds  false} ` +
		`{local ari [] false [] 0 0  Local/{number}@outgoing/n     [] 0s 0s false false    ringback (secret) http://127.0.0.1:8088/ari ringback   false} ` +
		`{fs esl [] false [] 0 0  sofia/gateway/carrier/{number}     [] 0s 0s false false     (secret)   /srv/sounds 127.0.0.1:8021 false}]`
	if got := fmt.Sprint(cfg.Trunks); got != want || cfg.Dialer != "trunks" || len(cfg.WebhookAllowed) != 2 {
		t.Errorf("got %s %s %v", got, cfg.Dialer, cfg.WebhookAllowed)
	}
}

func TestBadFiles(t *testing.T) {
	sip := "trunks:\n  - {name: a, driver: sip, listen: '127.0.0.1:0', endpoint: 'sip:{number}@h', "
	ari := "trunks:\n  - {name: a, driver: ari, endpoint: 'PJSIP/{number}@t', "
	esl := "trunks:\n  - {name: a, driver: esl, endpoint: 'user/{number}', "
	tests := map[string]struct{ file, want string }{
		"an unknown key":                    {"lisen: x", "ringback.yaml:1 lisen: is not a setting"},
		"a key that stands twice":           {"workers: 1\nworkers: 2", "ringback.yaml:2 workers: stands twice"},
		"a key of a later release":          {"otlp_endpoint: x", "ringback.yaml:1 otlp_endpoint: is not supported yet"},
		"a value of the wrong shape":        {"workers: {a: 1}", "ringback.yaml:1 workers: must be a single value"},
		"a bad value":                       {"\nworkers: many", "ringback.yaml:2 workers: must be a whole number"},
		"no mapping":                        {"- a", "must be a mapping"},
		"no YAML":                           {"a: [", "ringback.yaml: line 1: did not find expected node content"},
		"trunks that are no list":           {"trunks: 3", "ringback.yaml:1 trunks: must be a list"},
		"a trunk that is no mapping":        {"trunks: [3]", "must be a mapping"},
		"an unknown key of a trunk":         {sip + "colour: red}", "trunks[0].colour: is not a setting of a trunk"},
		"media that go nowhere":             {sip + "media: none}", "trunks[0].media: must be one of relay, direct"},
		"a driver that is none":             {"trunks: [{name: a, driver: skinny}]", "trunks[0].driver: must be one of sip, ari, esl, sim"},
		"an esl trunk without an address":   {esl + "password: x}", "trunks[0].address: is required for driver esl"},
		"an esl trunk without a password":   {esl + "address: 'h:8021'}", "trunks[0].password: is required for driver esl"},
		"an event socket without a port":    {esl + "address: h}", "trunks[0].address: must be the host and the port"},
		"an event socket without a host":    {esl + "address: ':8021'}", "trunks[0].address: must be the host and the port"},
		"a password of two lines":           {esl + "address: 'h:8021', password: \"x\\n\\napi shutdown\"}", "trunks[0].password: must be one line"},
		"a username of an event socket":     {esl + "username: u}", "trunks[0].username: is for driver sip and driver ari alone"},
		"an address of a sip trunk":         {sip + "address: 'h:8021'}", "trunks[0].address: is for driver esl alone"},
		"a FreeSWITCH dial string of two":   {"trunks: [{name: a, driver: esl, endpoint: 'user/{number},user/1'}]", "must be one dial string of FreeSWITCH"},
		"settings in a FreeSWITCH endpoint": {"trunks: [{name: a, driver: esl, endpoint: '[x=y]user/{number}'}]", "must be one dial string of FreeSWITCH"},
		"a FreeSWITCH dial string alone":    {"trunks: [{name: a, driver: esl, endpoint: 'user/101'}]", "with the number in it once"},
		"two passwords of a FreeSWITCH": {esl + "address: 'h:8021', password: x}\n" +
			"  - {name: b, driver: esl, endpoint: 'user/{number}', address: 'h:8021', password: y}", "is on the same FreeSWITCH as trunk a: it needs the same password"},
		"a transport not yet there":          {"trunks: [{name: a, driver: sip, listen: '0.0.0.0:0', endpoint: 'sip:{number}@h;transport=ws'}]", "transport=ws must be udp, tcp or tls"},
		"a trunk without a name":             {"trunks: [{driver: sim}]", "trunks[0].name: is required"},
		"a trunk without a driver":           {"trunks: [{name: a}]", "trunks[0].driver: is required"},
		"a sip trunk without endpoint":       {"trunks: [{name: a, driver: sip, listen: '0.0.0.0:0'}]", "trunks[0].endpoint: is required"},
		"a host name to listen on":           {sip + "x: y}\n  - {name: b, driver: sip, listen: 'localhost:5060'}", "trunks[1].listen: must be an IP address"},
		"a proxy without a port":             {sip + "outbound_proxy: proxy.example.net}", "must be host:port"},
		"an endpoint without a number":       {"trunks: [{name: a, driver: sip, listen: '0.0.0.0:0', endpoint: 'sip:h'}]", "with the number in it"},
		"two trunks of one name":             {"trunks: [{name: a, driver: sim}, {name: a, driver: sim}]", "trunks[1].name: is the name of another"},
		"a sip key of a sim trunk":           {"trunks: [{name: a, driver: sim, codecs: PCMA}]", "trunks[0].codecs: is for driver sip alone"},
		"an ari key of a sip trunk":          {sip + "url: 'http://h/ari'}", "trunks[0].url: is for driver ari alone"},
		"a password without a user":          {sip + "password: x}", "trunks[0].username: and password go together"},
		"a user with a quote":                {sip + "username: 'a\"b', password: x}", "trunks[0].username: must be a name without"},
		"a registration of nobody":           {sip + "register: true}", "trunks[0].register: needs a username"},
		"a user without a password":          {sip + "username: x}", "trunks[0].username: and password go together"},
		"a sip key of an ari trunk":          {ari + "codecs: PCMA}", "trunks[0].codecs: is for driver sip alone"},
		"a trunk without a password":         {ari + "url: 'http://h/ari', username: u}", "trunks[0].password: is required"},
		"a trunk without a url":              {ari + "username: u, password: x}", "trunks[0].url: is required"},
		"a trunk without a user":             {ari + "url: 'http://h/ari', password: x}", "trunks[0].username: is required"},
		"a user in the url":                  {ari + "url: 'http://u:hush@h/ari'}", "trunks[0].url: must have no user"},
		"a url of no web server":             {ari + "url: '127.0.0.1:8088'}", "trunks[0].url: must be http:// or https://"},
		"two passwords of a trunk":           {ari + "password: x, password_file: ringback.yaml}", "trunks[0].password_file: is given twice"},
		"a password file that is away":       {ari + "password_file: nowhere}", "trunks[0].password_file: cannot open nowhere"},
		"a file for another key":             {ari + "username_file: nowhere}", "trunks[0].username_file: is not a setting"},
		"a dial string of two":               {"trunks: [{name: a, driver: ari, endpoint: 'PJSIP/{number}@t&PJSIP/1'}]", "must be a dial string of Asterisk"},
		"a dial string without number":       {"trunks: [{name: a, driver: ari, endpoint: 'PJSIP/t'}]", "with the number in it once"},
		"a SIP URI for Asterisk":             {"trunks: [{name: a, driver: ari, endpoint: 'sip:{number}@h'}]", "must be a dial string of Asterisk"},
		"sounds in a place that is relative": {ari + "url: 'http://h/ari', sounds: sounds}", "trunks[0].sounds: must be an absolute directory"},
		"sounds in a place that is no path":  {ari + "url: 'http://h/ari', sounds: '/a&b'}", "trunks[0].sounds: must be an absolute directory"},
		"sounds of a sip trunk":              {sip + "sounds: /a}", "trunks[0].sounds: is for driver ari and driver esl alone"},
		"a URI host with a port":             {sip + "uri_hosts: ['pbx:5060']}", "trunks[0].uri_hosts: \"pbx:5060\" must be a host name or an IP address, without a port"},
		"a URI host that is none":            {sip + "uri_hosts: ['*']}", "trunks[0].uri_hosts: \"*\" must be a host name"},
		"URI hosts over TLS":                 {"trunks: [{name: a, driver: sip, listen: '127.0.0.1:0', endpoint: 'sip:{number}@h;transport=tls', uri_hosts: [b]}]", "uri_hosts: needs an outbound_proxy"},
		"two users of an application": {ari + "url: 'http://h/ari', username: u, password: x}\n" +
			"  - {name: b, driver: ari, endpoint: 'PJSIP/{number}@t', url: 'http://h/ari/', username: v, password: x}", "the same username and password"},
		"a failover to nowhere":    {sip + "failover: b}", "trunks[0].failover: must be the name of another trunk"},
		"a failover to itself":     {sip + "failover: a}", "trunks[0].failover: must be the name of another trunk"},
		"a rate below nothing":     {sip + "max_cps: -1}", "trunks[0].max_cps: must be"},
		"probes without a unit":    {sip + "options_interval: 30}", "trunks[0].options_interval: must be"},
		"a prefix without plus":    {sip + "prefixes: [39]}", `"39" must be + and`},
		"too few ports":            {sip + "rtp_ports: 20000-20001}", "at least four ports"},
		"a codec we do not speak":  {sip + "codecs: [SPEEX]}", `"SPEEX" must be one of PCMA`},
		"no codec that we speak":   {sip + "codecs: [opus]}", "trunks[0].codecs: must have PCMA or PCMU"},
		"a host name to advertise": {sip + "advertise: example.net}", "must be an IP address"},
		"a secret given twice":     {"secret_key: x\nsecret_key_file: y", "secret_key: is given twice"},
	}
	for claim, test := range tests {
		t.Run(claim, func(t *testing.T) {
			_, err := load(t, true, nil, map[string]string{"RINGBACK_DIALER": "sim"}, map[string]string{"ringback.yaml": test.file})
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}
