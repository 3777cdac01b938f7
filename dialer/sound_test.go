package dialer_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/dialer"
	"ringback/dialer/dialertest"
	"ringback/scheduler"
)

// wav is a file of chunks.
func wav(chunks ...string) string {
	body := "WAVE" + strings.Join(chunks, "")
	return "RIFF" + le32(len(body)) + body
}

func chunk(kind, content string) string {
	return kind + le32(len(content)) + content + strings.Repeat("\x00", len(content)%2)
}

func le32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// format is the content of a fmt chunk.
func format(tag, channels, rate, bits int) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = append(b, le32(rate)+le32(rate*channels*bits/8)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(channels*bits/8))
	return string(binary.LittleEndian.AppendUint16(b, uint16(bits)))
}

func TestLoadSounds(t *testing.T) {
	plain := chunk("fmt ", format(1, 1, 8000, 16))
	data := chunk("data", "\x01\x00\xff\xff")
	extensible := format(0xfffe, 1, 8000, 16) + "\x16\x00\x10\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"
	for claim, c := range map[string]struct {
		name, content string
		want          string // of the error; "": two samples, 1 and -1
	}{
		"the plain header":                 {"a.wav", wav(plain, data), ""},
		"a longer header":                  {"a.wav", wav(chunk("fmt ", format(1, 1, 8000, 16)+"\x00\x00"), data), ""},
		"the extensible header":            {"a.wav", wav(chunk("fmt ", extensible), data), ""},
		"other chunks, of any length":      {"a.wav", wav(chunk("LIST", "odd"), plain, chunk("fact", "even"), data, chunk("id3 ", "x")), ""},
		"a half sample more":               {"a.wav", wav(plain, chunk("data", "\x01\x00\xff\xff\x07")), ""},
		"every letter of a name":           {"A1_b-c.d.wav", wav(plain, data), ""},
		"a name with a space":              {"a b.wav", wav(plain, data), "sound a b.wav: its name must be 1 to 64 letters"},
		"a name that hides":                {".wav", wav(plain, data), "its name must be"},
		"a name that climbs":               {"..wav", wav(plain, data), "its name must be"},
		"a name that is too long":          {strings.Repeat("a", 65) + ".wav", wav(plain, data), "its name must be"},
		"no WAV file":                      {"a.wav", "OggS, and more than twelve bytes", "is no WAV file"},
		"nothing":                          {"a.wav", "", "is no WAV file"},
		"stereo":                           {"a.wav", wav(chunk("fmt ", format(1, 2, 8000, 16)), data), "is of format 1, 16 bits, 2 channels, 8000 Hz"},
		"another rate":                     {"a.wav", wav(chunk("fmt ", format(1, 1, 44100, 16)), data), "44100 Hz"},
		"other bits":                       {"a.wav", wav(chunk("fmt ", format(1, 1, 8000, 8)), data), "8 bits"},
		"A-law":                            {"a.wav", wav(chunk("fmt ", format(6, 1, 8000, 8)), data), "format 6"},
		"extensible, and not linear":       {"a.wav", wav(chunk("fmt ", extensible[:24]+"\x03"+extensible[25:]), data), "format 3"},
		"a short format":                   {"a.wav", wav(chunk("fmt ", "\x01\x00"), data), "too few bytes"},
		"samples before their format":      {"a.wav", wav(data, plain), "format before its samples"},
		"no samples":                       {"a.wav", wav(plain), "has no samples"},
		"samples of no length":             {"a.wav", wav(plain, chunk("data", "")), "has no samples"},
		"samples that are cut off":         {"a.wav", wav(plain, data)[:46], "is cut off"},
		"a length that lies":               {"a.wav", wav(plain, "data\xff\xff\xff\xff\x01\x00"), "is cut off"},
		"more than ten minutes":            {"a.wav", wav(plain, chunk("data", strings.Repeat("x", 2*8000*601))), "is longer than 10m0s"},
		"much more, which nobody reads in": {"a.wav", wav(plain, chunk("data", strings.Repeat("x", 2*8000*900))), "is longer than 10m0s"},
	} {
		t.Run(claim, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{c.name: c.content, "readme.txt": "no sound", "a.WAV.bak": ""} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sounds, err := dialer.LoadSounds(dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			id := strings.TrimSuffix(c.name, ".wav")
			got := sounds[id]
			if err != nil || len(sounds) != 1 || !sounds.Has(id) || sounds.Has("readme") || !slices.Equal(got.PCM, []int16{1, -1}) {
				t.Fatalf("got %v %v", sounds, err)
			}
			if got.ID != id || got.File != filepath.Join(dir, c.name) || got.Length() != 250*time.Microsecond {
				t.Errorf("got %+v, %v long", got, got.Length())
			}
		})
	}
	t.Run("every file that is at fault", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"a.wav", "b.wav"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := dialer.LoadSounds(dir)
		if err == nil || !strings.Contains(err.Error(), "a.wav") || !strings.Contains(err.Error(), "b.wav") {
			t.Errorf("error %v", err)
		}
		if _, err := dialer.LoadSounds(filepath.Join(dir, "none")); err == nil {
			t.Error("a directory that is not there")
		}
	})
}

