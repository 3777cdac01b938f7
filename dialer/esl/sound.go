package esl

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"ringback/dialer"
)

// soundSlack is how much longer than its length a sound may take: what is under
// way to the far end, and the news of it.
const soundSlack = 3 * time.Second

// pathForm is a file that can stand in a command: FreeSWITCH parts words at
// spaces and reads settings from other characters.
var pathForm = regexp.MustCompile(`^/[A-Za-z0-9._,/+@-]+$`)

// Play lets FreeSWITCH play a sound of its own disk to an answered leg: one
// below the trunk's directory of sounds, or the very file that we read.
func (d *Driver) Play(ctx context.Context, id dialer.LegID, s dialer.Sound) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	file := s.File
	if l.sounds != "" {
		file = strings.TrimSuffix(l.sounds, "/") + "/" + s.ID + ".wav"
	}
	if !pathForm.MatchString(file) {
		return errors.New("the path of the sound has characters that freeswitch cannot be told")
	}
	order := l.hears(file)
	if err := d.order(ctx, playCommand(id, file)); err != nil {
		l.forgetSound(order)
		return err
	}
	time.AfterFunc(s.Length()+soundSlack, func() { l.played(order) }) // the news may be lost with the connection
	return nil
}

var digitsForm = regexp.MustCompile(`^[0-9*#A-Dwp]+$`)

// Press lets FreeSWITCH send digits to an answered leg. It tells nobody when it
// has, so that Played comes once it must have.
func (d *Driver) Press(ctx context.Context, id dialer.LegID, digits string) error {
	l, err := d.answered(id)
	if err != nil {
		return err
	}
	if !digitsForm.MatchString(digits) {
		return errors.New("digits are 0-9, *, #, A-D, w and p")
	}
	order := l.hears("")
	if err := d.order(ctx, pressCommand(id, digits)); err != nil {
		l.forgetSound(order)
		return err
	}
	time.AfterFunc(dialer.DigitsTime(digits), func() { l.played(order) })
	return nil
}

func playCommand(id dialer.LegID, file string) string {
	return "uuid_broadcast " + string(id) + " " + file + " aleg"
}

// pressCommand has w for half a second, as we do, and W for one.
func pressCommand(id dialer.LegID, digits string) string {
	return fmt.Sprintf("uuid_send_dtmf %s %s@%d", id, strings.ReplaceAll(digits, "p", "WW"), dialer.DigitTone.Milliseconds())
}

// hears notes that the leg is given something to hear, by a file if it is a
// sound, and numbers it.
func (l *leg) hears(file string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sound++
	l.hearing, l.file = true, file
	return l.sound
}

// forgetSound takes back what hears noted.
func (l *leg) forgetSound(order int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sound == order {
		l.hearing = false
	}
}

// played tells that what the leg heard is over.
func (l *leg) played(order int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sound == order && l.hearing && !l.ended {
		l.hearing = false
		l.events(dialer.Event{Kind: dialer.Played, At: time.Now()})
	}
}

// executed hears that FreeSWITCH is through with an application: with the sound
// of the leg, or with something else.
func (l *leg) executed(e event) {
	l.mu.Lock()
	order, ours := l.sound, l.hearing && l.file != "" && e.get("Application") == "playback" && e.get("Application-Data") == l.file
	l.mu.Unlock()
	if !ours {
		return
	}
	if word := e.get("Application-Response"); word == "FILE NOT FOUND" || word == "PLAYBACK ERROR" {
		l.d.log.Warn("freeswitch could not play a sound: is the file there, as it sees it?", "leg", string(l.id))
	}
	l.played(order)
}
