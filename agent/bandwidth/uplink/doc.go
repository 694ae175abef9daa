// Package uplink knows over which links a node reaches others and what they
// carry: what --uplink says, or the device of the default route with the speed
// of its port. It follows the kernel's news about links and routes, and finds
// who else belongs to the control class.
//
// It changes nothing on the host. Start reading at [Config] and [Watcher].
package uplink
