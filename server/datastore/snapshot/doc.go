// Package snapshot saves a cluster into one file and keeps such files: their
// format, names, listing and retention, the schedule, and the recovery token.
//
// A snapshot is NAME-NODE-TIME.tar.zst, an ordinary archive (tar --zstd lists
// it) of three parts, in this order:
//
//	manifest.json   what it is: cluster, node, time, versions, revision, objects,
//	                sizes and SHA-256 of the other parts (see [Manifest])
//	state.db        the SQLite database, copied online and checked by SQLite
//	identity.age    what else makes this cluster this cluster: authorities, keys,
//	                encryption configuration, manifests of people; packed and then
//	                sealed with the recovery token (see [Token], [Identity])
//
// Behind the archive stands a trailer, a frame that zstd skips, with the length
// and the SHA-256 of all before it, so that a cut file is known without reading
// it, and a changed one by reading it once.
//
// Volatile data (leases, events) is in no snapshot: its owners make it anew.
//
// Invariants: a name ending in .tar.zst appears only when the file is whole,
// verified and on the disk; files are 0600 and the folder 0700; retention counts
// whole snapshots of this cluster, node and name alone, and never deletes the
// last one; nothing else in the folder is ever touched, except what a killed save
// has left.
//
// The package knows no SQLite and no S3: both are handed in, see [Config]. Start
// reading at [Open] for the format, at manager.go for saving.
package snapshot
