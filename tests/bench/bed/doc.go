// Package bed is what the benchmarks of the link stand on: the certificates of a
// small cluster, a server's end of the link with the product's settings, child
// processes that end with their parent, and figures of processes.
//
// It measures nothing by itself. Start reading at authority.go.
package bed
