package scheduler

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// Minute is a minute of Unix time.
type Minute int64

// MinuteOf returns the minute that a moment lies in.
func MinuteOf(t time.Time) Minute { return Minute(t.Unix() / 60) }

// Time is when the minute begins.
func (m Minute) Time() time.Time { return time.Unix(int64(m)*60, 0).UTC() }

// Tally is what a queue's row holds of the latest minutes, oldest first: what
// ended in them, until housekeeping moves it to the roll-up.
type Tally []MinuteFigures

// MinuteFigures are those of one minute.
type MinuteFigures struct {
	Minute Minute
	Figures
}

// Count adds what a transition tells to the minute when it happened.
func (t Tally) Count(tr Transition) Tally {
	minute := MinuteOf(tr.At)
	at, found := slices.BinarySearchFunc(t, minute, func(m MinuteFigures, want Minute) int { return int(m.Minute - want) })
	if !found {
		t = slices.Insert(t, at, MinuteFigures{Minute: minute})
	}
	t[at].Count(tr)
	return t
}

// Counts reports whether a transition moves a tally.
func (tr Transition) Counts() bool {
	return tr.Step == StepEnd || tr.Step == StepLose || tr.Task.Status == Finished
}

// Bytes is the tally as its row keeps it: unsigned varints; none if it is
// empty.
func (t Tally) Bytes() []byte {
	if len(t) == 0 {
		return []byte{}
	}
	b := binary.AppendUvarint(nil, uint64(len(t)))
	for _, m := range t {
		b = binary.AppendUvarint(b, uint64(m.Minute))
		b = m.append(b)
	}
	return b
}

func (f *Figures) append(b []byte) []byte {
	for _, n := range []int{f.Attempts, f.Connected, f.Abandoned, int(f.Busy.Milliseconds()), f.Finished, f.Succeeded} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return f.B.append(f.A.append(b))
}

func (f *LegFigures) append(b []byte) []byte {
	for _, n := range []int{f.Bids, f.Seizures, f.Answers, f.Judged, f.Effective, f.Losing, int(f.Talk.Milliseconds())} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	bins := 0
	for _, n := range f.PDD {
		if n > 0 {
			bins++
		}
	}
	b = binary.AppendUvarint(b, uint64(bins))
	for bin, n := range f.PDD {
		if n > 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(bin)), uint64(n))
		}
	}
	return b
}

// ErrTally says that what a row keeps is no tally.
var ErrTally = errors.New("statistics of a queue cannot be read")

// ParseTally reads what Bytes wrote.
func ParseTally(b []byte) (Tally, error) {
	if len(b) == 0 {
		return nil, nil
	}
	r := varints{rest: b}
	var t Tally
	for n := r.next(); n > 0 && !r.wrong; n-- {
		m := MinuteFigures{Minute: Minute(r.next())}
		m.read(&r)
		t = append(t, m)
	}
	if r.wrong || len(r.rest) > 0 {
		return nil, ErrTally
	}
	return t, nil
}

// varints reads numbers one by one; after the first that is none, zeros.
type varints struct {
	rest  []byte
	wrong bool
}

func (r *varints) next() int {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > 1<<62 {
		r.rest, r.wrong = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return int(n)
}

func (f *Figures) read(r *varints) {
	f.Attempts, f.Connected, f.Abandoned = r.next(), r.next(), r.next()
	f.Busy = time.Duration(r.next()) * time.Millisecond
	f.Finished, f.Succeeded = r.next(), r.next()
	f.A.read(r)
	f.B.read(r)
}

func (f *LegFigures) read(r *varints) {
	f.Bids, f.Seizures, f.Answers, f.Judged, f.Effective, f.Losing = r.next(), r.next(), r.next(), r.next(), r.next(), r.next()
	f.Talk = time.Duration(r.next()) * time.Millisecond
	for n := r.next(); n > 0 && !r.wrong; n-- {
		bin, count := r.next(), r.next()
		f.PDD.add(min(bin, maxBins-1), count)
	}
}
