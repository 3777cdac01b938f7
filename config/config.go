// Package config reads the settings of ringback from flags, the environment,
// secret files and a YAML file, and reports everything that is wrong with them
// at once.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is the settings of one process. Everything in it is obeyed.
type Config struct {
	Listen         string // host:port of the API
	MetricsListen  string // host:port of /metrics; "": the API's
	DatabaseURL    string // sqlite:// or postgres://; may hold a password
	Migrate        bool   // at start
	AdminUsername  string // first user of the master account; "": none
	AdminPassword  Secret
	SecretKey      Secret // 32 bytes; "": none given
	OldSecretKey   Secret // the key before, for the command rekey
	Workers        int    // calls in progress at most
	Node           string // stable name of this process in the cluster
	Lease          time.Duration
	Grace          time.Duration
	Dialer         string // "trunks", "sim" or, without trunks, ""
	Sim            Sim
	SoundsDir      string         // of announcements; "": none
	DefaultRegion  string         // ISO 3166-1 alpha-2; "": none
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	WebhookAllowed []netip.Prefix // inward networks that events may go to
	KeepFinished   time.Duration  // tasks
	KeepCalls      time.Duration  // the call history
	SMTP           SMTP           // where e-mails are handed in; no Host: nowhere
	LogFormat      string         // "text" or "json"
	LogLevel       slog.Level
	Trunks         []Trunk
}

// Sim is how the simulated carrier behaves.
type Sim struct {
	AnswerPercent int           // 0–100
	Ring          time.Duration // before a leg answers
	Talk          time.Duration // before a call ends by itself
	Seed          uint64        // 0: random
	Journal       string        // file that every leg is written to; "": none
	OutageAfter   time.Duration // from the start until every call is refused
	OutageFor     time.Duration // how long that lasts; 0: no outage
}

// SMTP is a mail server.
type SMTP struct {
	Host     string // "": none
	Port     int
	Username string // "": it asks for none
	Password Secret
	From     string // the address of the sender
	TLS      string // "starttls" must be offered, "offered" is taken if it is, "tls" from the start, "off"
}

// Secret is a value that never appears in a log or a message.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// Source is where the settings of a command come from.
type Source struct {
	Args     []string                         // flags after the command's name
	Env      func(name string) (string, bool) // as os.LookupEnv
	Defaults map[string]string                // a command's own defaults, by environment name
	Serves   bool                             // the command places calls: what that needs must be there
}

// Fault is one thing wrong with the settings.
type Fault struct {
	Setting string // as it was given: RINGBACK_LISTEN, --listen, ringback.yaml:3 listen
	Message string
}

// Faults is everything that is wrong with the settings.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = "  " + fault.Setting + ": " + fault.Message
	}
	return "the configuration is at fault:\n" + strings.Join(lines, "\n")
}

func (f *Faults) add(setting, format string, args ...any) {
	*f = append(*f, Fault{Setting: setting, Message: fmt.Sprintf(format, args...)})
}

// given is the text of a setting and where it came from.
type given struct{ text, from string }

// Load reads the settings: a flag wins over the environment, the environment
// over the YAML file, the file over the default. Of an error of type Faults
// everything wrong is in it, and the trunks that have no fault are returned, so
// that they can be tried; flag.ErrHelp says that help was asked for; any other
// error is a flag that does not exist.
func Load(src Source) (Config, error) {
	flags, err := parseFlags(src.Args)
	if err != nil {
		return Config{}, err
	}
	var faults Faults
	cfg := Config{}
	file := readFile(src, flags, &faults)
	for _, s := range settings {
		g := s.find(src, flags, file, &faults)
		if g.text == "" {
			continue
		}
		if err := s.set(&cfg, g.text); err != nil {
			faults.add(g.from, "%s", err)
		}
	}
	cfg.Trunks = file.trunks
	cfg.finish(src, &faults)
	for _, name := range notYet {
		if _, ok := src.Env(prefix + name); ok {
			faults.add(prefix+name, "is not supported yet by this release")
		}
	}
	if len(faults) > 0 {
		return Config{Trunks: slices.DeleteFunc(cfg.Trunks, func(t Trunk) bool { return t.faulty })}, faults
	}
	return cfg, nil
}

// find returns the text of a setting from the best source that has it.
func (s setting) find(src Source, flags map[string]string, file yamlFile, faults *Faults) given {
	if text, ok := flags[s.flag()]; ok {
		return given{text, "--" + s.flag()}
	}
	env := prefix + s.name
	text, ok := src.Env(env)
	path, hasFile := src.Env(env + "_FILE")
	switch {
	case s.secret && ok && hasFile && text != "" && path != "":
		faults.add(env, "is given twice: here and as %s_FILE", env)
		return given{}
	case s.secret && hasFile && path != "":
		return given{s.readSecret(env+"_FILE", path, faults), env + "_FILE"}
	case ok && text != "":
		return given{text, env}
	}
	key := s.key()
	if v, ok := file.values[key]; ok {
		return v
	}
	if v, ok := file.values[key+"_file"]; ok && s.secret {
		return given{s.readSecret(v.from, v.text, faults), v.from}
	}
	if text, ok := src.Defaults[env]; ok {
		return given{text, "default of " + env}
	}
	return given{s.def, "default of " + env}
}

// readSecret returns the content of a file without its last line break.
func (s setting) readSecret(from, path string, faults *Faults) string {
	text, err := secretFile(path)
	if err != nil {
		faults.add(from, "%s", err)
	}
	return text
}

// reason is what went wrong with a file, and with which one.
func reason(err error) string {
	var e *fs.PathError
	if errors.As(err, &e) {
		return fmt.Sprintf("cannot %s %s: %s", e.Op, e.Path, e.Err)
	}
	return err.Error()
}

// finish checks what concerns more than one setting.
func (c *Config) finish(src Source, faults *Faults) {
	if (c.AdminUsername == "") != (c.AdminPassword == "") && !faults.has("ADMIN_") {
		faults.add(prefix+"ADMIN_USERNAME", "goes with %sADMIN_PASSWORD: give both or none", prefix)
	}
	if c.Node == "" {
		c.Node = hostNode()
	}
	if c.Dialer == "" && len(c.Trunks) > 0 {
		c.Dialer = "trunks"
	}
	if !src.Serves {
		return
	}
	postgres := !strings.HasPrefix(c.DatabaseURL, "sqlite:")
	if postgres && c.DatabaseURL != "" && c.SecretKey == "" && !faults.has("SECRET_KEY") {
		faults.add(prefix+"SECRET_KEY", "is required with PostgreSQL, the same on every node: openssl rand -base64 32")
	}
	if len(c.Trunks) == 0 && c.Dialer != "sim" && !faults.has("DIALER") && !faults.has("trunks") {
		faults.add(prefix+"DIALER", "there are no trunks, so no call could be placed: "+
			"name trunks in the YAML file, or set %sDIALER=sim to simulate every call", prefix)
	}
}

// has reports whether a setting with this in its name is at fault already.
func (f Faults) has(name string) bool {
	for _, fault := range f {
		if strings.Contains(fault.Setting, name) {
			return true
		}
	}
	return false
}

// parseFlags returns the texts of the flags given. Secrets have none: a
// command line can be read by every user of the machine.
func parseFlags(args []string) (map[string]string, error) {
	flags := map[string]string{}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(discard{})
	for _, s := range settings {
		if s.secret {
			continue
		}
		set.Func(s.flag(), s.doc, func(text string) error {
			flags[s.flag()] = text
			return nil
		})
	}
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return flags, nil
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
