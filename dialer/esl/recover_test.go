package esl_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/esl/esltest"
	"ringback/scheduler"
)

// TestOurCrash: what a killed process leaves is hung up when it is back, and
// nothing else is.
func TestOurCrash(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	other := options(fs)
	other.Node = "other"
	neighbour := open(t, other)
	talk(t, d, 1)
	leg(t, d, 2, scheduler.LegA, dialertest.Answers).Await(t, dialer.Answered)
	leg(t, d, 3, scheduler.LegA, dialertest.Silent).Await(t, dialer.Ringing)
	a, b := talk(t, neighbour, 4)
	const guest = "5b1f3b4e-0000-4000-8000-0000000000aa"
	fs.Strand(guest, "desk") // has our mark, and no id of ours
	if err := d.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := fs.Channels(); len(left) != 7 {
		t.Fatalf("after the crash freeswitch has channels %q: nothing is tested", left)
	}
	open(t, options(fs))
	noneLeft(t, fs, string(a.ID), string(b.ID), guest)
	if a.Has(dialer.Ended) || b.Has(dialer.Ended) {
		t.Error("a call of another node was ended")
	}
}

// TestLateList: what the list of channels does not know yet when we connect is
// found a little later.
func TestLateList(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	talk(t, d, 1)
	if err := d.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	fs.Lag(true)
	open(t, options(fs))
	fs.Lag(false)
	noneLeft(t, fs)
}

// TestRecover: who takes over ends what another node left, as soon as it can.
func TestRecover(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	a, b := talk(t, d, 1)
	if err := d.Crash(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := options(fs)
	other.Node = "other"
	next := open(t, other)
	fs.Deny(true)
	fs.Drop()
	unhealthy(t, next)
	if err := next.Recover(t.Context(), "peer", []byte(a.ID)); err == nil {
		t.Error("hung up, and freeswitch is away")
	}
	fs.Deny(false)
	healthy(t, next)
	for _, state := range []string{string(a.ID), string(b.ID), string(a.ID), "x\n\napi y"} {
		if err := next.Recover(t.Context(), "peer", []byte(state)); err != nil {
			t.Errorf("%q: %v", state, err)
		}
	}
	noneLeft(t, fs)
}

// TestLostSocket: calls go on while we hear nothing of them, and what happened
// meanwhile is told when we do.
func TestLostSocket(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, esltest.Options{})
	d := open(t, options(fs))
	stayA, stayB := talk(t, d, 1)
	goneA, goneB := talk(t, d, 2)
	rings := leg(t, d, 3, scheduler.LegA, dialertest.Silent)
	rings.Await(t, dialer.Ringing)
	dropped := leg(t, d, 4, scheduler.LegA, dialertest.Silent)
	dropped.Await(t, dialer.Ringing)
	answers := leg(t, d, 5, scheduler.LegA, dialertest.Answers)
	answers.Await(t, dialer.Ringing)
	fs.Deny(true)
	fs.Drop()
	unhealthy(t, d)
	fs.Lag(true)
	fs.HangUp(string(goneA.ID))
	fs.HangUp(string(goneB.ID))
	_ = d.Hangup(t.Context(), dropped.ID, dialer.HangupCancel)
	<-time.After(400 * time.Millisecond) // somebody answers
	fs.Deny(false)
	healthy(t, d)
	for _, s := range []*dialertest.Story{goneA, goneB} {
		if end := s.End(t); end.Disposition != scheduler.Answered {
			t.Errorf("leg %s that ended meanwhile: %+v", s.ID, end)
		}
	}
	if end := dropped.End(t); end.Disposition != scheduler.Cancelled || end.By != scheduler.ByUs {
		t.Errorf("the leg that was hung up meanwhile: %+v", end)
	}
	answers.Await(t, dialer.Answered)
	fs.Lag(false)
	for _, s := range []*dialertest.Story{stayA, stayB, rings, answers} {
		if s.Has(dialer.Ended) {
			t.Errorf("leg %s was ended: %+v", s.ID, s.End(t))
		}
		_ = d.Hangup(t.Context(), s.ID, dialer.HangupNormal)
		s.End(t)
	}
	noneLeft(t, fs)
}

