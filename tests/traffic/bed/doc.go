// Package bed is where traffic is measured: a cluster in the laboratory with a
// host outside of it as the far end, real lines of a known rate, and pods whose
// containers run tests/traffic.
//
//	Up -> Bed -> End.Run(job)
//
// The site of each edge is behind NAT; the far end and the server are in a public
// site. The server is no node, so that the processors of the machine are left
// to what is measured.
//
// Start reading at [Up].
package bed
