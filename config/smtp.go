package config

import (
	"errors"
	"net/mail"
	"net/url"
	"strconv"
)

// smtpURL reads the URL of a mail server. Nothing of it is repeated in a fault: it
// has a password.
func smtpURL(to *SMTP, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return errors.New("must be like smtp://user:password@host:587?from=ringback@example.com")
	}
	server := SMTP{Host: u.Hostname(), Port: 587, Username: u.User.Username(), TLS: "offered"}
	password, _ := u.User.Password()
	server.Password = Secret(password)
	if server.Username != "" {
		server.TLS = "starttls"
	}
	if u.Scheme == "smtps" {
		server.Port, server.TLS = 465, "tls"
	}
	if p := u.Port(); p != "" {
		if server.Port, err = strconv.Atoi(p); err != nil || server.Port < 1 || server.Port > 65535 {
			return errors.New("must have a port from 1 to 65535")
		}
	}
	server.From = server.Username
	for name, values := range u.Query() {
		switch {
		case name == "from" && len(values) == 1:
			server.From = values[0]
		case name == "tls" && len(values) == 1 && values[0] == "off" && u.Scheme == "smtp":
			server.TLS = "off"
		default:
			return errors.New("takes the parameters from, once, and tls=off with smtp://")
		}
	}
	if parsed, err := mail.ParseAddress(server.From); err != nil || parsed.Address != server.From {
		return errors.New("must name the sender: ?from=ringback@example.com")
	}
	*to = server
	return nil
}
