package dialertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringback/dialer"
	"ringback/scheduler"
)

// TestFaults: the recorder sees a broken promise.
func TestFaults(t *testing.T) {
	ev := func(kinds ...dialer.EventKind) (l []dialer.Event) {
		at := time.Unix(1, 0)
		answered := false
		for _, k := range kinds {
			at = at.Add(time.Second)
			e := dialer.Event{Kind: k, At: at}
			answered = answered || k == dialer.Answered
			if k == dialer.Ended {
				e.End = dialer.End{Disposition: scheduler.UserBusy, By: scheduler.ByPeer}
				if answered {
					e.End.Disposition = scheduler.Answered
				}
			}
			l = append(l, e)
		}
		return l
	}
	wrongEnd := ev(dialer.Ringing, dialer.Ended)
	wrongEnd[1].End.Disposition = scheduler.Answered
	nobody := ev(dialer.Ended)
	nobody[0].End.By = ""
	back := ev(dialer.Ringing, dialer.Ended)
	back[1].At = back[0].At.Add(-time.Second)
	overlap := &recorded{events: ev(dialer.Ended)}
	overlap.overlap.Store(true)
	for claim, c := range map[string]struct {
		leg  *recorded
		want string // "": no fault
	}{
		"a call in order":          {&recorded{events: ev(dialer.EarlyMedia, dialer.Ringing, dialer.Answered, dialer.Ended)}, ""},
		"a sound that was heard":   {&recorded{plays: 1, events: ev(dialer.Answered, dialer.Played, dialer.Ended)}, ""},
		"a sound nobody ordered":   {&recorded{events: ev(dialer.Answered, dialer.Played, dialer.Ended)}, "played came 1 times of 0"},
		"ringing after a sound":    {&recorded{plays: 1, events: ev(dialer.Answered, dialer.Played, dialer.Ringing, dialer.Ended)}, "after the answer"},
		"an end alone":             {&recorded{events: ev(dialer.Ended)}, ""},
		"refused and quiet":        {&recorded{refused: errors.New("no")}, ""},
		"refused and told of":      {&recorded{refused: errors.New("no"), events: ev(dialer.Ended)}, "told of"},
		"no end":                   {&recorded{events: ev(dialer.Ringing)}, "ended came 0"},
		"two ends":                 {&recorded{events: ev(dialer.Ended, dialer.Ended)}, "ended came 2"},
		"something after the end":  {&recorded{events: ev(dialer.Ended, dialer.Ringing)}, "after the end"},
		"ringing after the answer": {&recorded{events: ev(dialer.Answered, dialer.Ringing, dialer.Ended)}, "after the answer"},
		"two answers":              {&recorded{events: ev(dialer.Answered, dialer.Answered, dialer.Ended)}, "answered came 2"},
		"two rings":                {&recorded{events: ev(dialer.Ringing, dialer.Ringing, dialer.Ended)}, "ringing came 2"},
		"an event of no kind":      {&recorded{events: ev(0, dialer.Ended)}, "unknown kind"},
		"an end that lies":         {&recorded{events: wrongEnd}, "answered: false"},
		"an end by nobody":         {&recorded{events: nobody}, "ended by"},
		"time that goes back":      {&recorded{events: back}, "before what came first"},
		"events at one time":       {overlap, "at one time"},
	} {
		t.Run(claim, func(t *testing.T) {
			got := strings.Join(c.leg.faults(), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("faults %q, want %q", got, c.want)
			}
		})
	}
}
