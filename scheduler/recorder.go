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
	Results  Results
	Lease    *Lease
	Now      func() time.Time
	Log      *slog.Logger
	Observer Observer
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
	tr      Transition
	written func()
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

// Record takes a transition to be written; the transitions of one task are
// written in order. written, if not nil, is called once nothing more can
// become of it: it is stored, overtaken or fenced.
func (r *Recorder) Record(tr Transition, written func()) {
	r.mu.Lock()
	r.queue = append(r.queue, entry{tr, written})
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

// take removes the next batch: at most one transition of a task, the others
// stay in their order.
func (r *Recorder) take() (batch []entry, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[TaskID]bool, min(len(r.queue), recordMax))
	rest := r.queue[:0:0]
	for i, e := range r.queue {
		if len(batch) == recordMax {
			rest = append(rest, r.queue[i:]...)
			break
		}
		if seen[e.tr.Task.ID] {
			rest = append(rest, e)
			continue
		}
		seen[e.tr.Task.ID] = true
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
		trs[i] = e.tr
	}
	for pause := recordAgainMin; ; pause = min(pause*2, recordAgainMax) {
		// A write under way is never abandoned: its answer decides what is next.
		taken, err := r.o.Results.Apply(context.WithoutCancel(ctx), r.o.Lease.Owner(), trs)
		switch {
		case err == nil:
			r.tell(batch, trs, taken)
			return true
		case errors.Is(err, ErrFenced):
			r.o.Lease.fence()
			r.tell(batch, trs, nil)
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

// tell says what became of a batch; a nil taken means that nothing was.
func (r *Recorder) tell(batch []entry, trs []Transition, taken []bool) {
	for i, e := range batch {
		if i < len(taken) && taken[i] {
			r.o.Observer.Wrote(trs[i])
		}
		if e.written != nil {
			e.written()
		}
	}
}

// halve writes the halves of a batch that the database refuses, until the bad
// row stands alone. That one is logged in full and fails its task.
func (r *Recorder) halve(ctx context.Context, batch []entry, refusal error) bool {
	if half := len(batch) / 2; half > 0 {
		return r.write(ctx, batch[:half]) && r.write(ctx, batch[half:])
	}
	bad := batch[0]
	r.o.Log.Error("the database refuses a result; its task fails",
		"err", refusal, "task", bad.tr.Task.ID, "call", bad.tr.From.CallID, "status", bad.tr)
	refused, ok := bad.tr.Refused(r.o.Now())
	if ok && !bad.refused() {
		return r.write(ctx, []entry{{refused, bad.written}})
	}
	if bad.written != nil {
		bad.written()
	}
	return true
}

// refused reports whether the entry is what Refused made already.
func (e entry) refused() bool {
	return e.tr.Task.Comment == string(LocalError) && e.tr.Attempt.Legs == nil
}
