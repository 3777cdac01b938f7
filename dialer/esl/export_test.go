package esl

import "context"

// Crash ends the driver as the end of its process would: FreeSWITCH is told
// nothing.
func (d *Driver) Crash(ctx context.Context) error {
	d.end()
	<-d.linked
	return d.Close(ctx)
}
