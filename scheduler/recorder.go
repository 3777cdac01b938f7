package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Results is the store, as the recorder needs it.
type Results interface {
	// Apply writes a batch of transitions, at most one a task, in one
	// transaction, and says of each whether it was taken or overtaken.
	Apply(ctx context.Context, owner Owner, trs []Transition) ([]bool, error)
}

// RecorderOptions are what a Recorder works with.
type RecorderOptions struct {
	Results Results
	Lease   *Lease
	Now     func() time.Time
	Log     *slog.Logger
}

// Recorder writes what becomes of calls, in batches. An outcome exists nowhere
// else, so it is written again until it is taken or the node is fenced: the
// one place where infrastructure is retried.
type Recorder struct {
	o     RecorderOptions
	nudge chan struct{}

	mu     sync.Mutex
	queue  []entry // in the order of recording
	closed bool
}

// entry is a transition to be written, and what is to be told then.
type entry struct {
	call    CallID
	build   func() Transition
	written func(taken bool)
	refused bool // it is what Refused made: there is nothing less to write
}

// How results are gathered: for at most recordLinger, at most recordMax.
const (
	recordLinger = 5 * time.Millisecond
	recordMax    = 1000
)

// How soon a failed write is tried again, doubling.
const (
	recordAgainMin = 100 * time.Millisecond
	recordAgainMax = 2 * time.Second
)

// NewRecorder returns a recorder that is not running yet.
func NewRecorder(o RecorderOptions) *Recorder {
	return &Recorder{o: o, nudge: make(chan struct{}, 1)}
}

// Record takes a transition to be written; those of one call are written in
// order. written, if not nil, is called once nothing more can become of it: it
// was taken, or else overtaken, refused or fenced.
func (r *Recorder) Record(tr Transition, written func(taken bool)) {
	r.RecordLater(tr.From.CallID, func() Transition { return tr }, written)
}

// RecordLater is Record for a transition that depends on what became of those
// of its call before it: build is called when that is known, after their
// written.
func (r *Recorder) RecordLater(call CallID, build func() Transition, written func(taken bool)) {
	r.mu.Lock()
	r.queue = append(r.queue, entry{call: call, build: build, written: written})
	r.mu.Unlock()
	nudge(r.nudge)
}

// Close lets Run return once everything recorded is written.
func (r *Recorder) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	nudge(r.nudge)
}

// Run writes until the recorder is closed and empty, or ctx ends: then what is
// not written yet is lost with the process, and recovered as a lost attempt.
func (r *Recorder) Run(ctx context.Context) {
	for {
		batch, closed := r.take()
		if len(batch) == 0 {
			if closed {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-r.nudge:
			}
			if !r.linger(ctx) {
				return
			}
			continue
		}
		if !r.write(ctx, batch) {
			return
		}
	}
}

// linger lets a batch grow.
func (r *Recorder) linger(ctx context.Context) bool {
	r.mu.Lock()
	full := len(r.queue) >= recordMax || r.closed
	r.mu.Unlock()
	return full || sleep(ctx, recordLinger)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// take removes the next batch: at most one transition of a call, the others
// stay in their order.
func (r *Recorder) take() (batch []entry, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[CallID]bool, min(len(r.queue), recordMax))
	rest := r.queue[:0:0]
	for i, e := range r.queue {
		if len(batch) == recordMax {
			rest = append(rest, r.queue[i:]...)
			break
		}
		if seen[e.call] {
			rest = append(rest, e)
			continue
		}
		seen[e.call] = true
		batch = append(batch, e)
	}
	r.queue = rest
	return batch, r.closed
}

// write writes a batch until it is taken or the node is fenced; false if ctx
// ended before.
func (r *Recorder) write(ctx context.Context, batch []entry) bool {
	trs := make([]Transition, len(batch))
	for i, e := range batch {
		trs[i] = e.build()
	}
	for pause := recordAgainMin; ; pause = min(pause*2, recordAgainMax) {
		// A write under way is never abandoned: its answer decides what is next.
		taken, err := r.o.Results.Apply(context.WithoutCancel(ctx), r.o.Lease.Owner(), trs)
		switch {
		case err == nil:
			tell(batch, taken)
			return true
		case errors.Is(err, ErrFenced):
			r.o.Lease.fence()
			tell(batch, make([]bool, len(batch)))
			return true
		case errors.Is(err, ErrData):
			return r.halve(ctx, batch, err)
		}
		r.o.Log.Error("write results failed; trying again", "err", err, "took", pause)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// tell says what became of a batch.
func tell(batch []entry, taken []bool) {
	for i, e := range batch {
		if e.written != nil {
			e.written(taken[i])
		}
	}
}

// halve writes the halves of a batch that the database refuses, until the bad
// row stands alone. That one is logged, and its task ended without what was
// refused.
func (r *Recorder) halve(ctx context.Context, batch []entry, refusal error) bool {
	if half := len(batch) / 2; half > 0 {
		return r.write(ctx, batch[:half]) && r.write(ctx, batch[half:])
	}
	bad := batch[0]
	tr := bad.build()
	less, ok := tr.Refused(r.o.Now())
	if !ok || bad.refused {
		r.o.Log.Error("the database refuses a "+string(tr.Step)+"; what follows must make it good",
			"err", refusal, "task", tr.Task.ID, "call", tr.From.CallID)
		tell(batch, []bool{false})
		return true
	}
	r.o.Log.Error("the database refuses the "+string(tr.Step)+" of a call; its task ends without it",
		"err", refusal, "task", tr.Task.ID, "call", tr.From.CallID, "cause", natives(tr.Attempt.Legs))
	return r.write(ctx, []entry{{
		call: bad.call, build: func() Transition { return less }, written: bad.written, refused: true,
	}})
}

// natives are the peers' own words, which are what a database may refuse.
func natives(legs []Leg) []string {
	words := make([]string, len(legs))
	for i, l := range legs {
		words[i] = l.Native
	}
	return words
}
