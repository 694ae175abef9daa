// Package lab brings up a small internet on one Linux machine and runs real
// programs on its hosts.
//
// A host is a process that is PID 1 of its own PID, mount, network and UTS
// namespaces, with its own writable /etc, /var/lib, /var/log, /run and
// /usr/local, its own data on disk and its own cgroup in every hierarchy. Hosts
// stand in sites. A public site has routable addresses; a NAT site sits behind a
// gateway that masquerades and drops whatever was not asked for from inside. Any
// link can be cut, healed, black-holed, muted in one direction, slowed, stalled or
// made lossy, and a site's uplink can be a long one. Hosts and gateways can move
// to other addresses, and gateways forget their mappings.
//
//	Up (or New in a test) -> Lab -> Host -> Proc
//
// The owner, the process that called Up, holds the write end of a pipe. A
// reaper and PID 1 of every host hold the read end, so however the owner goes,
// with Close, a panic, an interrupt or a SIGKILL, the hosts end and the reaper
// removes cgroups and directories. Nothing is ever made in the machine's own
// network namespace and nothing is mounted in its mount namespace. What even a
// killed reaper leaves carries the owner's identity in its name and is swept by
// the next Up.
//
// Programs that use this package start with Reexec (tests: Main), because hosts
// and the reaper are the same executable started again.
//
// Addresses come from the documentation ranges (RFC 5737): the exchange that
// joins the sites is 198.51.100.0/24, public sites share 203.0.113.0/24.
//
// Start reading at topology.go and lab.go; the namespaces are in hostinit.go
// and thread.go, the removal in reaper.go and sweep.go, what moves in readdress.go.
package lab
