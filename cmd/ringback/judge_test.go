package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// entry is a line of the simulated carrier's journal.
type entry struct {
	T       float64 `json:"t"` // seconds since 1970
	Event   string  `json:"event"`
	Call    string  `json:"call"`
	Leg     string  `json:"leg"`
	Number  string  `json:"number"`
	Task    int64   `json:"task"`
	Attempt int     `json:"attempt"`
	PID     int     `json:"pid"`
}

// verdict is what the carrier saw of a run of one queue, whatever the
// processes believe.
type verdict struct {
	peak   int // calls at one time at most
	calls  int
	tasks  map[int64]int // attempts by task
	spans  []span
	faults []string
}

// span is a call, from its first originate to its last end, or to when its
// process ceased to carry it.
type span struct {
	from, to float64
	pid      int
	open     int // legs
	task     int64
	attempt  int
	cut      bool // its process was gone before its end
}

// judgement judges a journal. gone are the moments when processes ceased to
// carry calls: killed, or frozen for longer than their lease.
func judgement(path string, gone map[int][]time.Time) (verdict, error) {
	entries, err := readJournal(path)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{tasks: map[int64]int{}}
	calls := map[string]*span{}
	attempts := map[[2]int64]string{}
	for _, e := range entries {
		c := calls[e.Call]
		switch {
		case e.Event == "originate" && c == nil:
			c = &span{from: e.T, pid: e.PID, task: e.Task, attempt: e.Attempt}
			calls[e.Call] = c
			key := [2]int64{e.Task, int64(e.Attempt)}
			if other, twice := attempts[key]; twice {
				v.faults = append(v.faults, fmt.Sprintf("attempt %d of task %d was originated twice: %s, %s", e.Attempt, e.Task, other, e.Call))
			}
			attempts[key] = e.Call
			v.tasks[e.Task]++
			c.open++
		case e.Event == "originate":
			c.open++
		case e.Event == "play", e.Event == "dtmf":
		case c == nil:
			v.faults = append(v.faults, "an end without an originate: "+e.Call)
		default:
			c.open--
			c.to = max(c.to, e.T)
		}
	}
	v.calls = len(calls)
	for id, c := range calls {
		end, cut := goneAfter(gone[c.pid], c.from)
		switch {
		case cut && (c.open > 0 || c.to > end):
			c.to, c.cut = end, true
		case c.open > 0:
			v.faults = append(v.faults, fmt.Sprintf("call %s of task %d never ended, though process %d lived", id, c.task, c.pid))
			continue
		}
		v.spans = append(v.spans, *c)
	}
	v.peak = v.peakOf(func(int64) bool { return true })
	return v, nil
}

// peakOf is how many calls of some tasks there were at one time at most.
func (v verdict) peakOf(some func(task int64) bool) (peak int) {
	type step struct {
		t  float64
		by int
	}
	var steps []step
	for _, c := range v.spans {
		if some(c.task) {
			steps = append(steps, step{c.from, 1}, step{c.to, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int {
		switch {
		case a.t != b.t && a.t < b.t:
			return -1
		case a.t != b.t:
			return 1
		}
		return a.by - b.by // what ends first makes room
	})
	running := 0
	for _, s := range steps {
		running += s.by
		peak = max(peak, running)
	}
	return peak
}

// goneAfter returns the first of the moments that is not before from.
func goneAfter(moments []time.Time, from float64) (float64, bool) {
	for _, m := range moments {
		if t := float64(m.UnixMicro()) / 1e6; t >= from {
			return t, true
		}
	}
	return 0, false
}

// readJournal reads the entries in the order of their time. A line that a
// killed process did not finish is left out.
func readJournal(path string) ([]entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []entry
	for s := bufio.NewScanner(f); s.Scan(); {
		var e entry
		if json.Unmarshal(s.Bytes(), &e) == nil {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		switch {
		case a.T < b.T:
			return -1
		case a.T > b.T:
			return 1
		}
		return 0
	})
	return list, nil
}
