package asterisktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// modules are what a test needs of Asterisk; the rest would take seconds to
// load.
var modules = []string{
	"res_pjproject", "res_sorcery_config", "res_sorcery_memory", "res_sorcery_astdb", "res_http_websocket", "res_websocket_client",
	"res_geolocation", "res_stasis", "res_stasis_answer", "res_stasis_device_state", "res_stasis_playback", "res_stasis_recording",
	"res_stasis_snoop", "res_ari", "res_ari_model", "res_ari_applications", "res_ari_asterisk", "res_ari_bridges", "res_ari_channels",
	"res_ari_endpoints", "res_ari_events", "app_stasis", "bridge_builtin_features", "bridge_holding", "bridge_native_rtp",
	"bridge_simple", "bridge_softmix", "codec_alaw", "codec_ulaw", "format_pcm", "format_wav", "res_rtp_asterisk", "res_pjsip",
	"res_pjsip_session", "res_pjsip_sdp_rtp", "res_pjsip_caller_id", "res_pjsip_rfc3326", "res_pjsip_endpoint_identifier_ip",
	"res_pjsip_nat", "res_pjsip_pubsub", "chan_pjsip", "pbx_config", "func_channel", "app_dial", "res_timing_timerfd",
}

// baseFiles are the configuration beside what docs/trunks.md says.
var baseFiles = map[string]string{
	"rtp.conf":         "[general]\nrtpstart=10000\nrtpend=19999\n",
	"logger.conf":      "[general]\n[logfiles]\nconsole => warning,error\n",
	"indications.conf": "[general]\ncountry=us\n[us]\ndescription=US\nringcadence=2000,4000\nring=440+480/2000,0/4000\n",
	"extensions.conf": `[far]
; A far end that is a dialplan: what the last digits say.
exten => _X.,1,Ringing()
 same => n,GotoIf($["${EXTEN:-4}" = "0486"]?busy)
 same => n,GotoIf($["${EXTEN:-4}" = "0480"]?silent)
 same => n,Wait(0.2)
 same => n,Answer()
 same => n,Wait(600)
 same => n,Hangup()
 same => n(busy),Hangup(17)
 same => n(silent),Wait(600)
`,
	"cdr.conf": "[general]\nenable=no\n", "cel.conf": "[general]\nenable=no\n", "acl.conf": "", "udptl.conf": "[general]\n",
	"pjproject.conf": "", "stasis.conf": "", "ccss.conf": "", "features.conf": "", "manager.conf": "[general]\nenabled=no\n",
	"geolocation.conf": "", "websocket_client.conf": "",
}

// configure writes the configuration.
func (p *PBX) configure() {
	p.t.Helper()
	lib := p.moduleDir()
	files := map[string]string{
		"asterisk.conf": fmt.Sprintf(`[directories]
astetcdir => %[1]s/etc
astmoddir => %[2]s
astvarlibdir => /var/lib/asterisk
astdbdir => %[1]s/db
astkeydir => %[1]s/keys
astdatadir => /usr/share/asterisk
astagidir => /usr/share/asterisk/agi-bin
astspooldir => %[1]s/spool
astrundir => %[1]s/run
astlogdir => %[1]s/log
[options]
`, p.dir, lib),
		"modules.conf": p.loads(lib),
		"http.conf":    p.Doc("http.conf"),
		"ari.conf":     p.Doc("ari.conf"),
		"pjsip.conf":   p.Doc("pjsip.conf"),
	}
	real := filepath.Join(p.root, p.dir)
	for _, dir := range []string{"etc", "db", "keys", "spool", "run", "log"} {
		if err := os.MkdirAll(filepath.Join(real, dir), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, set := range []map[string]string{baseFiles, files} {
		for name, text := range set {
			if err := os.WriteFile(filepath.Join(real, "etc", name), []byte(text), 0o600); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

// moduleDir finds where the system keeps Asterisk's modules.
func (p *PBX) moduleDir() string {
	p.t.Helper()
	for _, pattern := range []string{"usr/lib/*/asterisk/modules", "usr/lib/asterisk/modules"} {
		if found, _ := filepath.Glob(filepath.Join(p.root, pattern)); len(found) > 0 {
			return strings.TrimPrefix(found[0], strings.TrimSuffix(p.root, "/"))
		}
	}
	p.t.Fatalf("there is no Asterisk in %s", p.root)
	return ""
}

// loads is modules.conf: of the modules those that this version has.
func (p *PBX) loads(lib string) string {
	var b strings.Builder
	b.WriteString("[modules]\nautoload=no\n")
	for _, m := range modules {
		if _, err := os.Stat(filepath.Join(p.root, lib, m+".so")); err == nil {
			b.WriteString("load=" + m + ".so\n")
		}
	}
	return b.String()
}
