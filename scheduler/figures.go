package scheduler

import (
	"math"
	"time"
)

// Figures are what a queue's calls came to in some time, by the field's
// definitions: see docs/statistics.md.
type Figures struct {
	Attempts  int           // that ended
	Connected int           // of them: A and B heard each other
	Abandoned int           // of them: A answered, B's chance ended, and nobody was there for A
	Busy      time.Duration // from their beginnings to their ends
	Finished  int           // tasks
	Succeeded int           // of them
	A, B      LegFigures
}

// LegFigures are those of one side's legs; forks that another leg beat are
// counted and left out of everything else.
type LegFigures struct {
	Bids      int // legs that were to be placed
	Seizures  int // of them: the network was asked (ITU-T E.411)
	Answers   int // of them: an answer signal came
	Judged    int // seizures that NER counts (ITU-T E.425)
	Effective int // of them: the network did its part
	Losing    int // forks that another leg beat
	Talk      time.Duration
	PDD       Histogram // post-dial delays: from the request to the first ringing
}

// Add adds other figures.
func (f *Figures) Add(o Figures) {
	f.Attempts += o.Attempts
	f.Connected += o.Connected
	f.Abandoned += o.Abandoned
	f.Busy += o.Busy
	f.Finished += o.Finished
	f.Succeeded += o.Succeeded
	f.A.add(o.A)
	f.B.add(o.B)
}

func (f *LegFigures) add(o LegFigures) {
	f.Bids += o.Bids
	f.Seizures += o.Seizures
	f.Answers += o.Answers
	f.Judged += o.Judged
	f.Effective += o.Effective
	f.Losing += o.Losing
	f.Talk += o.Talk
	for bin, n := range o.PDD {
		f.PDD.add(bin, n)
	}
}

// Count adds what a transition tells: an attempt that ended, a task that
// finished.
func (f *Figures) Count(tr Transition) {
	if tr.Step == StepEnd || tr.Step == StepLose {
		f.attempt(tr.Attempt, tr.From.CallID.Began())
	}
	if tr.Task.Status == Finished && tr.From.Status != Finished {
		f.Finished++
		if tr.Task.Result == Success {
			f.Succeeded++
		}
	}
}

func (f *Figures) attempt(a Attempt, began time.Time) {
	f.Attempts++
	if !began.IsZero() {
		f.Busy += max(a.EndedAt.Sub(began), 0).Truncate(time.Millisecond)
	}
	switch {
	case !a.BridgedAt.IsZero():
		f.Connected++
	case abandoned(a.Legs):
		f.Abandoned++
	}
	for _, l := range a.Legs {
		if l.Role == LegA {
			f.A.leg(l)
		} else {
			f.B.leg(l)
		}
	}
}

// abandoned reports whether A of a call that was never bridged answered and
// stayed until B's chance was over.
func abandoned(legs []Leg) bool {
	a, reached := Outcome{Legs: legs}.winner(LegA)
	if !reached {
		return false
	}
	var over time.Time // B's chance
	for _, l := range legs {
		if l.Role == LegB {
			over = later(over, l.EndedAt)
		}
	}
	return a.By != ByPeer || !over.IsZero() && over.Before(a.EndedAt)
}

func (f *LegFigures) leg(l Leg) {
	if l.Lost {
		f.Losing++
		return
	}
	f.Bids++
	if !l.Disposition.Signalled() {
		return
	}
	f.Seizures++
	if l.Disposition.Judged() {
		f.Judged++
	}
	if l.Disposition.Effective() {
		f.Effective++
	}
	if l.Disposition == Answered {
		f.Answers++
		if !l.AnsweredAt.IsZero() {
			f.Talk += max(l.EndedAt.Sub(l.AnsweredAt), 0).Truncate(time.Millisecond)
		}
	}
	if !l.RangAt.IsZero() {
		f.PDD.Count(l.PDD())
	}
}

// ACD is the average call duration of the legs that were answered; 0 without
// one.
func (f LegFigures) ACD() time.Duration {
	if f.Answers == 0 {
		return 0
	}
	return f.Talk / time.Duration(f.Answers)
}

// A Histogram counts durations in bins of an eighth of an octave each: bin i
// has those from 2^(i/8) to 2^((i+1)/8) milliseconds, so that what is read from
// it is within 4.5 %. What is shorter or longer is in the first or last.
type Histogram []int

// HistogramResolution is how far, in per cent, a Quantile may be from the
// duration that it stands for.
const HistogramResolution = 4.5

const (
	binsAnOctave = 8
	maxBins      = 17*binsAnOctave + 1 // the last one is over 131 s
)

func binOf(d time.Duration) int {
	ms := max(float64(d)/float64(time.Millisecond), 1)
	return min(int(binsAnOctave*math.Log2(ms)), maxBins-1)
}

// Count adds a duration.
func (h *Histogram) Count(d time.Duration) { h.add(binOf(d), 1) }

func (h *Histogram) add(bin, n int) {
	if n == 0 {
		return
	}
	for len(*h) <= bin {
		*h = append(*h, 0)
	}
	(*h)[bin] += n
}

// N is how many durations were counted.
func (h Histogram) N() int {
	n := 0
	for _, in := range h {
		n += in
	}
	return n
}

// Quantile is the duration that a part p of those counted do not exceed: the
// middle of its bin; 0 without any.
func (h Histogram) Quantile(p float64) time.Duration {
	rank, seen := int(math.Ceil(p*float64(h.N()))), 0
	for bin, n := range h {
		if seen += n; n > 0 && seen >= rank {
			return time.Duration(math.Exp2((float64(bin)+0.5)/binsAnOctave) * float64(time.Millisecond))
		}
	}
	return 0
}

// Ratio is a part of a sample.
type Ratio struct{ Good, Of int }

// wilsonZ is the quantile of the normal distribution for 95 %.
const wilsonZ = 1.959964

// Wilson is the 95 % score interval of the ratio, as fractions (E. B. Wilson,
// 1927); 0 to 1 without a sample.
func (r Ratio) Wilson() (low, high float64) {
	if r.Of == 0 {
		return 0, 1
	}
	n, z2 := float64(r.Of), wilsonZ*wilsonZ
	p := float64(r.Good) / n
	middle := (p + z2/(2*n)) / (1 + z2/n)
	half := wilsonZ / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return max(middle-half, 0), min(middle+half, 1)
}
