package esl_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/dialer/esl/esltest"
	"ringback/scheduler"
)

// sound writes a sound into a directory and loads it.
func sound(t *testing.T, dir string, length time.Duration) dialer.Sound {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "hello.wav"), dialertest.Tone(620, length), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := dialer.LoadSounds(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s["hello"]
}

// TestSounds: FreeSWITCH plays the file as it sees it, and a leg is never left
// waiting for it.
func TestSounds(t *testing.T) {
	t.Parallel()
	const length = 200 * time.Millisecond
	for claim, test := range map[string]struct {
		elsewhere, gone, lost bool
		least, most           time.Duration
	}{
		"in our directory":          {least: length, most: length + 2*time.Second},
		"in a directory of its own": {elsewhere: true, least: length, most: length + 2*time.Second},
		"a file that is not there":  {elsewhere: true, gone: true, most: 2 * time.Second},
		"news that is lost":         {lost: true, least: length + 3*time.Second, most: 10 * time.Second},
	} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "sounds")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := sound(t, dir, length)
			fs := esltest.Start(t, quick())
			o := options(fs)
			if test.elsewhere {
				o.Sounds = map[string]string{"peer": dir + "/"}
				s.File = "/nowhere/hello.wav"
			}
			if test.gone {
				o.Sounds["peer"] = "/nowhere"
			}
			d := open(t, o)
			l := leg(t, d, 1, scheduler.LegA, dialertest.Answers)
			l.Await(t, dialer.Answered)
			begun := time.Now()
			if err := d.Play(t.Context(), l.ID, s); err != nil {
				t.Fatal(err)
			}
			if test.lost {
				fs.Deny(true)
				fs.Drop()
			}
			l.Await(t, dialer.Played)
			if took := time.Since(begun); took < test.least || took > test.most {
				t.Errorf("it took %v, want %v to %v", took, test.least, test.most)
			}
			fs.Deny(false)
		})
	}
	t.Run("a path that is more than one", func(t *testing.T) {
		fs := esltest.Start(t, quick())
		d := open(t, options(fs))
		l := leg(t, d, 1, scheduler.LegA, dialertest.Answers)
		l.Await(t, dialer.Answered)
		for _, file := range []string{"/x y.wav", "/x.wav\n\napi x", "x.wav", "/${x}.wav", "/'x'.wav", "/shout://x", ""} {
			if err := d.Play(t.Context(), l.ID, dialer.Sound{File: file}); err == nil {
				t.Errorf("%q was played", file)
			}
		}
		for _, digits := range []string{"", "1 2", "1@1", "1\n", "a", "1,2"} {
			if err := d.Press(t.Context(), l.ID, digits); err == nil {
				t.Errorf("%q was sent", digits)
			}
		}
		if fs.Count("uuid_broadcast")+fs.Count("uuid_send_dtmf") > 0 {
			t.Errorf("ordered %q", fs.Commands())
		}
	})
}

func TestDigits(t *testing.T) {
	t.Parallel()
	fs := esltest.Start(t, quick())
	d := open(t, options(fs))
	l := leg(t, d, 1, scheduler.LegB, dialertest.Answers)
	l.Await(t, dialer.Answered)
	begun := time.Now()
	if err := d.Press(t.Context(), l.ID, "1wp*#A"); err != nil {
		t.Fatal(err)
	}
	l.Await(t, dialer.Played)
	if took, want := time.Since(begun), 3300*time.Millisecond; took < want {
		t.Errorf("it took %v, want %v", took, want)
	}
	if got := fs.Commands(); !strings.HasSuffix(got[len(got)-1], "uuid_send_dtmf "+string(l.ID)+" 1wWW*#A@100") {
		t.Errorf("ordered %q", got)
	}
}
