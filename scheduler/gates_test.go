package scheduler

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestGates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	on, off := Queue{On: true, Limit: 2}, Queue{Limit: 2}
	full, idle := Runtime{Running: 2}, Runtime{Running: 1}
	held := Runtime{Hold: Hold{Gate: GateDialer, Until: now.Add(time.Second)}}
	closed := Runtime{Running: 2, Hold: Hold{Gate: GateInterval, Until: now.Add(time.Second)}}
	opened := Runtime{Hold: Hold{Gate: GateInterval, Until: now}}
	braked := Queue{On: true, Limit: 2, Brake: BrakeSettings{MinPercent: 50}}
	brakes := Runtime{Running: 2, Brake: Brake{State: BrakeOpen, Until: now.Add(time.Second), Why: "NER 0 %"}}
	paused := Runtime{Brake: Brake{State: BrakeOpen, Until: now}}
	probes := Runtime{Running: 1, Brake: Brake{State: BrakeProbing, InFlight: 1}}
	every := Runtime{Running: 2, Brake: brakes.Brake, NextStart: now.Add(1), Node: []Hold{{Gate: GateWorkers}}, Closed: Hold{Gate: GateInterval, Until: now.Add(time.Minute)}, Hold: held.Hold}
	spaced := Runtime{NextStart: now.Add(1)}
	limit := func(ext ExtensionID) CallLimit { return CallLimit{LimitKey: LimitKey{"c", ext}, Most: 1, Running: 1} }
	looked := func(r Runtime) Runtime {
		r.Hold = Hold{Gate: GateExtension, Until: now.Add(time.Second)}
		return r
	}
	fullClient, fullHead := Runtime{Full: []CallLimit{limit(0)}, Head: 7}, Runtime{Full: []CallLimit{limit(7)}, Head: 7}
	fullBoth := Runtime{Running: 2, Full: []CallLimit{limit(7), limit(0)}, Head: 7}
	due := Task{Status: Scheduled, ReadyAt: now}
	later := Task{Status: Delayed, ReadyAt: now.Add(time.Minute)}
	for claim, tc := range map[string]struct {
		task   Task
		queue  Queue
		run    Runtime
		gates  []Gate
		status Status
	}{
		"a due task of an idle queue is held by nothing":        {due, on, idle, nil, Scheduled},
		"a due task of a full queue shows it":                   {due, on, full, []Gate{GateConcurrent}, DelayedConcurrent},
		"a queue without a limit is never full":                 {due, Queue{On: true}, full, nil, Scheduled},
		"a queue that is off leaves the status":                 {due, off, full, []Gate{GateOff, GateConcurrent}, Scheduled},
		"a task that is not due is not held by a full queue":    {later, on, full, []Gate{GateNotDue}, Delayed},
		"a task that is not due is held by a queue that is off": {later, off, idle, []Gate{GateOff, GateNotDue}, Delayed},
		"a hold of our own leaves the status":                   {due, on, held, []Gate{GateDialer}, Scheduled},
		"a closed window shows before a full queue":             {due, on, closed, []Gate{GateInterval, GateConcurrent}, DelayedInterval},
		"a window that has opened is past":                      {due, on, opened, nil, Scheduled},
		"a closed window of a queue that is off leaves it":      {due, off, closed, []Gate{GateOff, GateInterval, GateConcurrent}, Scheduled},
		"a task that is not due is not held by the window":      {later, on, closed, []Gate{GateNotDue}, Delayed},
		"a brake shows before a full queue":                     {due, braked, brakes, []Gate{GateASR, GateConcurrent}, DelayedASR},
		"a pause of the brake that is over holds nothing":       {due, braked, paused, nil, Scheduled},
		"a probe that is up holds the others":                   {due, braked, probes, []Gate{GateASR}, DelayedASR},
		"a brake of a queue that is off leaves the status":      {due, off, brakes, []Gate{GateOff, GateASR, GateConcurrent}, Scheduled},
		"a task that is not due is not held by the brake":       {later, braked, brakes, []Gate{GateNotDue}, Delayed},
		"every gate is told, in the order of the contract":      {due, Queue{Limit: 2, StartRate: 1}, every, []Gate{GateOff, GateInterval, GateASR, GateConcurrent, GateStartRate, GateDialer, GateWorkers}, Scheduled},
		"what holds the node leaves the status":                 {due, on, Runtime{Node: every.Node}, []Gate{GateWorkers}, Scheduled},
		"a task that is not due is not held by its node":        {later, on, Runtime{Node: every.Node}, []Gate{GateNotDue}, Delayed},
		"the window shows first":                                {due, on, every, []Gate{GateInterval, GateASR, GateConcurrent, GateDialer, GateWorkers}, DelayedInterval},
		"the start rate leaves the status":                      {due, Queue{On: true, StartRate: 1}, spaced, []Gate{GateStartRate}, Scheduled},
		"a start rate that was taken away is past":              {due, on, spaced, nil, Scheduled},
		"a full client holds every task":                        {due, on, fullClient, []Gate{GateClient}, Scheduled},
		"a full extension of the first task holds the others":   {due, on, fullHead, []Gate{GateExtension}, Scheduled},
		"a full extension holds its own task":                   {Task{Status: Scheduled, ReadyAt: now, ExtensionID: 7}, on, Runtime{Full: fullHead.Full, Head: 8}, []Gate{GateExtension}, Scheduled},
		"a full extension that stands behind holds nothing":     {due, on, Runtime{Full: fullHead.Full, Head: 8}, nil, Scheduled},
		"a full extension is told once":                         {due, on, looked(fullHead), []Gate{GateExtension}, Scheduled},
		"a hold that is looked at again is told until then":     {due, on, looked(Runtime{}), []Gate{GateExtension}, Scheduled},
		"limits are told behind the queue's own":                {due, Queue{Limit: 2}, fullBoth, []Gate{GateOff, GateConcurrent, GateExtension, GateClient}, Scheduled},
		"a task that is not due is not held by a full client":   {later, on, fullClient, []Gate{GateNotDue}, Delayed},
		"an executed task is held by nothing":                   {Task{Status: Executed}, off, full, nil, Executed},
		"a finished task is held by nothing":                    {Task{Status: Finished}, off, full, nil, Finished},
	} {
		t.Run(claim, func(t *testing.T) {
			var gates []Gate
			for _, h := range tc.task.Gates(tc.queue, tc.run, now) {
				gates = append(gates, h.Gate)
			}
			if !slices.Equal(gates, tc.gates) {
				t.Errorf("gates %v, want %v", gates, tc.gates)
			}
			if got := tc.task.Shown(tc.queue, tc.run, now); got != tc.status {
				t.Errorf("shown %q, want %q", got, tc.status)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hold := Hold{Gate: GateDialer, Until: now.Add(time.Second)}
	for claim, tc := range map[string]struct {
		queue Queue
		run   Runtime
		gate  Gate
	}{
		"a queue that is off holds":     {Queue{}, Runtime{Hold: hold}, GateOff},
		"a hold lasts until its end":    {Queue{On: true}, Runtime{Hold: hold}, GateDialer},
		"a hold that has ended is none": {Queue{On: true}, Runtime{Hold: Hold{Gate: GateDialer, Until: now}}, ""},
		"a closed window is told before the brake": {Queue{On: true}, Runtime{Closed: Hold{Gate: GateInterval, Until: now.Add(1)},
			Brake: Brake{State: BrakeOpen, Until: now.Add(1)}}, GateInterval},
		"the brake is told before what else holds": {Queue{On: true}, Runtime{Hold: hold, Brake: Brake{State: BrakeOpen, Until: now.Add(1)}}, GateASR},
		"a full client holds":                      {Queue{On: true}, Runtime{Full: []CallLimit{{LimitKey: LimitKey{"c", 0}, Most: 1, Running: 1}}}, GateClient},
		"the brake is told before a full client": {Queue{On: true}, Runtime{Full: []CallLimit{{LimitKey: LimitKey{"c", 0}, Most: 1, Running: 1}},
			Brake: Brake{State: BrakeOpen, Until: now.Add(1)}}, GateASR},
		"a full extension holds if its task is first": {Queue{On: true}, Runtime{Full: []CallLimit{{LimitKey: LimitKey{"c", 7}, Most: 1, Running: 1}}, Head: 7}, GateExtension},
		"a full extension of others does not":         {Queue{On: true}, Runtime{Full: []CallLimit{{LimitKey: LimitKey{"c", 7}, Most: 1, Running: 1}}, Head: 8}, ""},
		"a full queue is not held":                    {Queue{On: true, Limit: 1}, Runtime{Running: 1}, ""},
	} {
		t.Run(claim, func(t *testing.T) {
			if got := tc.run.Holds(tc.queue, now).Gate; got != tc.gate {
				t.Errorf("held by %q, want %q", got, tc.gate)
			}
		})
	}
}

func TestAmend(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := Intake{
		Now:       now,
		Number:    func(string) (string, error) { return "", nil },
		URL:       func(string) error { return nil },
		Extension: func(id ExtensionID) (Extension, bool) { return Extension{ID: id}, true },
	}
	waiting := Task{
		ID: 7, Status: Delayed, ANumber: "101", BNumber: "102", ExtensionID: 1, TryCount: 5, TryPause: 60, TryPauseCaller: 60,
		StartAt: now.Add(-time.Hour + time.Millisecond), ReadyAt: now.Add(time.Minute), Deadline: now.Add(-time.Second + time.Millisecond),
		Attempts: 2, TriesSpent: 2,
	}
	change := func(f func(*Draft)) (Task, Faults) {
		d := waiting.Draft()
		f(&d)
		var faults Faults
		return in.Amend(waiting, d, &faults), faults
	}
	t.Run("a name changes nothing else", func(t *testing.T) {
		// Dates come back without their fractions.
		got, faults := change(func(d *Draft) {
			d.Name, d.StartAt, d.Deadline = "new", d.StartAt.Truncate(time.Second), d.Deadline.Truncate(time.Second)
		})
		want := waiting
		want.Name, want.UpdatedAt = "new", now
		want.Params.WaitForPickup, want.Params.CallDuration = DefaultRing, DefaultDuration
		if len(faults) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, faults %v", got, faults)
		}
	})
	t.Run("a start that moves is when it is due", func(t *testing.T) {
		at := now.Add(time.Hour)
		got, faults := change(func(d *Draft) { d.StartAt, d.Deadline = at, time.Time{} })
		if len(faults) > 0 || !got.ReadyAt.Equal(at) || !got.StartAt.Equal(at) {
			t.Errorf("due at %v, faults %v", got.ReadyAt, faults)
		}
	})
	t.Run("a deadline before the start is refused", func(t *testing.T) {
		_, faults := change(func(d *Draft) { d.Deadline = now.Add(-time.Minute) })
		if len(faults) != 1 || faults[0].Field != "Deadline" {
			t.Errorf("faults %v", faults)
		}
	})
	t.Run("what stays need not be allowed any more, what is new must be", func(t *testing.T) {
		in := in
		in.Extension = func(id ExtensionID) (Extension, bool) { return Extension{ID: id, Blocked: true, ANI: "333"}, true }
		t1 := waiting
		t1.Params.SrcANI, t1.Params.AttemptDstANI = "111", []string{"222"}
		t1.Params.AnnounceSoundID = "hello" // there are no sounds any more
		for claim, tc := range map[string]struct {
			change func(*Draft)
			faults int
		}{
			"nothing":           {func(*Draft) {}, 0},
			"a known number":    {func(d *Draft) { d.Params.DstANI = "222" }, 0},
			"a new number":      {func(d *Draft) { d.Params.DstANI = "444" }, 1},
			"a known sound":     {func(d *Draft) { d.Params.DstAnnounceSoundID = "hello" }, 0},
			"a new sound":       {func(d *Draft) { d.Params.DstAnnounceSoundID = "wait" }, 1},
			"another extension": {func(d *Draft) { d.ExtensionID = 2 }, 3}, // blocked, and both numbers are not its own
		} {
			var faults Faults
			d := t1.Draft()
			tc.change(&d)
			if in.Amend(t1, d, &faults); len(faults) != tc.faults {
				t.Errorf("%s: faults %v, want %d", claim, faults, tc.faults)
			}
		}
	})
	t.Run("fewer tries than were spent are refused", func(t *testing.T) {
		two := 2
		_, faults := change(func(d *Draft) { d.TryCount = &two })
		if len(faults) != 1 || faults[0].Field != "TryCount" {
			t.Errorf("faults %v", faults)
		}
	})
}

func TestAmendCallerTries(t *testing.T) {
	spent := fresh()
	spent.Status, spent.TryCountCaller, spent.CallerSpent, spent.TriesSpent = Delayed, 5, 2, 1
	for tries, want := range map[int]int{0: 1, 2: 1, 3: 0} {
		d := spent.Draft()
		d.TryCountCaller = &tries
		var faults Faults
		if got := desk().Amend(spent, d, &faults); len(faults) != want || want == 0 && got.TryCountCaller != tries {
			t.Errorf("%d caller tries, 2 of them spent: %d, faults %v", tries, got.TryCountCaller, faults)
		}
	}
	unspent := fresh()
	d := unspent.Draft()
	var faults Faults
	if desk().Amend(unspent, d, &faults); len(faults) > 0 {
		t.Errorf("no caller budget: faults %v", faults)
	}
}

func TestNewTaskFaults(t *testing.T) {
	in := Intake{
		Number:    func(string) (string, error) { return "", &Error{Message: "is odd", Status: "destination_not_allowed"} },
		URL:       func(string) error { return nil },
		Extension: func(id ExtensionID) (Extension, bool) { return Extension{ID: id, ANI: "100"}, true },
	}
	faults := Faults{{Field: "Tasks[1].ANumber", Message: "must be a string"}}
	in.NewTask(Draft{BNumber: "1", ExtensionID: 3, Params: DraftParams{CallerIDNumber: "99"}}, "Tasks[1].", &faults)
	want := Faults{
		{Field: "Tasks[1].ANumber", Message: "must be a string"},
		{Field: "Tasks[1].BNumber", Message: "is odd", Status: "destination_not_allowed"},
		{Field: "Tasks[1].Params.CallerIDNumber", Message: "is not a caller number of extension 3", Status: "caller_id_not_allowed"},
	}
	if !slices.Equal(faults, want) {
		t.Errorf("got %+v", faults)
	}
	for claim, tc := range map[string]struct {
		faults Faults
		status string
	}{
		"one status for all is the error's": {want[1:2], "destination_not_allowed"},
		"mixed statuses are none":           {want[1:], ""},
	} {
		var e *Error
		if !errors.As(tc.faults.Err(), &e) || e.Status != tc.status {
			t.Errorf("%s: got %+v", claim, e)
		}
	}
}
