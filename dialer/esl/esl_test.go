package esl_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/esl/esltest"
	"ringback/scheduler"
)

// leg originates a leg of call n.
func leg(t *testing.T, d dialer.Driver, n int, role scheduler.Role, b dialertest.Behaviour) *dialertest.Story {
	t.Helper()
	return dial(t, d, dialer.Originate{ID: legID(n, role), Trunk: "peer", Role: role, Number: number(role, b, 0)})
}

func legID(n int, role scheduler.Role) dialer.LegID {
	return dialer.LegID(fmt.Sprintf("%032x-%s1", n, role))
}

func dial(t *testing.T, d dialer.Driver, o dialer.Originate) *dialertest.Story {
	t.Helper()
	s := &dialertest.Story{ID: o.ID}
	if err := d.Originate(context.WithoutCancel(t.Context()), o, s.Tell); err != nil {
		t.Fatal(err)
	}
	return s
}

// talk makes a bridged call n.
func talk(t *testing.T, d dialer.Driver, n int) (a, b *dialertest.Story) {
	t.Helper()
	a = leg(t, d, n, scheduler.LegA, dialertest.Answers)
	a.Await(t, dialer.Answered)
	b = leg(t, d, n, scheduler.LegB, dialertest.Answers)
	b.Await(t, dialer.Answered)
	if err := d.Bridge(t.Context(), a.ID, b.ID); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// quick is a server whose far ends answer at once.
func quick() esltest.Options {
	return esltest.Options{Far: func(dial string) esltest.Far {
		f := esltest.ByNumber(dial)
		f.Answers /= 30
		return f
	}}
}

// far is a server all of whose far ends do the same.
func far(f esltest.Far) esltest.Options {
	return esltest.Options{Far: func(string) esltest.Far { return f }}
}

func TestWhatIsOrdered(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, esltest.Options{})
	d := open(t, options(fs))
	a := dial(t, d, dialer.Originate{
		ID: legID(1, scheduler.LegA), Trunk: "peer", Role: scheduler.LegA, Number: number(scheduler.LegA, dialertest.Answers, 0),
		Caller:    scheduler.CallerID{Name: "O'Neill, & {Söhne}", Number: "+390655500000"},
		Variables: map[string]string{"order": "7, 'eight' ${x}", "no name": "x"},
	})
	a.Await(t, dialer.Answered)
	b := leg(t, d, 1, scheduler.LegB, dialertest.Answers)
	for range 2 { // the second one is no news
		if err := d.Ringback(t.Context(), a.ID, true); err != nil {
			t.Error(err)
		}
	}
	if got := fs.Playing(string(a.ID)); got != "tone_stream://%(1000,4000,425);loops=-1" {
		t.Errorf("A hears %q", got)
	}
	b.Await(t, dialer.Answered)
	for range 2 {
		if err := d.Ringback(t.Context(), a.ID, false); err != nil {
			t.Error(err)
		}
	}
	if err := d.Bridge(t.Context(), a.ID, b.ID); err != nil {
		t.Error(err)
	}
	_ = d.Hangup(t.Context(), a.ID, dialer.HangupNormal)
	if got, want := a.End(t), (dialer.End{Disposition: scheduler.Answered, Q850: 16, Native: "NORMAL_CLEARING", By: scheduler.ByUs}); got != want {
		t.Errorf("A ended %+v, want %+v", got, want)
	}
	fs.HangUp(string(b.ID))
	if got, want := b.End(t), (dialer.End{Disposition: scheduler.Answered, Q850: 16, SIP: 200, Native: "NORMAL_CLEARING", By: scheduler.ByPeer}); got != want {
		t.Errorf("B ended %+v, want %+v", got, want)
	}
	const id = "00000000000000000000000000000001-"
	want := []string{
		"show channels as json",
		"originate {origination_uuid=" + id + "a1,ringback_node=desk,ignore_early_media=true,originate_timeout=150," +
			"hangup_after_bridge=false,park_after_bridge=true,loopback_bowout=false,origination_caller_id_number=+390655500000," +
			"origination_caller_id_name='O Neill Söhne',ringback_var_order=7%2C%20%27eight%27%20%24%7Bx%7D}sofia/gateway/carrier/3906100000 &park()",
		"originate {origination_uuid=" + id + "b1,ringback_node=desk,ignore_early_media=true,originate_timeout=150," +
			"hangup_after_bridge=false,park_after_bridge=true,loopback_bowout=false}sofia/gateway/carrier/3906200000 &park()",
		"uuid_broadcast " + id + "a1 tone_stream://%(1000,4000,425);loops=-1 aleg",
		"uuid_break " + id + "a1 all",
		"uuid_bridge " + id + "a1 " + id + "b1",
		"uuid_kill " + id + "a1 NORMAL_CLEARING",
	}
	got := fs.Commands()
	if i := slices.IndexFunc(got, func(c string) bool { return strings.Contains(c, id+"b1,") }); i != 2 { // they cross
		got = append(slices.Insert(slices.Delete(slices.Clone(got), i, i+1), 2, got[i]), got[len(got):]...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("ordered\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestEarlyMedia(t *testing.T) {
	t.Parallel()
	d := open(t, options(esltest.Start(t, far(esltest.Far{Rings: time.Millisecond, Early: true, Answers: 50 * time.Millisecond}))))
	s := leg(t, d, 1, scheduler.LegA, dialertest.Answers)
	s.Await(t, dialer.Answered)
	want := []dialer.EventKind{dialer.Ringing, dialer.EarlyMedia, dialer.Answered}
	if got := s.Told(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// TestReasons: who rings in vain because another one answered hears that.
func TestReasons(t *testing.T) {
	t.Parallel()
	for claim, test := range map[string]struct {
		reason dialer.HangupReason
		cause  string
		want   dialer.End
	}{
		"another one answered": {dialer.HangupElsewhere, "LOSE_RACE", dialer.End{Disposition: scheduler.Cancelled, Q850: 26, SIP: 487, Native: "LOSE_RACE"}},
		"it rang for too long": {dialer.HangupTimeout, "NO_ANSWER", dialer.End{Disposition: scheduler.NoAnswer, Q850: 19, SIP: 487, Native: "NO_ANSWER"}},
		"the call was ended":   {dialer.HangupCancel, "NORMAL_CLEARING", dialer.End{Disposition: scheduler.Cancelled, Q850: 16, SIP: 487, Native: "NORMAL_CLEARING"}},
	} {
		t.Run(claim, func(t *testing.T) {
			fs := esltest.Start(t, esltest.Options{})
			d := open(t, options(fs))
			s := leg(t, d, 1, scheduler.LegA, dialertest.Silent)
			s.Await(t, dialer.Ringing)
			for range 2 { // the first one counts
				_ = d.Hangup(t.Context(), s.ID, test.reason)
				test.reason = dialer.HangupNormal
			}
			test.want.By = scheduler.ByUs
			if got := s.End(t); got != test.want {
				t.Errorf("ended %+v, want %+v", got, test.want)
			}
			if fs.Count("uuid_kill "+string(s.ID)+" "+test.cause) != 1 {
				t.Errorf("ordered %q", fs.Commands())
			}
		})
	}
}

// TestNotMade: without a channel nothing was signalled, and the attempt costs
// nothing, unless it is the user who is away.
func TestNotMade(t *testing.T) {
	t.Parallel()
	for cause, want := range map[string]dialer.End{
		"GATEWAY_DOWN":         {Disposition: scheduler.LocalError, By: scheduler.ByUs},
		"INVALID_GATEWAY":      {Disposition: scheduler.LocalError, By: scheduler.ByUs},
		"NETWORK_OUT_OF_ORDER": {Disposition: scheduler.LocalError, By: scheduler.ByUs},
		"SUBSCRIBER_ABSENT":    {Disposition: scheduler.Absent, Q850: 20, By: scheduler.ByPeer},
		"USER_NOT_REGISTERED":  {Disposition: scheduler.Absent, Q850: 20, By: scheduler.ByPeer},
	} {
		t.Run(cause, func(t *testing.T) {
			d := open(t, options(esltest.Start(t, far(esltest.Far{Unmade: cause}))))
			want.Native = "freeswitch answered -ERR " + cause
			if got := leg(t, d, 1, scheduler.LegA, dialertest.Answers).End(t); got != want {
				t.Errorf("ended %+v, want %+v", got, want)
			}
		})
	}
}

// TestHungUpAtOnce: a leg that is hung up before FreeSWITCH has its channel.
func TestHungUpAtOnce(t *testing.T) {
	t.Parallel()
	for claim, f := range map[string]esltest.Far{
		"a channel":    {Rings: 20 * time.Millisecond},
		"no channel":   {Unmade: "GATEWAY_DOWN"},
		"a quick user": {Rings: time.Millisecond, Answers: time.Millisecond},
	} {
		t.Run(claim, func(t *testing.T) {
			fs := esltest.Start(t, far(f))
			fs.Delay(20 * time.Millisecond)
			d := open(t, options(fs))
			s := leg(t, d, 1, scheduler.LegA, dialertest.Answers)
			_ = d.Hangup(t.Context(), s.ID, dialer.HangupCancel)
			end := s.End(t)
			if s.Has(dialer.Answered) != (end.Disposition == scheduler.Answered) || !s.Has(dialer.Answered) && end.Disposition != scheduler.Cancelled || end.By != scheduler.ByUs {
				t.Errorf("told %v, ended %+v", s.Told(), end)
			}
			noneLeft(t, fs)
		})
	}
}

// TestLateEnd: the result of the originate says less than the channel's end.
func TestLateEnd(t *testing.T) {
	t.Parallel()
	busy := &esltest.Refusal{Cause: "USER_BUSY", Q850: 17, SIP: 486}
	d := open(t, options(esltest.Start(t, far(esltest.Far{Rings: time.Millisecond, Refuses: busy, Late: 800 * time.Millisecond}))))
	want := dialer.End{Disposition: scheduler.UserBusy, Q850: 17, SIP: 486, Native: "USER_BUSY", By: scheduler.ByPeer}
	if got := leg(t, d, 1, scheduler.LegA, dialertest.Answers).End(t); got != want {
		t.Errorf("ended %+v, want %+v", got, want)
	}
}

// TestNotJoined: legs are bridged when FreeSWITCH has done so, not when it says
// that it will.
func TestNotJoined(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	fs.KeepApart(true)
	d := open(t, options(fs))
	a, b := leg(t, d, 1, scheduler.LegA, dialertest.Answers), leg(t, d, 1, scheduler.LegB, dialertest.Answers)
	a.Await(t, dialer.Answered)
	b.Await(t, dialer.Answered)
	short, over := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer over()
	if err := d.Bridge(short, a.ID, b.ID); err == nil {
		t.Error("a bridge that was not made is one")
	}
	long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	time.AfterFunc(50*time.Millisecond, func() { fs.HangUp(string(a.ID)) })
	if err := d.Bridge(long, a.ID, b.ID); err == nil || long.Err() != nil {
		t.Errorf("bridge to a leg that ends: %v", err)
	}
}

// TestAnotherHand: a channel that somebody ends at FreeSWITCH's console was not
// hung up by the people on the line.
func TestAnotherHand(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	a, _ := talk(t, d, 1)
	fs.Kill(string(a.ID))
	if got, want := a.End(t), (dialer.End{Disposition: scheduler.Answered, Q850: 16, Native: "MANAGER_REQUEST", By: scheduler.ByUs}); got != want {
		t.Errorf("ended %+v, want %+v", got, want)
	}
}

func TestWhatCannotBeOrdered(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, esltest.Options{})
	d := open(t, options(fs))
	good := dialer.Originate{ID: legID(1, scheduler.LegA), Trunk: "peer", Number: number(scheduler.LegA, dialertest.Answers, 0)}
	for claim, change := range map[string]func(*dialer.Originate){
		"an id that is a command":  func(o *dialer.Originate) { o.ID += "\n\napi fsctl shutdown" },
		"an id that is two values": func(o *dialer.Originate) { o.ID += ",x=y" },
		"another trunk":            func(o *dialer.Originate) { o.Trunk = "other" },
		"a number that is more":    func(o *dialer.Originate) { o.Number = scheduler.Number{Given: "1 &system(id)"} },
	} {
		o := good
		change(&o)
		if err := d.Originate(t.Context(), o, func(dialer.Event) { t.Errorf("%s: an event", claim) }); err == nil {
			t.Errorf("%s: taken", claim)
		}
	}
	s := dial(t, d, good)
	if err := d.Originate(t.Context(), good, func(dialer.Event) { t.Error("an event of the twin") }); err == nil {
		t.Error("a leg was made twice")
	}
	if err := d.Ringback(t.Context(), s.ID, true); err == nil {
		t.Error("ringing tone to a leg that was not answered")
	}
	s.Await(t, dialer.Answered)
	if err := d.Bridge(t.Context(), s.ID, legID(2, scheduler.LegB)); err == nil {
		t.Error("bridged to nobody")
	}
	if n := fs.Count("originate"); n != 1 {
		t.Errorf("%d originates: %q", n, fs.Commands())
	}
}
