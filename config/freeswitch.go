package config

import (
	"errors"
	"net"
	"regexp"
	"strings"
	"unicode"
)

// eslAddress takes where an event socket is connected to.
func eslAddress(to *string, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "0" || address(to, s) != nil {
		return errors.New("must be the host and the port of an event socket, such as 127.0.0.1:8021")
	}
	*to = s
	return nil
}

// eslDialString has none of the characters by which FreeSWITCH parts dial
// strings or reads settings from them.
var eslDialString = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]*/[A-Za-z0-9._:;=@/+*%-]+$`)

func eslEndpoint(s string) error {
	bare := strings.NewReplacer("{number}", "1", "{e164}", "1").Replace(s)
	if strings.Count(s, "{number}")+strings.Count(s, "{e164}") != 1 || !eslDialString.MatchString(bare) || strings.Contains(bare, ":_:") {
		return errors.New("must be one dial string of FreeSWITCH with the number in it once: sofia/gateway/carrier/{number}")
	}
	return nil
}

// finishESL finds what a trunk of FreeSWITCH lacks.
func (t *Trunk) finishESL(at string, faults *Faults) {
	if t.Address == "" {
		faults.add(at+".address", "is required for driver esl")
	}
	switch {
	case t.Password == "":
		faults.add(at+".password", "is required for driver esl, or password_file")
	case strings.ContainsFunc(string(t.Password), unicode.IsControl):
		faults.add(at+".password", "must be one line")
	}
}

// otherPassword returns the name of a trunk on the same FreeSWITCH that signs in
// differently; "": there is none.
func (t *Trunk) otherPassword(trunks []Trunk) string {
	for _, o := range trunks {
		if t.Driver == "esl" && o.Driver == "esl" && t.Address == o.Address && t.Password != o.Password {
			return o.Name
		}
	}
	return ""
}