// TestSoundsOfCalls is about what only a bad network shows.
func TestSoundsOfCalls(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hello.wav"), dialertest.Tone(440, 2*time.Second), 0o600); err != nil {
		t.Fatal(err)
	}
	sounds, err := dialer.LoadSounds(dir)
	if err != nil {
		t.Fatal(err)
	}
	never := func(*line) error { return nil }
	for claim, c := range map[string]struct {
		net     *network
		hello   string
		both    string
		digits  string
		orders  []string
		comment string
		log     string
		took    time.Duration
	}{
		"in order": {
			hello: "hello", both: "hello", digits: "12",
			orders: []string{
				"call a1", "play hello a1", "ringback a1 true", "call b1", "press 12 b1", "ringback a1 false", "play hello a1", "play hello b1",
				"ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1",
			},
			comment: scheduler.CommentNoBridge,
		},
		"a sound whose end is not told is given up": {
			net: &network{play: never}, hello: "hello",
			orders:  []string{"call a1", "play hello a1", "ringback a1 true", "call b1", "ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1"},
			comment: scheduler.CommentNoBridge, log: "did not end in time", took: 2*time.Second + dialer.DefaultGrace,
		},
		"digits whose end is not told are given up": {
			net: &network{play: never}, digits: "1w2p3",
			orders:  []string{"call a1", "ringback a1 true", "call b1", "press 1w2p3 b1", "ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1"},
			comment: scheduler.CommentNoBridge, log: "did not end in time", took: 3100*time.Millisecond + dialer.DefaultGrace,
		},
		"a sound that cannot be played stops no call": {
			net: &network{play: func(*line) error { return os.ErrNotExist }}, hello: "hello",
			orders:  []string{"call a1", "play hello a1", "ringback a1 true", "call b1", "ringback a1 false", "bridge a1 b1", "hangup a1", "hangup b1"},
			comment: scheduler.CommentNoBridge, log: "could not be played",
		},
		"an A that leaves as it is to hear a sound": {
			net: &network{play: func(l *line) error {
				l.end(scheduler.Answered, scheduler.ByPeer)
				return os.ErrNotExist
			}}, hello: "hello",
			orders: []string{"call a1", "play hello a1"}, comment: "a_number hung up",
		},
		"an A that leaves while B hears a sound": {
			net:    leavesAsBListens(),
			both:   "hello",
			orders: []string{"call a1", "ringback a1 true", "call b1", "ringback a1 false", "play hello a1", "play hello b1", "hangup b1"}, comment: "a_number hung up",
		},
		"nobody is called without the sound": {hello: "gone", comment: string(scheduler.LocalError), log: `no sound \"gone\"`},
		"nor without that of both":           {both: "gone", comment: string(scheduler.LocalError), log: `no sound \"gone\"`},
	} {
		t.Run(claim, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if c.net == nil {
					c.net = &network{}
				}
				c.net.place, c.net.bridge = answersAfter(0), refuse
				e, log := engineWith(t, sounds, dialer.Trunk{Name: "t", Driver: c.net})
				s := spec()
				s.AnnounceA, s.AnnounceBoth, s.DigitsB = c.hello, c.both, c.digits
				began := time.Now()
				o := e.Dial(t.Context(), s, noBridge(t))
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				same(t, "orders", c.net.orders(), c.orders)
				if o.Comment() != c.comment {
					t.Errorf("comment %q, want %q", o.Comment(), c.comment)
				}
				if free := c.comment == string(scheduler.LocalError); o.Free() != free {
					t.Errorf("free: %t", o.Free())
				}
				if c.log != "" && !strings.Contains(log.String(), c.log) {
					t.Errorf("log %q, want %q", log, c.log)
				}
			})
		})
	}
}

// leavesAsBListens is a network whose A hangs up once B was given a sound.
func leavesAsBListens() *network {
	n := &network{}
	n.play = func(l *line) error {
		if l.Role == scheduler.LegB {
			n.mu.Lock()
			a := n.lines[l.Partner]
			n.mu.Unlock()
			a.end(scheduler.Answered, scheduler.ByPeer)
		}
		return nil
	}
	return n
}
