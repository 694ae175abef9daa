// Package version knows what this binary is made of: the versions of kedge,
// Kubernetes, containerd, runc, kine, SQLite and Go.
//
// Versions of modules are read from the build information that the linker
// writes; only what that cannot know is set by the Makefile with -X (see
// LDFLAGS there). A binary that was built without the Makefile says so in
// Kedge and still works. Start reading at [Get].
package version
