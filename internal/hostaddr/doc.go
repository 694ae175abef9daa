// Package hostaddr finds the address under which this host is known to others,
// from the host's own routes and links and without sending a packet. Start at
// [Default].
package hostaddr
