// Package bed is what benchmarks stand on: an attempt that may fail as a test does
// (attempt.go), and for those of the link the certificates of a
// small cluster, a server's end of the link with the product's settings, child
// processes that end with their parent, and figures of processes.
//
// It measures nothing by itself. Start reading at authority.go.
package bed
