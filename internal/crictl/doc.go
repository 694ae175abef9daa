// Package crictl is the crictl program of cri-tools as a function.
//
// cri-tools publishes crictl only as package main. make generate writes its
// sources, at the version pinned in go.mod, into git-ignored zz_generated_
// files of this package (see scripts/gensource); they register themselves as
// the entry. Without them the package still compiles and [Main] says how to get
// them, so that go vet and editors work on a fresh clone.
package crictl
