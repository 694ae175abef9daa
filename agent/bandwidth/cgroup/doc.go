// Package cgroup tells by which cgroup2 folder the kernel knows the traffic of
// a container.
//
// Sockets remember the cgroup2 folder of the process that made them, whatever
// controllers that hierarchy has. On cgroup v2 that is the container's own
// folder, and so it is on hybrid hosts with the second hierarchy at its usual
// place, because runc joins it with everything it starts. Elsewhere (cgroup v1
// alone) the package makes a folder for each container, below one that carries
// the node's name, and moves the container's processes there. Controllers and
// limits stay where they are.
//
// Invariants: no folder of anybody else is written to; a folder lives as long
// as its container, so that its identity stays the same when the daemon starts
// anew; nothing is mounted where others see it; [Remove] needs no running
// state.
//
// Start reading at [Folders].
package cgroup
