package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// heads are due tasks with the given ids, in order, the first one due longest.
func heads(ids ...TaskID) []Head {
	hs := make([]Head, len(ids))
	for i, id := range ids {
		hs[i] = Head{Task: id, Due: began.Add(time.Duration(i-len(ids)) * time.Second)}
	}
	return hs
}

// ready is a queue that is on.
func ready(id QueueID, limit, running int, hs []Head) Ready {
	return Ready{Queue: Queue{ID: id, On: true, Limit: limit}, Runtime: Runtime{QueueID: id, Running: running}, Head: hs}
}

// of returns the queue as a client's, with a priority.
func of(client ClientID, priority int, r Ready) Ready {
	r.Queue.ClientID, r.Queue.Priority = client, priority
	return r
}

// where returns the queue as changed by f.
func where(r Ready, f func(*Ready)) Ready {
	r.Head = slices.Clone(r.Head)
	f(&r)
	return r
}

func decided(vs []Verdict) string {
	s := ""
	for _, v := range vs {
		s += fmt.Sprintf("%d:%v%v", v.Queue, v.Start, v.Finish)
		if v.Hold != (Hold{}) {
			s += string(v.Hold.Gate)
		}
		s += " "
	}
	return s
}

func TestPlan(t *testing.T) {
	hold := func(in time.Duration) func(*Ready) {
		return func(r *Ready) { r.Runtime.Hold = Hold{Gate: GateDialer, Until: began.Add(in)} }
	}
	deadline := func(i int, in time.Duration) func(*Ready) {
		return func(r *Ready) { r.Head[i].Deadline = began.Add(in) }
	}
	for claim, tc := range map[string]struct {
		ready []Ready
		room  int
		want  string
	}{
		"due tasks start in their order":           {[]Ready{ready(1, 0, 0, heads(5, 3, 4))}, 9, "1:[5 3 4][] "},
		"no more than the room":                    {[]Ready{ready(1, 0, 0, heads(1, 2, 3))}, 2, "1:[1 2][] "},
		"no room starts nothing":                   {[]Ready{ready(1, 0, 0, heads(1, 2, 3))}, 0, "1:[][] "},
		"less than no room starts nothing":         {[]Ready{ready(1, 0, 0, heads(1, 2, 3))}, -1, "1:[][] "},
		"no more than the limit":                   {[]Ready{ready(1, 2, 0, heads(1, 2, 3))}, 9, "1:[1 2][] "},
		"what runs counts to the limit":            {[]Ready{ready(1, 2, 1, heads(1, 2, 3))}, 9, "1:[1][] "},
		"a full queue starts nothing":              {[]Ready{ready(1, 2, 2, heads(1, 2, 3))}, 9, "1:[][] "},
		"a lowered limit starts nothing":           {[]Ready{ready(1, 2, 7, heads(1, 2, 3))}, 9, "1:[][] "},
		"a queue that is off starts nothing":       {[]Ready{where(ready(1, 0, 0, heads(1)), func(r *Ready) { r.Queue.On = false })}, 9, "1:[][] "},
		"a deleted queue starts nothing":           {[]Ready{where(ready(1, 0, 0, heads(1)), func(r *Ready) { r.Queue.DeletedAt = began })}, 9, "1:[][] "},
		"a hold keeps everything":                  {[]Ready{where(ready(1, 0, 0, heads(1)), hold(time.Second))}, 9, "1:[][]dialer "},
		"a hold ends at its end":                   {[]Ready{where(ready(1, 0, 0, heads(1)), hold(0))}, 9, "1:[1][] "},
		"a task due now starts":                    {[]Ready{where(ready(1, 0, 0, heads(1)), func(r *Ready) { r.Head[0].Due = began })}, 9, "1:[1][] "},
		"a task due later waits":                   {[]Ready{where(ready(1, 0, 0, heads(1)), func(r *Ready) { r.Head[0].Due = began.Add(1) })}, 9, "1:[][] "},
		"a task past its deadline is dropped":      {[]Ready{where(ready(1, 0, 0, heads(1, 2)), deadline(0, -1))}, 9, "1:[2][{1 expired}] "},
		"a task at its deadline is dropped":        {[]Ready{where(ready(1, 0, 0, heads(1, 2)), deadline(0, 0))}, 9, "1:[2][{1 expired}] "},
		"a task before its deadline starts":        {[]Ready{where(ready(1, 0, 0, heads(1, 2)), deadline(0, 1))}, 9, "1:[1 2][] "},
		"an expired head of a full queue goes":     {[]Ready{where(ready(1, 1, 1, heads(1, 2)), deadline(0, -1))}, 9, "1:[][{1 expired}] "},
		"a blocked extension's task is dropped":    {[]Ready{where(ready(1, 0, 0, heads(1, 2)), func(r *Ready) { r.Head[0].Blocked = true })}, 9, "1:[2][{1 extension blocked}] "},
		"what is dropped takes no room":            {[]Ready{where(ready(1, 0, 0, heads(1, 2)), deadline(0, -1))}, 1, "1:[2][{1 expired}] "},
		"what is dropped takes no place":           {[]Ready{where(ready(1, 1, 0, heads(1, 2)), deadline(0, -1))}, 9, "1:[2][{1 expired}] "},
		"a held queue drops nothing":               {[]Ready{where(where(ready(1, 0, 0, heads(1)), deadline(0, -1)), hold(1))}, 9, "1:[][]dialer "},
		"room is dealt in turn":                    {[]Ready{ready(1, 0, 0, heads(1, 2, 3)), ready(2, 0, 0, heads(4, 5, 6))}, 4, "1:[1 2][] 2:[4 5][] "},
		"what one cannot use another has":          {[]Ready{ready(1, 1, 0, heads(1, 2, 3)), ready(2, 0, 0, heads(4, 5, 6))}, 4, "1:[1][] 2:[4 5 6][] "},
		"a full queue takes nothing of the others": {[]Ready{ready(1, 1, 1, heads(1)), ready(2, 0, 0, heads(2))}, 1, "1:[][] 2:[2][] "},
		"the last room goes to who runs least":     {[]Ready{ready(1, 0, 3, heads(1, 2)), ready(2, 0, 2, heads(3, 4))}, 1, "1:[][] 2:[3][] "},
		"among equals, to who waits longest":       {[]Ready{ready(1, 0, 0, heads(1)), ready(2, 0, 0, heads(2, 3))}, 1, "1:[][] 2:[2][] "},
		"clients are dealt room in turn": {[]Ready{of("a", 5, ready(1, 0, 0, heads(1, 2, 3))), of("a", 5, ready(2, 0, 0, heads(4, 5, 6))),
			of("b", 0, ready(3, 0, 0, heads(7, 8, 9)))}, 4, "1:[1][] 2:[4][] 3:[7 8][] "},
		"the last room goes to the client that runs least": {[]Ready{of("a", 5, ready(1, 0, 1, heads(1))), of("a", 5, ready(2, 0, 1, heads(2))),
			of("b", 5, ready(3, 0, 1, heads(3)))}, 1, "1:[][] 2:[][] 3:[3][] "},
		"a client that can use nothing leaves it to others": {[]Ready{of("a", 5, ready(1, 1, 1, heads(1))), of("b", 5, ready(2, 0, 0, heads(2, 3)))}, 2,
			"1:[][] 2:[2 3][] "},
		"the queues of a client share by weight": {[]Ready{of("a", 2, ready(1, 0, 0, heads(1, 2, 3, 4, 5))),
			of("a", 0, ready(2, 0, 0, heads(6, 7, 8)))}, 4, "1:[1 2 3][] 2:[6][] "},
		"a queue of priority 0 is not left out": {[]Ready{of("a", 9, ready(1, 0, 0, heads(1, 2, 3))), of("a", 0, ready(2, 0, 0, heads(4)))}, 2,
			"1:[1][] 2:[4][] "},
		"the last room goes to who runs least for its weight": {[]Ready{of("a", 9, ready(1, 0, 9, heads(1))), of("a", 0, ready(2, 0, 1, heads(2)))}, 1,
			"1:[1][] 2:[][] "},
		"an empty queue takes no turn":     {[]Ready{ready(1, 0, 0, nil), ready(2, 0, 0, heads(2))}, 1, "1:[][] 2:[2][] "},
		"nothing ready is nothing decided": {nil, 5, ""},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := decided(Plan(tc.ready, tc.room, began)); got != tc.want {
				t.Errorf("decided %q, want %q", got, tc.want)
			}
		})
	}
}

