// Package tun is the device through which packets for pods of other sites leave
// and reach this node.
//
// It owns one link: a TUN device that hands out IP packets, each with a
// virtio_net_hdr before it, so that what the kernel has joined (up to 64 KiB of
// one TCP connection, or many datagrams) crosses the relay in one piece and no
// checksum is computed on the way. It must not know where packets go, and it
// sets no route: agent/network does.
//
// The device is persistent. While the daemon is away it stays, with its address
// and the routes through it: packets are dropped, connections of pods wait and
// go on after a restart, and a new daemon adopts the device. [Remove] takes it
// away without running state. Start reading at [Open].
package tun
