package sip

// Address is the driver's own SIP address, as host:port.
func Address(d *Driver) string { return d.conn.LocalAddr().String() }
