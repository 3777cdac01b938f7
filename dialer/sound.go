package dialer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// SampleRate is that of every sound, in samples per second.
const SampleRate = 8000

// maxSound bounds a recording: it is held in memory.
const maxSound = 10 * time.Minute

// Sound is a recording that legs are played.
type Sound struct {
	ID   string  // the name of its file without .wav
	File string  // absolute path of the file
	PCM  []int16 // its samples, linear
}

// Length is how long it takes to play.
func (s Sound) Length() time.Duration {
	return time.Duration(len(s.PCM)) * time.Second / SampleRate
}

// Sounds are recordings by id.
type Sounds map[string]Sound

// Has reports whether there is a sound of this id.
func (s Sounds) Has(id string) bool {
	_, ok := s[id]
	return ok
}

var soundID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// LoadSounds reads every .wav file of a directory; everything else in it is
// left alone. Every file that cannot be played is in the error.
func LoadSounds(dir string) (Sounds, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of sounds: %w", err)
	}
	sounds := Sounds{}
	var faults []error
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".wav" {
			continue
		}
		s := Sound{ID: f.Name()[:len(f.Name())-len(".wav")], File: filepath.Join(dir, f.Name())}
		if err := s.load(); err != nil {
			faults = append(faults, fmt.Errorf("sound %s: %w", f.Name(), err))
			continue
		}
		sounds[s.ID] = s
	}
	return sounds, errors.Join(faults...)
}

func (s *Sound) load() error {
	if !soundID.MatchString(s.ID) {
		return errors.New("its name must be 1 to 64 letters, digits, dots, dashes or underscores, before .wav")
	}
	info, err := os.Stat(s.File)
	if err != nil {
		return err
	}
	const header = 1 << 20 // room for what a file says beside its samples
	if info.Size() > int64(maxSound/time.Second)*2*SampleRate+header {
		return fmt.Errorf("is longer than %s", maxSound)
	}
	content, err := os.ReadFile(s.File)
	if err != nil {
		return err
	}
	s.PCM, err = parseWAV(content)
	if err == nil && s.Length() > maxSound {
		err = fmt.Errorf("is longer than %s", maxSound)
	}
	return err
}

// The format tags of a WAV file's samples that are linear: plain, and plain in
// an extensible header (RFC 2361; mmreg.h).
const (
	wavePCM        = 1
	waveExtensible = 0xfffe
)

// parseWAV returns the samples of a WAV file (RIFF), which must be linear, 16
// bits, mono, 8000 a second.
func parseWAV(content []byte) ([]int16, error) {
	if len(content) < 12 || string(content[:4]) != "RIFF" || string(content[8:12]) != "WAVE" {
		return nil, errors.New("is no WAV file")
	}
	formatted := false
	for rest := content[12:]; len(rest) >= 8; {
		kind, size := string(rest[:4]), int64(binary.LittleEndian.Uint32(rest[4:]))
		if rest = rest[8:]; size > int64(len(rest)) {
			return nil, errors.New("is cut off")
		}
		chunk := rest[:size]
		switch {
		case kind == "fmt ":
			if err := checkFormat(chunk); err != nil {
				return nil, err
			}
			formatted = true
		case kind == "data" && !formatted:
			return nil, errors.New("does not say its format before its samples")
		case kind == "data":
			return samples(chunk)
		}
		rest = rest[min(size+size%2, int64(len(rest))):] // chunks begin at even places
	}
	return nil, errors.New("has no samples")
}

func checkFormat(chunk []byte) error {
	if len(chunk) < 16 {
		return errors.New("says its format in too few bytes")
	}
	tag := binary.LittleEndian.Uint16(chunk)
	if tag == waveExtensible && len(chunk) >= 26 {
		tag = binary.LittleEndian.Uint16(chunk[24:])
	}
	channels, rate, bits := binary.LittleEndian.Uint16(chunk[2:]), binary.LittleEndian.Uint32(chunk[4:]), binary.LittleEndian.Uint16(chunk[14:])
	if tag != wavePCM || channels != 1 || rate != SampleRate || bits != 16 {
		return fmt.Errorf("must be linear PCM of 16 bits, mono, %d Hz, and is of format %d, %d bits, %d channels, %d Hz",
			SampleRate, tag, bits, channels, rate)
	}
	return nil
}

func samples(chunk []byte) ([]int16, error) {
	pcm := make([]int16, len(chunk)/2)
	if len(pcm) == 0 {
		return nil, errors.New("has no samples")
	}
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(chunk[2*i:]))
	}
	return pcm, nil
}