// readyQueue draws a queue with up to six tasks at its head.
func readyQueue(t *rapid.T, id QueueID) Ready {
	seconds := func(name string, from, to int) time.Time {
		return began.Add(time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Second)
	}
	often := func(name string) bool { return rapid.IntRange(0, 5).Draw(t, name) > 0 }
	r := Ready{
		Queue:   Queue{ID: id, On: often("on"), Limit: rapid.IntRange(0, 5).Draw(t, "limit")},
		Runtime: Runtime{QueueID: id, Running: rapid.IntRange(0, 6).Draw(t, "running")},
	}
	if !often("live") {
		r.Queue.DeletedAt = began
	}
	if !often("unheld") {
		r.Runtime.Hold = Hold{Gate: GateDialer, Until: seconds("until", -3, 3)}
	}
	if !often("unbraked") {
		r.Queue.Brake = BrakeSettings{MinPercent: 50, Window: 600, MinAttempts: 1, Pause: 1}
		r.Runtime.Brake = Brake{State: BrakeOpen, Until: seconds("braked until", -3, 3)}
		if rapid.Bool().Draw(t, "probing") {
			r.Runtime.Brake = Brake{State: BrakeProbing, InFlight: min(r.Runtime.Running, rapid.IntRange(0, 1).Draw(t, "probes"))}
		}
	}
	if !often("unrated") {
		r.Queue.StartRate, r.Runtime.NextStart = 0.5, seconds("next start", -3, 3)
	}
	due := seconds("due", -9, 3)
	for i := range rapid.IntRange(0, 6).Draw(t, "heads") {
		h := Head{Task: TaskID(id)*100 + TaskID(i), Due: due, Blocked: !often("may call")}
		if !often("without deadline") {
			h.Deadline = seconds("deadline", -3, 3)
		}
		r.Head = append(r.Head, h)
		due = due.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "after")) * time.Second)
	}
	return r
}

