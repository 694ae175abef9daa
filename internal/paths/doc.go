// Package paths names every file that kedge keeps on a host.
//
// All of them lie below one data directory, and what must not outlive a boot
// below one run directory that is derived from it, so that several nodes can
// live on one host. The package is pure: it computes names and touches nothing.
// Start reading at [New].
package paths
