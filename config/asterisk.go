package config

import (
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// ariURL never repeats the text: it may hold a password.
func ariURL(to *string, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("must be http:// or https:// and a host, such as http://127.0.0.1:8088/ari")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must have no user, query or fragment: username and password are settings of their own")
	}
	*to = strings.TrimSuffix(s, "/")
	return nil
}

// userName takes what can stand in basic and in digest authentication.
func userName(to *string, s string) error {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || strings.ContainsRune(`:"\`, r) }) {
		return errors.New(`must be a name without :, " and \`)
	}
	*to = s
	return nil
}

var dialString = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*/[A-Za-z0-9._:;=@/+*#\[\]-]+$`)

func ariEndpoint(s string) error {
	bare := strings.NewReplacer("{number}", "1", "{e164}", "1").Replace(s)
	if strings.Count(s, "{number}")+strings.Count(s, "{e164}") != 1 || !dialString.MatchString(bare) {
		return errors.New("must be a dial string of Asterisk with the number in it once: PJSIP/{number}@trunk")
	}
	return nil
}

var soundsPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)

// soundsDir takes a directory that can stand in a media URI of Asterisk and in a
// command of FreeSWITCH.
func soundsDir(to *string, s string) error {
	if s = strings.TrimSuffix(s, "/"); !soundsPath.MatchString(s) {
		return errors.New("must be an absolute directory of letters, digits, dots, dashes and underscores, as Asterisk or FreeSWITCH sees it")
	}
	*to = s
	return nil
}

// secretFile returns the content of a file without its last line break.
func secretFile(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", errors.New(reason(err))
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", errors.New("the file is empty")
	}
	return text, nil
}

// finishARI finds what a trunk of Asterisk lacks.
func (t *Trunk) finishARI(at string, faults *Faults) {
	if t.URL == "" {
		faults.add(at+".url", "is required for driver ari")
	}
	if t.Username == "" {
		faults.add(at+".username", "is required for driver ari")
	}
	if t.Password == "" {
		faults.add(at+".password", "is required for driver ari, or password_file")
	}
	if t.App == "" {
		t.App = defaultApp
	}
}

// otherUser returns the name of a trunk on the same application of the same
// Asterisk that signs in differently; "": there is none.
func (t *Trunk) otherUser(trunks []Trunk) string {
	for _, o := range trunks {
		if t.Driver == "ari" && o.Driver == "ari" && t.URL == o.URL && t.App == o.App &&
			(t.Username != o.Username || t.Password != o.Password) {
			return o.Name
		}
	}
	return ""
}