// TestRestart: every leg gets its end when FreeSWITCH dies in the middle of
// calls, and when it is back so are we.
func TestRestart(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	a, b := talk(t, d, 1)
	rings := leg(t, d, 2, scheduler.LegA, dialertest.Silent)
	rings.Await(t, dialer.Ringing)
	leaves := leg(t, d, 3, scheduler.LegA, dialertest.Silent)
	leaves.Await(t, dialer.Ringing)
	fs.Stop()
	unhealthy(t, d)
	err := d.Originate(t.Context(), dialer.Originate{
		ID: legID(9, scheduler.LegA), Trunk: "peer", Number: number(scheduler.LegA, dialertest.Answers, 0),
	}, func(dialer.Event) { t.Error("an event of a refused leg") })
	if err == nil {
		t.Error("a leg was taken without freeswitch")
	}
	_ = d.Hangup(t.Context(), leaves.ID, dialer.HangupTimeout)
	fs.Run()
	healthy(t, d)
	if end := leaves.End(t); end.Disposition != scheduler.NoAnswer || end.By != scheduler.ByUs {
		t.Errorf("hung up meanwhile: %+v", end)
	}
	for _, s := range []*dialertest.Story{a, b} {
		if end := s.End(t); end.Disposition != scheduler.Answered || end.By != scheduler.ByUs {
			t.Errorf("leg %s of the talk ended %+v", s.ID, end)
		}
	}
	if end := rings.End(t); end.Disposition != scheduler.Congestion {
		t.Errorf("the leg that rang ended %+v", end)
	}
	a, _ = talk(t, d, 5)
	_ = d.Hangup(t.Context(), a.ID, dialer.HangupNormal)
	a.End(t)
}

// TestHealthSaysWhy: what keeps us from FreeSWITCH, and that no leg is taken
// meanwhile.
func TestHealthSaysWhy(t *testing.T) {
	t.Parallel()
	says := func(t *testing.T, d dialer.Driver, want string) {
		t.Helper()
		eventually(t, func() error {
			if err := d.Health(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				return fmt.Errorf("health says %w, want %q", err, want)
			}
			return nil
		})
	}
	for claim, test := range map[string]struct {
		spoil func(*esltest.Server)
		mend  func(*esltest.Server)
		want  string
	}{
		"an address that is not allowed": {
			func(fs *esltest.Server) { fs.Deny(true) }, func(fs *esltest.Server) { fs.Deny(false) }, "apply-inbound-acl",
		},
		"nobody there": {func(fs *esltest.Server) { fs.Stop() }, (*esltest.Server).Run, "refused"},
		"a server that says nothing": {
			func(fs *esltest.Server) { fs.Freeze(true) }, func(fs *esltest.Server) { fs.Freeze(false) }, "freeswitch is away",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			fs := esltest.Start(t, esltest.Options{})
			test.spoil(fs)
			d := begin(t, options(fs))
			says(t, d, test.want)
			test.mend(fs)
			healthy(t, d)
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		fs := esltest.Start(t, esltest.Options{Password: "another"})
		o := options(fs)
		o.Password = "wrong"
		says(t, begin(t, o), "freeswitch refuses the password")
	})
	t.Run("something else that listens there", func(t *testing.T) {
		fs := esltest.Start(t, esltest.Options{})
		d := open(t, options(fs))
		fs.Say("HTTP/1.1 400 Bad Request\r\n\r\n")
		says(t, d, "freeswitch is away: what came is not the protocol")
		healthy(t, d)
	})
}

