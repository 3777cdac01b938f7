package main

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// gcPercent is how much garbage a node makes before it collects, in percent of
// what lives, unless the environment says it: what lives is little (batches come
// and go), and Go's own 100 costs a tenth of all processor time under load.
const gcPercent = 400

// memoryShare is how much of a container's memory the heap may take before it is
// collected whatever gcPercent says: a few large requests at once must not have the
// node killed, and its calls with it.
const memoryShare = 0.8

// tuneMemory sets both, unless the environment says otherwise.
func tuneMemory() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(gcPercent)
	// Without a limit of the container, or where none can be read, there is none.
	_, _ = memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(memoryShare), memlimit.WithProvider(memlimit.FromCgroup))
}
