package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// Limits of durations.
const (
	minLease = time.Second
	maxLease = 5 * time.Minute
	maxGrace = 24 * time.Hour
	minKeep  = 24 * time.Hour
	maxKeep  = 100 * 365 * 24 * time.Hour
)

func address(to *string, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("must be host:port, such as 127.0.0.1:8080")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("must have a port between 0 and 65535")
	}
	*to = s
	return nil
}

// databaseURL never repeats the text: it may hold a password.
func databaseURL(to *string, s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is no URL")
	}
	switch u.Scheme {
	case "sqlite":
		if u.Host+u.Path+u.Opaque == "" {
			return errors.New("must name a file: sqlite://./data/ringback.db")
		}
	case "postgres", "postgresql":
		if u.Path == "" || u.Path == "/" {
			return errors.New("must name a database: postgres://user:password@host:5432/database")
		}
	default:
		return errors.New("must begin with sqlite:// or postgres://")
	}
	*to = s
	return nil
}

func onOff(to *bool, s string) error {
	switch strings.ToLower(s) {
	case "on", "true", "yes", "1":
		*to = true
	case "off", "false", "no", "0":
		*to = false
	default:
		return errors.New("must be on or off")
	}
	return nil
}

func username(to *string, s string) error {
	if n := len(s); n < 3 || n > 254 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errors.New("must be 3 to 254 printable characters without spaces")
	}
	*to = s
	return nil
}

func password(to *Secret, s string) error {
	if n := len([]rune(s)); n < 12 || n > 128 {
		return errors.New("must be 12 to 128 characters")
	}
	*to = Secret(s)
	return nil
}

func key(to *Secret, s string) error {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		raw, err = base64.StdEncoding.DecodeString(s)
	}
	if err != nil || len(raw) != 32 {
		return errors.New("must be 32 bytes in base64 or hex: openssl rand -base64 32")
	}
	*to = Secret(raw)
	return nil
}

func integer(to *int, s string, low, high int) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return fmt.Errorf("must be a whole number between %d and %d", low, high)
	}
	*to = n
	return nil
}

func seed(to *uint64, s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return errors.New("must be a whole number above 0")
	}
	*to = n
	return nil
}

func milliseconds(to *time.Duration, s string) error {
	var n int
	if err := integer(&n, s, 0, 3_600_000); err != nil {
		return err
	}
	*to = time.Duration(n) * time.Millisecond
	return nil
}

var days = regexp.MustCompile(`^([0-9]{1,4})d(.*)$`)

// duration reads Go's durations, and days before them: 5m, 90d, 1d12h.
func duration(to *time.Duration, s string, low, high time.Duration) error {
	var total time.Duration
	rest := s
	if m := days.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most four digits
		total, rest = time.Duration(n)*24*time.Hour, m[2]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return errors.New("must be a duration such as 15s, 5m or 90d")
		}
		total += d
	}
	if total < low || total > high {
		return fmt.Errorf("must be between %s and %s", low, high)
	}
	*to = total
	return nil
}

// outage reads when an outage begins and how long it lasts: 30s/2m.
func outage(to *Sim, s string) error {
	after, lasts, ok := strings.Cut(s, "/")
	if !ok {
		return errors.New("must be two durations, such as 30s/2m")
	}
	if err := duration(&to.OutageAfter, after, 0, 24*time.Hour); err != nil {
		return fmt.Errorf("the time before it %w", err)
	}
	if err := duration(&to.OutageFor, lasts, time.Second, 24*time.Hour); err != nil {
		return fmt.Errorf("the time that it lasts %w", err)
	}
	return nil
}

func oneOf(to *string, s string, choices ...string) error {
	for _, c := range choices {
		if s == c {
			*to = s
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(choices, ", "))
}

var nodeForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func nodeName(to *string, s string) error {
	if !nodeForm.MatchString(s) {
		return errors.New("must be 1 to 64 letters, digits, dots, dashes or underscores")
	}
	*to = s
	return nil
}

// hostNode is the name of a node that was given none.
func hostNode() string {
	name, err := os.Hostname()
	if err != nil || !nodeForm.MatchString(name) {
		return "ringback"
	}
	return name
}

func region(to *string, s string) error {
	s = strings.ToUpper(s)
	if !phonenumbers.GetSupportedRegions()[s] {
		return errors.New("must be a country's two letters, such as IT")
	}
	*to = s
	return nil
}

func prefixes(to *[]netip.Prefix, s string) error {
	var list []netip.Prefix
	for _, text := range strings.Split(s, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%q must be a network such as 10.0.0.0/8", strings.TrimSpace(text))
		}
		list = append(list, p.Masked())
	}
	*to = list
	return nil
}

func level(to *slog.Level, s string) error {
	switch s {
	case "debug", "info", "warn", "error":
		return to.UnmarshalText([]byte(s))
	}
	return errors.New("must be one of debug, info, warn, error")
}
