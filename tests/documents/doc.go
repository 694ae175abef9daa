// Package documents holds what is written about kedge against what is there:
// links, names of files, the index of decisions. What needs a running daemon is
// compared by tests/e2e/quickstart; the reference by cmd/kedge.
package documents
