package scheduler

import (
	"strings"
	"testing"
	"time"
)

func TestPlanKeepsToSharedLimits(t *testing.T) {
	queue := func(id QueueID, client ClientID, exts ...ExtensionID) Ready {
		r := Ready{Queue: Queue{ID: id, ClientID: client, On: true, Priority: DefaultPriority}}
		for i, ext := range exts {
			r.Head = append(r.Head, Head{Task: TaskID(int(id)*10 + i), Extension: ext, Due: began})
		}
		return r
	}
	limit := func(client ClientID, ext ExtensionID, running, most int) CallLimit {
		return CallLimit{LimitKey: LimitKey{client, ext}, Running: running, Most: most}
	}
	for claim, tc := range map[string]struct {
		ready  []Ready
		limits []CallLimit
		starts []int // of each queue
		gates  []Gate
		detail string // of the first hold
	}{
		"a free slot is taken, and the next task holds its queue": {
			[]Ready{queue(1, "c", 7, 7, 8)}, []CallLimit{limit("c", 7, 1, 2)}, []int{1}, []Gate{GateExtension}, "2 of 2 calls of extension 7",
		},
		"a full extension holds what stands behind it, too": {
			[]Ready{queue(1, "c", 7, 8, 8)}, []CallLimit{limit("c", 7, 2, 2)}, []int{0}, []Gate{GateExtension}, "2 of 2 calls of extension 7",
		},
		"one without a limit is not held": {
			[]Ready{queue(1, "c", 8, 8)}, []CallLimit{limit("c", 7, 2, 2)}, []int{2}, []Gate{""}, "",
		},
		"the queues of a client share an extension's slots": {
			[]Ready{queue(1, "c", 7, 7), queue(2, "c", 7, 7)}, []CallLimit{limit("c", 7, 0, 3)}, []int{2, 1}, []Gate{"", GateExtension}, "",
		},
		"and the client's": {
			[]Ready{queue(1, "c", 7, 7), queue(2, "c", 8, 8)}, []CallLimit{limit("c", 0, 0, 3)}, []int{2, 1}, []Gate{"", GateClient}, "",
		},
		"a client's limit is its own": {
			[]Ready{queue(1, "c", 7, 7), queue(2, "d", 9, 9)}, []CallLimit{limit("c", 0, 5, 5)}, []int{0, 2}, []Gate{GateClient, ""}, "5 of 5 calls of the client",
		},
		"one over its limit starts nothing": {
			[]Ready{queue(1, "c", 7)}, []CallLimit{limit("c", 7, 5, 2)}, []int{0}, []Gate{GateExtension}, "5 of 2 calls of extension 7",
		},
		"a slot that the client refuses is not taken of the extension": {
			[]Ready{queue(1, "c", 7), queue(2, "c", 7)}, []CallLimit{limit("c", 7, 0, 1), limit("c", 0, 1, 1)}, []int{0, 0}, []Gate{GateClient, GateClient}, "1 of 1 calls of the client",
		},
	} {
		t.Run(claim, func(t *testing.T) {
			tc.ready[0].Limits = tc.limits
			for i, v := range Plan(tc.ready, 9, began) {
				if len(v.Start) != tc.starts[i] || v.Hold.Gate != tc.gates[i] {
					t.Errorf("queue %d starts %v and is held by %+v, want %d and %q", v.Queue, v.Start, v.Hold, tc.starts[i], tc.gates[i])
				}
				if v.Hold.Gate != "" && !v.Hold.Until.Equal(began.Add(250*time.Millisecond)) {
					t.Errorf("queue %d is looked at again at %s", v.Queue, v.Hold.Until)
				}
				if i == 0 && !strings.Contains(v.Hold.Detail, tc.detail) {
					t.Errorf("it is told %q, want %q", v.Hold.Detail, tc.detail)
				}
			}
		})
	}
}

// What is full takes nothing of a start rate.
func TestALimitTakesNothingOfTheStartRate(t *testing.T) {
	r := Ready{
		Queue: Queue{ID: 1, ClientID: "c", On: true, StartRate: 1}, Head: []Head{{Task: 1, Extension: 7, Due: began}},
		Limits: []CallLimit{{LimitKey: LimitKey{"c", 7}, Most: 1, Running: 1}},
	}
	if v := Plan([]Ready{r}, 9, began)[0]; !v.NextStart.IsZero() || v.Hold.Gate != GateExtension {
		t.Errorf("next start %s, held by %+v", v.NextStart, v.Hold)
	}
}
