package bench

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain collects garbage as seldom as a node does, for both sides.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
	}
	os.Exit(m.Run())
}
