package ari

import "context"

// Crash ends the driver as the end of its process would: Asterisk is told
// nothing.
func (d *Driver) Crash(ctx context.Context) error {
	d.kill()
	return d.Close(ctx)
}
