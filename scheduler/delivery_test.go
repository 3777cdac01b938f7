package scheduler_test

import (
	"testing"
	"time"

	"ringback/scheduler"
)

func TestWhatGoesStale(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for kind, want := range map[scheduler.EventKind]time.Time{
		scheduler.EventBefore: at.Add(15 * time.Minute), scheduler.EventBeforeAgain: at.Add(15 * time.Minute),
		scheduler.EventSuccess: {}, scheduler.EventAfter: {}, scheduler.EventAccountTask: {},
	} {
		if got := kind.Keeps(at); !got.Equal(want) {
			t.Errorf("%s keeps until %v, want %v", kind, got, want)
		}
	}
}
