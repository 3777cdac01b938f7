package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGarbageIsBounded(t *testing.T) {
	for claim, c := range map[string]struct {
		live uint64
		want int
	}{
		"of a node just started, as set":   {0, gcPercent},
		"of little, as set":                {24 << 20, gcPercent},
		"of more, so many bytes":           {48 << 20, 200},
		"of much, as much as lives":        {mostGarbage, 100},
		"of very much, as much as lives":   {8 << 30, 100},
		"of the most there is, as it says": {^uint64(0), 100},
	} {
		if got := garbage(c.live); got != c.want {
			t.Errorf("%s: got %d, want %d", claim, got, c.want)
		}
	}
}

// TestGarbageIsBoundedAnew after each collection: the heap grows and shrinks.
func TestGarbageIsBoundedAnew(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	percentWas, limitWas := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percentWas); debug.SetMemoryLimit(limitWas) }()
	tuneMemory()
	percent := func() int {
		runtime.GC()
		is := debug.SetGCPercent(gcPercent)
		debug.SetGCPercent(is)
		return is
	}
	becomes := func(what string, ok func(percent int) bool) {
		t.Helper()
		if err := await(10*time.Second, func() error {
			if p := percent(); !ok(p) {
				return fmt.Errorf("%s: %d %%", what, p)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	func() {
		much := make([]byte, 2*mostGarbage)
		becomes("of much", func(p int) bool { return p == 100 })
		runtime.KeepAlive(much)
	}()
	becomes("of little", func(p int) bool { return p > 100 })
}
