package ari_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringback/dialer"
	"ringback/dialer/ari/asterisktest"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip/sipptest"
	"ringback/scheduler"
)

// TestCauses: what SIP peers refuse with, as Asterisk tells it.
func TestCauses(t *testing.T) {
	type cause struct {
		q850 int
		want scheduler.Disposition
	}
	tests := map[string]struct {
		status int
		reason string // header
		cause
		newer cause // of an Asterisk that tells the SIP response; zero: the same
	}{
		"busy":                     {486, "", cause{17, scheduler.UserBusy}, cause{}},
		"busy everywhere":          {600, "", cause{17, scheduler.UserBusy}, cause{}},
		"temporarily unavailable":  {480, "", cause{19, scheduler.NoAnswer}, cause{}},
		"declined":                 {603, "", cause{21, scheduler.Rejected}, cause{}},
		"not found":                {404, "", cause{1, scheduler.InvalidNumber}, cause{}},
		"gone":                     {410, "", cause{22, scheduler.InvalidNumber}, cause{}},
		"incomplete":               {484, "", cause{28, scheduler.InvalidNumber}, cause{}},
		"bad gateway":              {502, "", cause{27, scheduler.Congestion}, cause{}},
		"no service":               {503, "", cause{34, scheduler.Congestion}, cause{}},
		"gateway time-out":         {504, "", cause{102, scheduler.Congestion}, cause{}},
		"server error":             {500, "", cause{38, scheduler.Congestion}, cause{}},
		"not acceptable":           {488, "", cause{58, scheduler.Failed}, cause{}},
		"too many hops":            {483, "", cause{19, scheduler.NoAnswer}, cause{19, scheduler.Failed}},
		"forbidden":                {403, "", cause{21, scheduler.Rejected}, cause{21, scheduler.Congestion}},
		"a time-out after ringing": {408, "", cause{18, scheduler.NoAnswer}, cause{}},
		// Newer ones put what they make of the response over the header.
		"a reason that says more":      {480, "Reason: Q.850;cause=20", cause{20, scheduler.Absent}, cause{19, scheduler.NoAnswer}},
		"a reason that says otherwise": {404, "Reason: Q.850;cause=3", cause{3, scheduler.Congestion}, cause{1, scheduler.InvalidNumber}},
	}
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		n := 0
		for claim, test := range tests {
			n++
			t.Run(claim, func(t *testing.T) {
				extra := test.reason
				if extra == "" {
					extra = "Server: peer"
				}
				peer := sipptest.Start(t, sipptest.Options{Scenario: "../sip/testdata/refuse.xml", Keys: map[string]string{
					"status": fmt.Sprint(test.status), "phrase": "No", "extra": extra,
				}})
				d := open(t, options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", peer.Addr)))
				end := leg(t, d, n, scheduler.LegA, dialertest.Answers, "").End(t)
				expected := test.cause
				if end.SIP != 0 && test.newer != (cause{}) {
					expected = test.newer
				}
				want := dialer.End{Disposition: expected.want, Q850: expected.q850, By: scheduler.ByPeer, SIP: end.SIP, Native: end.Native}
				if end != want || end.SIP != 0 && end.SIP != test.status {
					t.Errorf("ended %+v, want %+v", end, want)
				}
				peer.Wait()
			})
		}
	})
}

// TestElsewhere: who rings in vain because another one answered hears that.
func TestElsewhere(t *testing.T) {
	asterisktest.Each(t, func(t *testing.T, root string) {
		pbx := asterisktest.Start(t, asterisktest.Options{Root: root})
		// Asterisk says it in a header of its own, above that with the cause.
		text, err := os.ReadFile("../sip/testdata/cancelled_elsewhere.xml")
		if err != nil {
			t.Fatal(err)
		}
		scenario := filepath.Join(t.TempDir(), "cancelled_elsewhere.xml")
		text = bytes.ReplaceAll(text, []byte("Q.850;cause=26;text="), []byte("SIP;cause=200;text="))
		if err := os.WriteFile(scenario, text, 0o600); err != nil {
			t.Fatal(err)
		}
		peer := sipptest.Start(t, sipptest.Options{Scenario: scenario})
		d := open(t, options(pbx, fmt.Sprintf("PJSIP/carrier/sip:{number}@%s", peer.Addr)))
		rings := leg(t, d, 1, scheduler.LegA, dialertest.Silent, "")
		rings.Await(t, dialer.Ringing)
		if err := d.Hangup(t.Context(), rings.ID, dialer.HangupElsewhere); err != nil {
			t.Error(err)
		}
		if end := rings.End(t); end.Disposition != scheduler.Cancelled || end.Q850 != scheduler.CauseAnsweredElse {
			t.Errorf("ended %+v", end)
		}
		peer.Wait()
		if !strings.Contains(peer.Messages(), "Reason: Q.850;cause=26") {
			t.Error("the CANCEL had no cause 26")
		}
	})
}
