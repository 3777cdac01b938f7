package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/config"
)

// key is 32 bytes in hex.
const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// load loads in an empty directory, with these files in it.
func load(t *testing.T, serves bool, args []string, env, files map[string]string) (config.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	return config.Load(config.Source{Args: args, Env: lookup, Serves: serves})
}

func TestDefaults(t *testing.T) {
	cfg, err := load(t, false, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	want := fmt.Sprint("127.0.0.1:8080", "", "sqlite://./data/ringback.db", true, 1000, host, 15*time.Second, 5*time.Minute, "", 70,
		3*time.Second, 20*time.Second)
	got := fmt.Sprint(cfg.Listen, cfg.MetricsListen, cfg.DatabaseURL, cfg.Migrate, cfg.Workers, cfg.Node, cfg.Lease, cfg.Grace, cfg.Dialer,
		cfg.Sim.AnswerPercent, cfg.Sim.Ring, cfg.Sim.Talk)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOrder(t *testing.T) {
	yaml := map[string]string{"ringback.yaml": "listen: 127.0.0.1:3\nworkers: 3\nlease: 3s\n"}
	env := map[string]string{"RINGBACK_LISTEN": "127.0.0.1:2", "RINGBACK_WORKERS": "2"}
	cfg, err := load(t, false, []string{"--listen", "127.0.0.1:1"}, env, yaml)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "127.0.0.1:1" || cfg.Workers != 2 || cfg.Lease != 3*time.Second || cfg.LogFormat != "text" {
		t.Errorf("flag, environment, file, default: got %q %d %s %q", cfg.Listen, cfg.Workers, cfg.Lease, cfg.LogFormat)
	}
}

func TestCommandDefaults(t *testing.T) {
	t.Chdir(t.TempDir())
	src := config.Source{Env: func(string) (string, bool) { return "", false }, Defaults: map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_GRACE": "2s"}, Serves: true}
	cfg, err := config.Load(src)
	if err != nil || cfg.Dialer != "sim" || cfg.Grace != 2*time.Second {
		t.Errorf("got %q %s %v", cfg.Dialer, cfg.Grace, err)
	}
	src.Args = []string{"--grace=9s"}
	if cfg, err = config.Load(src); err != nil || cfg.Grace != 9*time.Second {
		t.Errorf("a flag wins over a command's default: got %s %v", cfg.Grace, err)
	}
}

func TestValues(t *testing.T) {
	check := func(get func(config.Config) any, want string) func(config.Config) string {
		return func(c config.Config) string {
			if got := fmt.Sprint(get(c)); got != want {
				return fmt.Sprintf("got %s, want %s", got, want)
			}
			return ""
		}
	}
	lease := func(c config.Config) any { return c.Lease }
	grace := func(c config.Config) any { return c.Grace }
	tests := map[string]struct {
		name, value string
		check       func(config.Config) string
	}{
		"a duration in seconds":          {"LEASE", "15s", check(lease, "15s")},
		"a duration in days":             {"GRACE", "1d", check(grace, "24h0m0s")},
		"a key in hex":                   {"SECRET_KEY", key, check(func(c config.Config) any { return len(c.SecretKey) }, "32")},
		"a key in base64":                {"SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", check(func(c config.Config) any { return len(c.SecretKey) }, "32")},
		"several networks":               {"WEBHOOK_ALLOW_CIDRS", "10.1.2.3/8, ::1/128", check(func(c config.Config) any { return c.WebhookAllowed }, "[10.0.0.0/8 ::1/128]")},
		"a region in any case":           {"DEFAULT_REGION", "it", check(func(c config.Config) any { return c.DefaultRegion }, "IT")},
		"an outage":                      {"SIM_OUTAGE", "30s/2m", check(func(c config.Config) any { return fmt.Sprint(c.Sim.OutageAfter, c.Sim.OutageFor) }, "30s 2m0s")},
		"a seed of 64 bits":              {"SIM_SEED", "18446744073709551615", check(func(c config.Config) any { return c.Sim.Seed }, "18446744073709551615")},
		"a level":                        {"LOG_LEVEL", "warn", check(func(c config.Config) any { return c.LogLevel }, "WARN")},
		"an empty value is no value":     {"LEASE", "", check(lease, "15s")},
		"a directory of sounds":          {"SOUNDS_DIR", "/srv/sounds", check(func(c config.Config) any { return c.SoundsDir }, "/srv/sounds")},
		"migrations can be switched off": {"MIGRATE", "off", check(func(c config.Config) any { return c.Migrate }, "false")},
	}
	for claim, test := range tests {
		t.Run(claim, func(t *testing.T) {
			cfg, err := load(t, false, nil, map[string]string{"RINGBACK_" + test.name: test.value}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := test.check(cfg); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// TestBadValues gives every faulty value alone, then all at once.
func TestBadValues(t *testing.T) {
	bad := map[string]string{
		"LISTEN": "8080", "METRICS_LISTEN": "localhost:99999", "DATABASE_URL": "mysql://u:hunter2hunter2@h/d", "MIGRATE": "maybe",
		"ADMIN_USERNAME": "a b", "ADMIN_PASSWORD": "hunter2", "SECRET_KEY": "hunter2", "WORKERS": "0", "NODE": "a/b", "LEASE": "15", "GRACE": "25h",
		"DIALER": "skype", "SIM_ANSWER_PERCENT": "101", "SIM_RING_MS": "-1", "SIM_TALK_MS": "3s", "SIM_SEED": "x", "SIM_OUTAGE": "30s/0s",
		"DEFAULT_REGION": "ZZ", "WEBHOOK_ALLOW_CIDRS": "10.0.0.1", "TRUSTED_PROXIES": "proxy", "LOG_FORMAT": "xml", "LOG_LEVEL": "loud", "CONFIG": "none.yaml",
		"KEEP_CALLS": "23h", "KEEP_FINISHED": "90", "SMTP_URL": "smtp://u:hunter2hunter2@h",
	}
	all := map[string]string{}
	for name, value := range bad {
		all["RINGBACK_"+name] = value
		t.Run(name, func(t *testing.T) {
			_, err := load(t, false, nil, map[string]string{"RINGBACK_" + name: value}, nil)
			if n := faultsNamed(err, "RINGBACK_"+name); n != 1 {
				t.Errorf("want one fault of RINGBACK_%s: %v", name, err)
			}
		})
	}
	_, err := load(t, true, nil, all, nil)
	for name := range all {
		if faultsNamed(err, name) != 1 {
			t.Errorf("%s is not among the faults of all at once:\n%v", name, err)
		}
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Errorf("a secret is told:\n%v", err)
	}
}

func faultsNamed(err error, setting string) (n int) {
	var faults config.Faults
	if !errors.As(err, &faults) {
		return 0
	}
	for _, f := range faults {
		if f.Setting == setting {
			n++
		}
	}
	return n
}

func TestFlags(t *testing.T) {
	tests := map[string]struct {
		args []string
		ok   func(error) bool
	}{
		"help is asked for":             {[]string{"-h"}, func(err error) bool { return errors.Is(err, flag.ErrHelp) }},
		"an unknown flag is no fault":   {[]string{"--colour"}, func(err error) bool { return err != nil && faultless(err) }},
		"an argument is unexpected":     {[]string{"now"}, func(err error) bool { return err != nil && faultless(err) }},
		"a bad flag is a fault":         {[]string{"--workers", "many"}, func(err error) bool { return faultsNamed(err, "--workers") == 1 }},
		"a password cannot be a flag":   {[]string{"--admin-password", "x"}, func(err error) bool { return err != nil && faultless(err) }},
		"the file can be named by flag": {[]string{"--config", "a.yaml"}, func(err error) bool { return faultsNamed(err, "--config") == 1 }},
	}
	for claim, test := range tests {
		t.Run(claim, func(t *testing.T) {
			if _, err := load(t, false, test.args, nil, nil); !test.ok(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func faultless(err error) bool {
	var faults config.Faults
	return !errors.As(err, &faults)
}

func TestSecretFiles(t *testing.T) {
	files := map[string]string{"password": "correct horse battery\n", "empty": "", "ringback.yaml": "admin_username: root\nadmin_password_file: password\n"}
	cfg, err := load(t, false, nil, nil, files)
	if err != nil || string(cfg.AdminPassword) != "correct horse battery" {
		t.Errorf("a YAML file names a secret's file: got %q, %v", string(cfg.AdminPassword), err)
	}
	delete(files, "ringback.yaml")
	env := map[string]string{"RINGBACK_ADMIN_USERNAME": "root", "RINGBACK_ADMIN_PASSWORD_FILE": "password"}
	cfg, err = load(t, false, nil, env, files)
	if err != nil || string(cfg.AdminPassword) != "correct horse battery" {
		t.Errorf("the environment names a secret's file: got %q, %v", string(cfg.AdminPassword), err)
	}
	for _, path := range []string{"empty", "missing"} {
		env["RINGBACK_ADMIN_PASSWORD_FILE"] = path
		if _, err = load(t, false, nil, env, files); faultsNamed(err, "RINGBACK_ADMIN_PASSWORD_FILE") != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
	env["RINGBACK_ADMIN_PASSWORD"] = "correct horse battery"
	if _, err = load(t, false, nil, env, files); faultsNamed(err, "RINGBACK_ADMIN_PASSWORD") != 1 {
		t.Errorf("a secret given twice: %v", err)
	}
}

func TestSecretsHide(t *testing.T) {
	env := map[string]string{"RINGBACK_ADMIN_USERNAME": "root", "RINGBACK_ADMIN_PASSWORD": "hunter2hunter2"}
	cfg, err := load(t, false, nil, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, cfg); strings.Contains(s, "hunter2") {
			t.Errorf("%s tells the password: %s", verb, s)
		}
	}
}

func TestServes(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want []string // settings at fault
	}{
		"neither trunks nor sim":          {nil, []string{"RINGBACK_DIALER"}},
		"trunks asked for, none there":    {map[string]string{"RINGBACK_DIALER": "trunks"}, []string{"RINGBACK_DIALER"}},
		"sim by name":                     {map[string]string{"RINGBACK_DIALER": "sim"}, nil},
		"PostgreSQL needs a key":          {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_DATABASE_URL": "postgres://h/d"}, []string{"RINGBACK_SECRET_KEY"}},
		"PostgreSQL with a key":           {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_DATABASE_URL": "postgres://h/d", "RINGBACK_SECRET_KEY": key}, nil},
		"a user without a password":       {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_ADMIN_USERNAME": "root"}, []string{"RINGBACK_ADMIN_USERNAME"}},
		"a password without a user":       {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_ADMIN_PASSWORD": "hunter2hunter2"}, []string{"RINGBACK_ADMIN_USERNAME"}},
		"names that Kubernetes makes":     {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_PORT": "tcp://10.0.0.1:8080"}, nil},
		"a documented setting not obeyed": {map[string]string{"RINGBACK_DIALER": "sim", "RINGBACK_OTLP_ENDPOINT": "/s"}, []string{"RINGBACK_OTLP_ENDPOINT"}},
	}
	for claim, test := range tests {
		t.Run(claim, func(t *testing.T) {
			_, err := load(t, true, nil, test.env, nil)
			var faults config.Faults
			errors.As(err, &faults)
			var got []string
			for _, f := range faults {
				got = append(got, f.Setting)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got faults of %v, want %v", got, test.want)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the tables of the README")

// TestREADME keeps the tables of the README equal to the code.
func TestREADME(t *testing.T) {
	path, err := filepath.Abs("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for name, table := range map[string]string{"settings": config.Table(), "trunks": config.TrunkTable()} {
		begin, end := "<!-- "+name+": made by go test ./config -update -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		old, after, ok2 := strings.Cut(rest, end)
		switch {
		case !ok || !ok2:
			t.Errorf("README.md has no marks for the table of %s", name)
		case *update:
			text = before + begin + table + end + after
		case old != table:
			t.Errorf("the table of %s in README.md differs from the code: go test ./config -update", name)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
