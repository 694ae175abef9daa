// Package hostports knows which ports of the host its pods declare: those of
// containers of pods in the network of the host (hostNetwork: true). Only
// these may be reached from other nodes through the link, and from the server.
//
// It asks the container runtime and nobody else, so it works without a server
// and cannot be told by one. kubelet writes the ports that a container declares
// into an annotation of the container; a pod of its own network is not asked
// for, whatever it says. The default is none: before the first answer of the
// runtime, and for a container that declares nothing.
//
// Start reading at [Declared] and [Watcher.Run].
package hostports
