// Package bundle carries the small programs that a node runs besides kedge
// itself and puts them on disk: runc, the containerd shim, the CNI plugins and
// the image of the pause container.
//
// The binary embeds one compressed archive and its [Manifest]. [Unpack] writes
// the archive once per content into a slot, <data>/<id>/bin and
// <data>/<id>/images, and points the link <data>/current at it.
//
// Invariants: a slot is complete and synced to disk before it gets its name; a
// slot is never changed after that, only replaced as a whole when it is
// damaged; slots of former versions stay until [Sweep], because running shims
// execute from them; writers hold a lock on <data>/.lock, so an unfinished
// folder found under the lock belongs to a dead process and is removed.
//
// The package must not start anything and knows nothing of containerd. How the
// archive is made is in scripts/bundle. Start reading at [Unpack].
package bundle