// TestGarbage: what cannot be understood costs the connection at most, never a
// call.
func TestGarbage(t *testing.T) {
	t.Parallel()
	plain := func(text string) string {
		return fmt.Sprintf("Content-Type: text/event-plain\nContent-Length: %d\n\n%s", len(text), text)
	}
	for claim, test := range map[string]struct {
		text  string
		costs bool // the connection
	}{
		"no protocol at all":          {"\x00\x01 nonsense\n\n", true},
		"a length that is none":       {"Content-Type: text/event-plain\nContent-Length: many\n\n", true},
		"a length below nothing":      {"Content-Type: text/event-plain\nContent-Length: -1\n\n", true},
		"a length that nobody has":    {"Content-Type: text/event-plain\nContent-Length: 99999999999\n\n", true},
		"lines without end":           {strings.Repeat("a: b\n", 20_000), true},
		"a line without end":          {"a: " + strings.Repeat("b", 100_000), true},
		"an answer to nothing":        {"Content-Type: command/reply\nReply-Text: +OK\n\n", true},
		"a farewell":                  {"Content-Type: text/disconnect-notice\nContent-Length: 4\n\nBye\n", true},
		"something new":               {"Content-Type: text/news\nContent-Length: 3\n\nnew", false},
		"an event that is none":       {plain("nonsense\n"), false},
		"an event of nobody":          {plain("Event-Name: CHANNEL_PARK\nUnique-ID: %zz\n\n"), false},
		"a bridge of nobody":          {plain("Event-Name: CHANNEL_BRIDGE\n\n"), false},
		"a job that nobody waits for": {plain("Event-Name: BACKGROUND_JOB\nJob-UUID: 1\nContent-Length: 4\n\n+OK\n"), false},
		"an end without a reason":     {plain("Event-Name: CHANNEL_HANGUP_COMPLETE\nUnique-ID: x\n\n"), false},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			fs := esltest.Start(t, quick())
			d := open(t, options(fs))
			a, b := talk(t, d, 1)
			fs.Say(test.text)
			<-time.After(50 * time.Millisecond)
			healthy(t, d)
			if got := fs.Count("uuid_dump") > 0; got != test.costs { // the legs were asked for anew
				t.Errorf("it cost the connection: %t", got)
			}
			for _, s := range []*dialertest.Story{a, b} {
				if s.Has(dialer.Ended) {
					t.Errorf("leg %s was ended: %+v", s.ID, s.End(t))
				}
				_ = d.Hangup(t.Context(), s.ID, dialer.HangupNormal)
				if end := s.End(t); end.Native != "NORMAL_CLEARING" {
					t.Errorf("leg %s ended %+v", s.ID, end)
				}
			}
		})
	}
}

// TestSlowAnswers: everything works over a FreeSWITCH that takes its time.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	fs.Delay(150 * time.Millisecond)
	d := open(t, options(fs))
	a, b := talk(t, d, 1)
	_ = d.Hangup(t.Context(), a.ID, dialer.HangupNormal)
	fs.HangUp(string(b.ID))
	if a, b := a.End(t), b.End(t); a.By != scheduler.ByUs || b.By != scheduler.ByPeer {
		t.Errorf("ended %+v and %+v", a, b)
	}
}

// TestFrozen: a FreeSWITCH that says nothing is away, and its calls go on when
// it wakes.
func TestFrozen(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	a, _ := talk(t, d, 1)
	fs.Freeze(true)
	unhealthy(t, d)
	fs.Freeze(false)
	healthy(t, d)
	if a.Has(dialer.Ended) {
		t.Errorf("the call was ended: %+v", a.End(t))
	}
}

// TestStray: a channel of ours that comes to life and belongs to no call is hung
// up, and no other is.
func TestStray(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, esltest.Options{})
	open(t, options(fs))
	ours, theirs := string(legID(1, scheduler.LegA)), string(legID(2, scheduler.LegA))
	const guest = "5b1f3b4e-0000-4000-8000-0000000000aa"
	fs.Strand(theirs, "other")
	fs.Strand(guest, "desk")
	fs.Strand(ours, "desk")
	noneLeft(t, fs, theirs, guest)
	if n := fs.Count("uuid_kill"); n != 1 {
		t.Errorf("%d were hung up: %q", n, fs.Commands())
	}
}

// TestGivenUp: a channel that cannot be ended is ended when that is possible
// again, and its leg's end does not wait for that.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, far(esltest.Far{Rings: 6 * time.Second}))
	d := open(t, options(fs))
	s := leg(t, d, 1, scheduler.LegA, dialertest.Answers)
	eventually(t, func() error {
		if len(fs.Channels()) == 0 {
			return errors.New("there is no channel")
		}
		return nil
	})
	fs.Deny(true)
	fs.Drop()
	unhealthy(t, d)
	_ = d.Hangup(t.Context(), s.ID, dialer.HangupTimeout)
	if end := s.End(t); end.Disposition != scheduler.NoAnswer || end.Native != "no end was told" {
		t.Errorf("ended %+v", end)
	}
	fs.Deny(false)
	noneLeft(t, fs)
	if fs.Count("uuid_kill "+string(s.ID)+" NORMAL_CLEARING") != 1 {
		t.Errorf("ordered %q", fs.Commands())
	}
}
