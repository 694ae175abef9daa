// Package relay is the node's part in carrying packets between pods of sites
// that cannot reach each other: what the kernel sends to the device kedge-relay
// goes to the link, and what the link brings goes to the device.
//
// It owns the device (agent/network/tun) while it runs. It must not set routes,
// which is agent/network's, and must not know what the link is. It believes
// neither side: only packets from this node's own range leave, only packets
// from elsewhere to it enter. Nothing is held back: where the link takes no
// packet it is lost.
//
// A host without TUN devices is a node all the same, whose pods reach only
// those that need no relay; the component says so and tries again. Start
// reading at [Relay.Run].
package relay
