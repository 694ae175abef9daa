// Package classify tells the kernel to which class of an uplink's trees (package
// plan) a packet belongs. It owns the BPF programs and maps of kedge; nobody
// else uses cilium/ebpf.
//
// Each uplink has a [Set] of four programs, one for each [Hook], and the tables
// that they share. The programs are assembled here, instruction by instruction,
// so that neither a compiler nor type information of the kernel is needed. They
// run as classifiers of type bpf (tc-bpf(8)) in clsact queueing disciplines:
//
//   - a program returns -1 when the packet is to pass a tree; the class is then
//     in skb->priority ("6b65:minor"), from where HTB takes it without filters;
//   - it returns 0 when the packet passes by.
//
// Both numbers mean the same with and without direct-action. kedge attaches the
// programs without it and with the redirect to the IFB device as the filter's
// own action: -1 is a match, 0 leaves the packet to the next filter, be it
// another uplink's or somebody else's. (With direct-action -1 is TC_ACT_UNSPEC
// and goes on to the next filter, 0 is TC_ACT_OK and ends.)
//
// Invariants:
//
//   - No program drops or changes a packet, whatever it looks like.
//   - A container's entry counts only at its own pod's link. No socket option
//     takes a pod out of its classes.
//   - Nothing is pinned: programs and maps live as long as a filter or a Set has
//     them. A new process finds them by the id in the filter ([Adopt]).
//   - [Set.Update] is idempotent and writes only what differs. New entries come
//     before old ones go; a crash between the two leaves entries that the next
//     Update removes.
//
// Start reading at [Load], for what is decided at hook.go, pods.go, services.go and
// hosts.go. Why it is so: docs/adr/0020-classification.md.
package classify