// Whatever the queues: the limits hold, the order is kept, and no room is left
// that something could have used.
func TestPlanAlways(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		queues := make([]Ready, rapid.IntRange(0, 5).Draw(t, "queues"))
		for i := range queues {
			queues[i] = readyQueue(t, QueueID(i+1))
		}
		room := rapid.IntRange(0, 12).Draw(t, "room")
		vs := Plan(queues, room, began)
		if len(vs) != len(queues) {
			t.Fatalf("%d verdicts of %d queues", len(vs), len(queues))
		}
		started, hungry := 0, map[int]bool{} // hungry: could still start one more
		for i, v := range vs {
			checkVerdict(t, queues[i], v)
			started += len(v.Start)
			hungry[i] = couldStart(queues[i], v)
		}
		if started > room {
			t.Errorf("%d started, room was %d", started, room)
		}
		for i := range vs {
			if hungry[i] && started < room {
				t.Errorf("queue %d could start more, and room was left", i+1)
			}
			for j := range vs {
				if hungry[i] && queues[i].Queue.StartRate == 0 && !queues[i].Queue.Brake.on() && len(vs[j].Start) > len(vs[i].Start)+1 {
					t.Errorf("queue %d started %d while queue %d got %d", j+1, len(vs[j].Start), i+1, len(vs[i].Start))
				}
			}
		}
	})
}

// checkVerdict checks what must be true of one queue, whatever the others do.
func checkVerdict(t *rapid.T, r Ready, v Verdict) {
	held := r.Runtime.Hold.Until.After(began)
	if v.Queue != r.Queue.ID || held != (v.Hold == r.Runtime.Hold && held) || !held && v.Hold != (Hold{}) {
		t.Errorf("verdict %+v of %+v", v, r)
	}
	if (held || !r.Queue.On || !r.Queue.DeletedAt.IsZero()) && len(v.Start)+len(v.Finish) > 0 {
		t.Errorf("a closed queue moved: %+v of %+v", v, r)
	}
	if r.Queue.Limit > 0 && len(v.Start) > max(0, r.Queue.Limit-r.Runtime.Running) {
		t.Errorf("over the limit: %+v of %+v", v, r)
	}
	if r.Queue.StartRate > 0 && len(v.Start) > 0 && (len(v.Start) > 1 || r.Runtime.NextStart.After(began) || !v.NextStart.Equal(began.Add(2*time.Second))) {
		t.Errorf("over the start rate: %+v of %+v", v, r)
	}
	if len(v.Start) > braking(r) {
		t.Errorf("past the brake: %+v of %+v", v, r)
	}
	// What is decided is a beginning of the queue, each task once, in order.
	start, finish := v.Start, v.Finish
	for _, h := range r.Head[:len(v.Start)+len(v.Finish)] {
		why := never(h)
		switch {
		case h.Due.After(began):
			t.Errorf("task %d was not due: %+v", h.Task, v)
		case why != "" && len(finish) > 0 && finish[0] == Drop{h.Task, why}:
			finish = finish[1:]
		case why == "" && len(start) > 0 && start[0] == h.Task:
			start = start[1:]
		default:
			t.Errorf("task %d out of order: %+v of %+v", h.Task, v, r)
		}
	}
}

// braking says in other words how many the brake of a drawn queue lets start:
// its limit is under 20, so that there is one probe.
func braking(r Ready) int {
	switch b := r.Runtime.Brake; {
	case b.State == BrakeProbing && b.InFlight > 0, b.State == BrakeOpen && b.Until.After(began):
		return 0
	case b.State != BrakeClosed:
		return 1
	}
	return len(r.Head)
}

// never says in other words why a task can never start.
func never(h Head) string {
	if !h.Deadline.IsZero() && !h.Deadline.After(began) {
		return "expired"
	}
	if h.Blocked {
		return "extension blocked"
	}
	return ""
}

// couldStart reports whether a queue could start one task more.
func couldStart(r Ready, v Verdict) bool {
	if !r.Queue.On || !r.Queue.DeletedAt.IsZero() || r.Runtime.Hold.Until.After(began) {
		return false
	}
	if r.Queue.Limit > 0 && r.Runtime.Running+len(v.Start) >= r.Queue.Limit {
		return false
	}
	if len(v.Start) >= braking(r) {
		return false
	}
	if r.Queue.StartRate > 0 && (len(v.Start) > 0 || r.Runtime.NextStart.After(began)) {
		return false
	}
	return slices.ContainsFunc(r.Head[len(v.Start)+len(v.Finish):], func(h Head) bool {
		return never(h) == "" && !h.Due.After(began)
	})
}
