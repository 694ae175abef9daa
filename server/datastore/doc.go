// Package datastore gives the kube-apiserver an etcd endpoint. Without further
// configuration it keeps the cluster in SQLite, translated by kine, of which
// this package is the only user; with Config.Endpoint it hands the apiserver an
// external database or etcd cluster.
//
// Two databases are kept:
//
//   - durable, at <data>/server/db/state.db: every acknowledged write is on the
//     disk before the answer (ADR 0002);
//   - volatile, on a tmpfs: events, leases and the apiserver's own heartbeat,
//     which would otherwise be nearly all that an idle cluster writes to flash
//     (ADR 0003). It survives the death of the process, not a reboot.
//
// Invariants: a damaged database is never opened for writing; kine never
// checkpoints, compacts or vacuums on its own schedule, this package does and
// reports when that does not advance; revisions of the volatile database never
// repeat, even when its file is lost.
//
// Start reading at [New] and store.go, then instance.go for one database and
// schedule.go for what is done to it and when.
package datastore
