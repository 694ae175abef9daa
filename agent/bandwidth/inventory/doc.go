// Package inventory knows the pods and containers of this node and where they
// are in the kernel: the host's end of a pod's veth pair, the number by which
// the host calls the pod's network namespace, and the cgroup of each container.
//
// It hears of them from the container runtime, which waits until whoever uses
// the inventory has said that the change is in the kernel ([Inventory.Applied]),
// for at most a second.
//
// Start reading at [Inventory].
package inventory
