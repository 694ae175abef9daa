// Package packet reads what crosses the relay: one virtio_net_hdr and one IPv4
// packet, as a TUN device with IFF_VNET_HDR hands it out.
//
// It is pure: no I/O, no allocation, no state. It decides whether bytes from
// another machine may be looked at further and handed to a kernel; it does not
// know whose addresses are whose. Start at [Parse].
package packet
