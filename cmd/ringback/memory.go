package main

import (
	"os"
	"runtime"
	"runtime/debug"
	measured "runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is how much garbage a node makes before it collects, in percent of
// what lives, unless the environment says it: what lives is little (batches come
// and go), and Go's own 100 costs a tenth of all processor time under load.
const gcPercent = 400

// mostGarbage is where that ends: a POST of 50,000 tasks lives while it is
// answered, and four times that is not little. From there on it is this many
// bytes, or as much as lives, as Go has it by itself.
const mostGarbage = 96 << 20

// memoryShare is how much of a container's memory the heap may take before it is
// collected whatever gcPercent says: a few large requests at once must not have the
// node killed, and its calls with it.
const memoryShare = 0.8

// tuneMemory sets them, unless the environment says otherwise.
func tuneMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	boundGarbage(gcPercent)
	// Without a limit of the container, or where none can be read, there is none.
	_, _ = memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
}

// garbage is how much may be made until the next collection, in percent of what
// lives, in bytes.
func garbage(live uint64) int {
	return int(min(gcPercent, max(100, mostGarbage*100/max(live, 1))))
}

// boundGarbage sets the percentage anew after each collection. was is what it is.
func boundGarbage(was int) {
	type collected struct{ _ *byte } // by the next collection
	runtime.AddCleanup(&collected{}, func(was int) {
		live := []measured.Sample{{Name: "/gc/heap/live:bytes"}}
		measured.Read(live)
		is := garbage(live[0].Value.Uint64())
		if is != was {
			debug.SetGCPercent(is)
		}
		boundGarbage(is)
	}, was)
}
