// Package nodes does for Node objects what kubelets may not do themselves: it
// gives the server's own node its role, and admits nodes that declared their
// own addresses.
//
// A kubelet keeps addresses that it does not know itself only when it is told
// that somebody else sets them (--cloud-provider=external); it then registers
// with a taint, which this package removes as soon as the node has an internal
// address. Start reading at [New].
package nodes
