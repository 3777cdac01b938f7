package store_test

import (
	"slices"
	"testing"
	"time"

	"ringback/scheduler"
	"ringback/store"
	"ringback/store/storetest"
)

func TestCalls(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := moment().Add(-time.Hour)
		n := newTenant(t, s, 0)
		other := storetest.Extension(t, s, n.Client)
		first, second, third := storetest.Task(n.ext, now), storetest.Task(n.ext, now.Add(time.Minute)), storetest.Task(other, now.Add(2*time.Minute))
		first.Variables = map[string]string{"k": "v"}
		second.BNumber = "+390699999999"
		tasks := n.addTasks(t, s, first, second, third)
		queue := storetest.Queue(t, s, n.Client, 0)
		_, err := s.AddTasks(t.Context(), n.ID, queue.ID, []scheduler.Task{storetest.Task(n.ext, now.Add(3*time.Minute))})
		must(t, err)
		var calls []scheduler.Started
		for i := range 4 {
			at := now.Add(time.Duration(i) * time.Minute)
			owner, started := startDue(t, s, at)
			if len(started) != 1 {
				t.Fatalf("%d were started", len(started))
			}
			calls = append(calls, started...)
			if i == 0 {
				finish(t, s, owner, started, at.Add(time.Second))
			}
		}
		id := func(i int) scheduler.CallID { return calls[i].Call.ID }
		for claim, tc := range map[string]struct {
			filter scheduler.CallFilter
			page   scheduler.Page
			want   []scheduler.CallID
			total  int
		}{
			"all, the first ones first":     {page: firstPage, want: []scheduler.CallID{id(0), id(1), id(2), id(3)}, total: 4},
			"all, the last ones first":      {page: scheduler.Page{Number: 1, Size: 3, Descending: true}, want: []scheduler.CallID{id(3), id(2), id(1)}, total: 4},
			"the second page":               {page: scheduler.Page{Number: 2, Size: 3}, want: []scheduler.CallID{id(3)}, total: 4},
			"after a call":                  {page: scheduler.Page{Size: 3, AfterCall: id(1)}, want: []scheduler.CallID{id(2), id(3)}, total: 4},
			"after a call, backwards":       {page: scheduler.Page{Size: 3, AfterCall: id(1), Descending: true}, want: []scheduler.CallID{id(0)}, total: 4},
			"from a time on":                {filter: scheduler.CallFilter{From: now.Add(time.Minute)}, page: firstPage, want: []scheduler.CallID{id(1), id(2), id(3)}, total: 3},
			"to a time, exclusive":          {filter: scheduler.CallFilter{To: now.Add(time.Minute)}, page: firstPage, want: []scheduler.CallID{id(0)}, total: 1},
			"of an extension":               {filter: scheduler.CallFilter{ExtensionID: other.ID}, page: firstPage, want: []scheduler.CallID{id(2)}, total: 1},
			"to a number":                   {filter: scheduler.CallFilter{ToNumber: "+390699999999"}, page: firstPage, want: []scheduler.CallID{id(1)}, total: 1},
			"by result":                     {filter: scheduler.CallFilter{Result: scheduler.CallBridged}, page: firstPage, want: []scheduler.CallID{id(0)}, total: 1},
			"of a task":                     {filter: scheduler.CallFilter{TaskID: tasks[2].ID}, page: firstPage, want: []scheduler.CallID{id(2)}, total: 1},
			"of a queue":                    {filter: scheduler.CallFilter{QueueID: queue.ID}, page: firstPage, want: []scheduler.CallID{id(3)}, total: 1},
			"nothing is an empty list":      {filter: scheduler.CallFilter{ToNumber: "0"}, page: firstPage},
			"an extension without a call":   {filter: scheduler.CallFilter{ExtensionID: other.ID, Result: scheduler.CallBusy}, page: firstPage},
			"of a queue and another's task": {filter: scheduler.CallFilter{QueueID: queue.ID, TaskID: tasks[0].ID}, page: firstPage},
		} {
			list, err := s.Calls(t.Context(), n.ID, tc.filter, tc.page)
			must(t, err)
			got := ids(list.Rows, func(a scheduler.Attempt) scheduler.CallID { return a.CallID })
			if list.Rows == nil || list.Total != tc.total || !slices.Equal(got, tc.want) {
				t.Errorf("%s: got %v of %d, want %v of %d", claim, got, list.Total, tc.want, tc.total)
			}
		}
		ended, err := s.CallByID(t.Context(), n.ID, id(0))
		if err != nil || len(ended.Legs) != 2 || ended.Legs[1].Role != scheduler.LegB || ended.Result != scheduler.CallBridged ||
			!ended.EndedAt.Equal(now.Add(time.Second)) || ended.Variables["k"] != "v" || ended.TaskID != tasks[0].ID {
			t.Errorf("an ended call: %+v, %v", ended, err)
		}
		live, err := s.CallByID(t.Context(), n.ID, id(1))
		if err != nil || !live.EndedAt.IsZero() || live.Result != "" || !live.StartedAt.Equal(now.Add(time.Minute)) {
			t.Errorf("a live call: %+v, %v", live, err)
		}
		_, err = s.CallByID(t.Context(), n.ID, "nonsense")
		wantKind(t, "no call", err, scheduler.NotFound)
	})
}
