// Package addons applies manifests to the cluster: every YAML or JSON file
// below <data>/server/manifests, and the ones that kedge ships, which it writes
// there at start. A file that changes is applied again, an object that left its
// file is deleted, and so is everything of a file that was removed, also when
// that happened while the server was down.
//
// What a file owns is kept in the cluster, in one ConfigMap per file in
// kube-system, written before the first object is, so that a crash orphans
// nothing. Each object carries the label [OwnerLabel].
//
// Invariants, in the order of their weight:
//
//   - a file that cannot be read or parsed whole prunes nothing;
//   - an object is only deleted while its label names the file that lost it;
//   - one bad document or file does not stop the others;
//   - an unchanged state is neither written nor logged again.
//
// Start reading at manifests.go; file.go turns files into objects (pure but
// for reading), apply.go and prune.go change the cluster, record.go remembers.
package addons
