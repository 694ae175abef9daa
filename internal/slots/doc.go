// Package slots keeps folders that are written once and named after their
// content, <data>/<id>: the runtime bundles of agent/runtime/bundle and the
// programs that cmd/launcher unpacks share one such folder.
//
// Invariants: a slot is complete and synced to disk before it gets its name; it
// is never changed after that, only replaced as a whole; writers hold the lock
// of the folder ([Locked]), so a temporary folder found under the lock belongs
// to a dead process and is removed.
//
// The package knows nothing of what slots hold. Start reading at [Fill].
package slots
