package sip_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/sip"
	"ringback/dialer/sip/sipptest"
)

// TestTwoPhonesHearEachOther: two baresip say a tone each and record what they
// hear, which is the other's tone and nothing else; once on trunks of one
// G.711, once on trunks of both, once past us, and once on a trunk that would
// let it go past us and one that would not.
func TestTwoPhonesHearEachOther(t *testing.T) {
	t.Parallel()
	const toneA, toneB = 440.0, 1000.0
	for claim, c := range map[string]struct {
		codec            string // of B's trunk
		directA, directB bool
	}{
		"in A-law":                        {codec: "PCMA"},
		"in both laws":                    {codec: "PCMU"},
		"past us":                         {codec: "PCMA", directA: true, directB: true},
		"in both laws, past us if it can": {codec: "PCMU", directA: true, directB: true},
		"with one side past us":           {codec: "PCMA", directA: true},
		"with the other side past us":     {codec: "PCMA", directB: true},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			phoneA, phoneB := sipptest.StartPhone(t, "393331112233", toneA), sipptest.StartPhone(t, numberB, toneB)
			d := openTrunks(t,
				sip.Trunk{Name: "test", Endpoint: fmt.Sprintf("sip:{number}@%s", phoneA.Addr), Codecs: []string{"PCMA"}, Direct: c.directA},
				sip.Trunk{Name: "other", Endpoint: fmt.Sprintf("sip:{number}@%s", phoneB.Addr), Codecs: []string{c.codec}, Direct: c.directB})
			a := place(t, d, nil)
			answeredBy(t, a)
			b := place(t, d, func(o *dialer.Originate) { toB(a)(o); o.Trunk = "other" })
			answeredBy(t, b)
			if err := d.Bridge(context.Background(), a.id, b.id); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*sipptest.Phone{phoneA, phoneB} {
				p.Listen(1500 * time.Millisecond)
			}
			a.hangUp(dialer.HangupNormal)
			b.hangUp(dialer.HangupNormal)
			a.next(dialer.Ended)
			b.next(dialer.Ended)
			phoneA.Stop()
			phoneB.Stop()
			if share := phoneA.Heard(toneB); share < 0.98 {
				t.Errorf("only %.2f of what A heard is B's tone; its own is %.2f", share, phoneA.Heard(toneA))
			}
			if share := phoneB.Heard(toneA); share < 0.98 {
				t.Errorf("only %.2f of what B heard is A's tone; its own is %.2f", share, phoneB.Heard(toneB))
			}
		})
	}
}

// answeredBy waits for the answer of a phone that may ring before.
func answeredBy(t *testing.T, c call) {
	t.Helper()
	for {
		select {
		case e := <-c.events:
			switch e.Kind {
			case dialer.Answered:
				return
			case dialer.Ended:
				t.Fatalf("ended %+v", e.End)
			}
		case <-time.After(patience):
			t.Fatal("no answer")
		}
	}
}

// TestAPhoneHearsASoundAndDigits: what a baresip hears of an announcement is
// its tone, and it reads the digits.
func TestAPhoneHearsASoundAndDigits(t *testing.T) {
	t.Parallel()
	const tone = 620.0
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.wav"), dialertest.Tone(tone, 2*time.Second), 0o600); err != nil {
		t.Fatal(err)
	}
	sounds, err := dialer.LoadSounds(dir)
	if err != nil {
		t.Fatal(err)
	}
	phone := sipptest.StartPhone(t, "393331112233", 440)
	d := open(t, phone.Addr)
	a := place(t, d, nil)
	answeredBy(t, a)
	if err := d.Press(t.Context(), a.id, "4w2#"); err != nil {
		t.Fatal(err)
	}
	a.next(dialer.Played)
	if err := d.Play(t.Context(), a.id, sounds["hello"]); err != nil {
		t.Fatal(err)
	}
	a.next(dialer.Played)
	a.hangUp(dialer.HangupNormal)
	a.next(dialer.Ended)
	phone.Stop()
	if share := phone.Heard(tone); share < 0.98 {
		t.Errorf("only %.2f of what was heard is the announcement", share)
	}
	for _, digit := range []string{"4", "2", "#"} {
		if !strings.Contains(phone.Said(), "received event: '"+digit+"'") {
			t.Errorf("digit %s was not read:\n%s", digit, phone.Said())
		}
	}
}
