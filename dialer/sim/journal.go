package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// journal appends what happens to a file that several processes may share:
// one line, one write. A nil journal writes nothing.
type journal struct {
	file *os.File

	mu     sync.Mutex
	failed error // of the lines nobody could be told about
}

// line is one line of the journal; what happens to every leg alike is filled
// in by write.
type line struct {
	T       json.Number      `json:"t"` // Unix seconds, to the millisecond
	Event   string           `json:"event"`
	Call    scheduler.CallID `json:"call"`
	Leg     scheduler.Role   `json:"leg"`
	Number  string           `json:"number"`
	Task    scheduler.TaskID `json:"task"`
	Attempt int              `json:"attempt"`
	PID     int              `json:"pid"`
	Sound   string           `json:"sound,omitempty"`  // of "play"
	Digits  string           `json:"digits,omitempty"` // of "dtmf"
}

func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal of the simulated carrier: %w", err)
	}
	return &journal{file: f}, nil
}

// write appends a line about a leg.
func (j *journal) write(l line, o dialer.Originate) error {
	if j == nil {
		return nil
	}
	ms := time.Now().UnixMilli()
	l.T = json.Number(fmt.Sprintf("%d.%03d", ms/1000, ms%1000))
	l.Call, l.Leg, l.Number, l.Task, l.Attempt, l.PID = o.Call, o.Role, o.Number.Dial(), o.Task, o.Attempt, os.Getpid()
	text, err := json.Marshal(l)
	if err == nil {
		_, err = j.file.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write journal of the simulated carrier: %w", err)
	}
	return nil
}

// note is write for a line whose failure cannot change what happens; close
// tells it.
func (j *journal) note(l line, o dialer.Originate) {
	if err := j.write(l, o); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.failed = err
	}
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.failed, j.file.Close())
}
