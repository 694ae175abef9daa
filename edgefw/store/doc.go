// Package store keeps on disk what a node enforces at its next boot before it
// hears anybody: the last ruleset that was proven, with what was known of the
// host and of DNS names at that time.
//
// Invariants: the file is replaced as a whole, so that a crash or a full disk
// leaves the former one; a file of which a byte was changed is never believed.
// Start reading at [Read] and [Write].
package store
