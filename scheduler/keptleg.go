package scheduler

// KeptLeg is what it takes to end an answered leg once the process that made
// it is gone.
type KeptLeg struct {
	ID    string // the leg's, as the dialer names it
	Call  CallID
	Trunk string
	State []byte // of the leg's driver, which alone can read it
}
