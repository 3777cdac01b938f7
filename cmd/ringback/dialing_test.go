package main

import (
	"log/slog"
	"testing"
	"time"

	"ringback/config"
)

// TestTrunksOfOnePBX: trunks on one application of an Asterisk share a driver,
// as a second connection would throw out the first, and those on one FreeSWITCH
// do; others have their own.
func TestTrunksOfOnePBX(t *testing.T) {
	trunk := func(name, url, app string) config.Trunk {
		return config.Trunk{
			Name: name, Driver: "ari", URL: url, App: app, Username: "u", Password: "p", Endpoint: "PJSIP/{number}@" + name,
		}
	}
	const here, there = "http://127.0.0.1:9/ari", "http://127.0.0.1:19/ari" // nobody listens
	cfg := config.Config{Node: "n", Trunks: []config.Trunk{
		trunk("a", here, "x"), trunk("b", here, "x"), trunk("c", here, "y"), trunk("d", there, "x"),
		{Name: "e", Driver: "sim"},
		{Name: "f", Driver: "esl", Address: "127.0.0.1:9", Password: "p", Endpoint: "user/{number}"},
		{Name: "g", Driver: "esl", Address: "127.0.0.1:9", Password: "p", Endpoint: "user/{e164}"},
		{Name: "h", Driver: "esl", Address: "127.0.0.1:19", Password: "p", Endpoint: "user/{number}"},
	}}
	c, err := openCarriers(cfg, carrierOptions{now: time.Now, observed: newMetrics(), log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.drivers) != 6 {
		t.Errorf("%d drivers, want 6", len(c.drivers))
	}
	of := endpoints(cfg.Trunks, network{"ari", here, "x"})
	if len(of) != 2 || of["a"] != "PJSIP/{number}@a" || of["b"] != "PJSIP/{number}@b" {
		t.Errorf("the endpoints of a and b are %v", of)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}
