package config

import (
	"fmt"
	"strings"
)

// prefix begins the environment name of every setting.
const prefix = "RINGBACK_"

// setting is one row of the table that the environment names, the flags, the
// keys of the YAML file and the table in the README are made of.
type setting struct {
	name   string // environment name without its prefix
	def    string // as one would write it; "": none
	shown  string // the default in words, where def does not say it
	doc    string // one line, for the README and -h
	secret bool   // may come from a file, has no flag
	set    func(*Config, string) error
}

// flag is the name of the setting on the command line.
func (s setting) flag() string { return strings.ReplaceAll(s.key(), "_", "-") }

// key is the name of the setting in the YAML file.
func (s setting) key() string { return strings.ToLower(s.name) }

var settings = []setting{
	{name: "CONFIG", shown: "`ringback.yaml` if it is there", doc: "YAML file with any of these settings (lower case, without the prefix) and `trunks`",
		set: func(*Config, string) error { return nil }}, // read before all others
	{name: "LISTEN", def: "127.0.0.1:8080", doc: "address of the API and of health",
		set: func(c *Config, s string) error { return address(&c.Listen, s) }},
	{name: "METRICS_LISTEN", shown: "same listener", doc: "address of `/metrics`, if it shall be elsewhere",
		set: func(c *Config, s string) error { return address(&c.MetricsListen, s) }},
	{name: "DATABASE_URL", def: "sqlite://./data/ringback.db", doc: "`sqlite://PATH` for one process, `postgres://…` for several nodes on one database",
		set: func(c *Config, s string) error { return databaseURL(&c.DatabaseURL, s) }},
	{name: "MIGRATE", def: "on", doc: "`off`: do not migrate the database at start, but refuse to start while it is behind",
		set: func(c *Config, s string) error { return onOff(&c.Migrate, s) }},
	{name: "ADMIN_USERNAME", shown: "none", doc: "first user of the master account, made once, while there is no account",
		set: func(c *Config, s string) error { return username(&c.AdminUsername, s) }},
	{name: "ADMIN_PASSWORD", shown: "none", secret: true, doc: "its password, 12 to 128 characters",
		set: func(c *Config, s string) error { return password(&c.AdminPassword, s) }},
	{name: "SECRET_KEY", shown: "made and kept beside a SQLite database; required with PostgreSQL", secret: true,
		doc: "32 bytes in base64 or hex that seal the webhook secrets at rest",
		set: func(c *Config, s string) error { return key(&c.SecretKey, s) }},
	{name: "OLD_SECRET_KEY", shown: "the one beside a SQLite database", secret: true, doc: "the key before, for `ringback rekey` alone",
		set: func(c *Config, s string) error { return key(&c.OldSecretKey, s) }},
	{name: "WORKERS", def: "1000", doc: "calls in progress on this node at most",
		set: func(c *Config, s string) error { return integer(&c.Workers, s, 1, 100_000) }},
	{name: "NODE", shown: "host name", doc: "a stable name per node; no two processes of one database may share it",
		set: func(c *Config, s string) error { return nodeName(&c.Node, s) }},
	{name: "LEASE", def: "15s", doc: "how long a silent node keeps its calls before another takes over",
		set: func(c *Config, s string) error { return duration(&c.Lease, s, minLease, maxLease) }},
	{name: "GRACE", def: "5m", shown: "`5m` (`demo`: `2s`)", doc: "how long calls may go on after SIGTERM; a second signal ends it",
		set: func(c *Config, s string) error { return duration(&c.Grace, s, 0, maxGrace) }},
	{name: "DIALER", shown: "`trunks` if the YAML file has any (`demo`: `sim`)", doc: "`trunks`, or `sim`: every call is simulated",
		set: func(c *Config, s string) error { return oneOf(&c.Dialer, s, "trunks", "sim") }},
	{name: "SIM_ANSWER_PERCENT", def: "70", shown: "`70` (`demo`: `100`)", doc: "simulated carrier: how many of 100 calls are answered; the rest is busy or no answer",
		set: func(c *Config, s string) error { return integer(&c.Sim.AnswerPercent, s, 0, 100) }},
	{name: "SIM_RING_MS", def: "3000", shown: "`3000` (`demo`: `1000`)", doc: "simulated carrier: milliseconds before an answer",
		set: func(c *Config, s string) error { return milliseconds(&c.Sim.Ring, s) }},
	{name: "SIM_TALK_MS", def: "20000", shown: "`20000` (`demo`: `3000`)", doc: "simulated carrier: milliseconds that A and B talk",
		set: func(c *Config, s string) error { return milliseconds(&c.Sim.Talk, s) }},
	{name: "SIM_SEED", shown: "random", doc: "simulated carrier: a number that makes its choices repeat",
		set: func(c *Config, s string) error { return seed(&c.Sim.Seed, s) }},
	{name: "SIM_JOURNAL", shown: "none", doc: "simulated carrier: file that gets one JSON line per originate and end",
		set: func(c *Config, s string) error { c.Sim.Journal = s; return nil }},
	{name: "SIM_OUTAGE", shown: "none", doc: "simulated carrier: every call is refused as congested in a time after the start, such as `30s/2m`: from 30 s on, for two minutes",
		set: func(c *Config, s string) error { return outage(&c.Sim, s) }},
	{name: "SOUNDS_DIR", shown: "none", doc: "directory of announcements: `ID.wav`, linear PCM of 16 bits, mono, 8000 Hz, read at start",
		set: func(c *Config, s string) error { c.SoundsDir = s; return nil }},
	{name: "DEFAULT_REGION", shown: "none", doc: "country (ISO 3166-1, two letters) of numbers without a country code",
		set: func(c *Config, s string) error { return region(&c.DefaultRegion, s) }},
	{name: "TRUSTED_PROXIES", shown: "none", doc: "networks of proxies whose `X-Forwarded-For` is believed, by commas",
		set: func(c *Config, s string) error { return prefixes(&c.TrustedProxies, s) }},
	{name: "WEBHOOK_ALLOW_CIDRS", shown: "none (`demo`: loopback)", doc: "inward networks that events may be sent to, by commas; link-local stays refused",
		set: func(c *Config, s string) error { return prefixes(&c.WebhookAllowed, s) }},
	{name: "KEEP_FINISHED", def: "90d", doc: "how long finished tasks are kept, 1 day at least",
		set: func(c *Config, s string) error { return duration(&c.KeepFinished, s, minKeep, maxKeep) }},
	{name: "KEEP_CALLS", def: "365d", doc: "how long the call history is kept, 1 day at least",
		set: func(c *Config, s string) error { return duration(&c.KeepCalls, s, minKeep, maxKeep) }},
	{name: "SMTP_URL", shown: "none", secret: true,
		doc: "mail server for notifications: `smtp://user:password@host:587?from=ringback@example.com`; `smtps://` for TLS from the start; with a user STARTTLS is required unless `tls=off`",
		set: func(c *Config, s string) error { return smtpURL(&c.SMTP, s) }},
	{name: "LOG_FORMAT", def: "text", doc: "`text` or `json`",
		set: func(c *Config, s string) error { return oneOf(&c.LogFormat, s, "text", "json") }},
	{name: "LOG_LEVEL", def: "info", doc: "`debug`, `info`, `warn` or `error`",
		set: func(c *Config, s string) error { return level(&c.LogLevel, s) }},
}

