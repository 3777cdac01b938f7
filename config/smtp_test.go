package config

import (
	"strings"
	"testing"
)

func TestSMTPURL(t *testing.T) {
	for given, want := range map[string]SMTP{
		"smtp://a%40b.example:p%40ss@mx.example":   {"mx.example", 587, "a@b.example", "p@ss", "a@b.example", "starttls"},
		"smtp://mx.example:25?from=r@b.example":    {"mx.example", 25, "", "", "r@b.example", "offered"},
		"smtps://u:p@[::1]?from=r@b.example":       {"::1", 465, "u", "p", "r@b.example", "tls"},
		"smtp://u:p@h:26?from=r@b.example&tls=off": {"h", 26, "u", "p", "r@b.example", "off"},
	} {
		var got SMTP
		if err := smtpURL(&got, given); err != nil || got != want {
			t.Errorf("%s: %+v, %v", given, got, err)
		}
	}
	for _, given := range []string{
		"smtp://u:hunter2@h", "http://h?from=r@b.example", "smtp://?from=r@b.example", "smtp://h:0?from=r@b.example", "smtp://h?from=r", "h", "smtp://u:hunter2@h/x?from=r@b.example",
		"smtp://h?from=r@b.example&tls=on", "smtps://h?from=r@b.example&tls=off", "smtp://u:hunter2@h:x?from=r@b.example",
	} {
		if err := smtpURL(new(SMTP), given); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", given, err)
		}
	}
}
