// Package runtime owns the node's container runtime: it is the only user of
// containerd.
//
// containerd runs as a child of the daemon, made from the same executable by
// [Main], and outlives it: a daemon that starts finds the running one by its
// record, checks that it is the same process, program and configuration, and
// adopts it. Only when one of them differs is containerd replaced, which does
// not touch containers, because their shims are processes of their own.
//
// Two components come from here: [Containerd] keeps the child serving and its
// pause image present, [Images] imports archives from the images folder.
// [Reset] removes everything again without a running daemon.
//
// Invariants: nothing is found by a process's name alone; a process that is to
// be ended is held by a pidfd first; other containerd instances and, while
// running, other containerd namespaces are never written to.
//
// Start reading at [Config], then [Containerd.Component].
package runtime
