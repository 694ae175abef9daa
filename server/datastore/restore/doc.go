// Package restore makes a server's data directory that of a snapshot, or goes
// on with a damaged database when a person accepts the loss.
//
// Everything is made aside and checked first; then a plan is written, and from
// that moment the restore happens, whatever kills the process: the plan is a
// list of renames, which whoever comes next carries out again from its
// beginning, [Finish] at the start of a server or [Run]. Before the plan is
// written nothing that a server uses has been touched.
//
// Invariants: what was there is kept, in a folder whose name is told; an
// identity that is there is never replaced by that of another cluster; the
// caller holds the lock of the data directory.
//
// Start reading at [Run], then plan.go.
package restore
