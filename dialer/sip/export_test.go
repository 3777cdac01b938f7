package sip

// Address is the first of the driver's own SIP addresses, as host:port.
func Address(d *Driver) string { return d.stations[0].addr.String() }