// notYet are settings that are documented for later releases. Giving one is a
// fault, so that nobody believes that it is obeyed. (Other unknown names of
// the environment are left alone: Kubernetes makes RINGBACK_PORT and its like
// for a service called ringback.)
var notYet = []string{
	"OTLP_ENDPOINT",
}

// defaultText is the default as the README shows it.
func (s setting) defaultText() string {
	if s.shown != "" {
		return s.shown
	}
	return "`" + s.def + "`"
}

// Table returns the settings as a table in Markdown, as the README has it.
func Table() string {
	var b strings.Builder
	b.WriteString("| environment | flag | default | |\n|---|---|---|---|\n")
	for _, s := range settings {
		name, flag := "`"+prefix+s.name+"`", "`--"+s.flag()+"`"
		if s.secret {
			name, flag = name+", `…_FILE`", ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, flag, s.defaultText(), s.doc)
	}
	return b.String()
}

// Usage returns the settings as text for a terminal.
func Usage() string {
	var b strings.Builder
	for _, s := range settings {
		flag := "--" + s.flag()
		if s.secret {
			flag = "(or " + prefix + s.name + "_FILE)"
		}
		fmt.Fprintf(&b, "  %-29s %-22s %s (default: %s)\n", prefix+s.name, flag, s.doc, s.defaultText())
	}
	return strings.ReplaceAll(b.String(), "`", "")
}
