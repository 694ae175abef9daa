// Command scale measures the server's end of the link with many agents on one
// machine: memory for each idle agent, processor time while nothing happens, and
// how long it takes until all are back after the server was killed.
//
// The agents are real spokes with a certificate each, several hundred to a
// process, and each has a fake kubelet: a listener that returns what it gets. The
// server is a process of its own with a real hub behind TLS and the apiserver's
// settings and the distributor of the edge firewall, which keeps a stream to each
// agent, and nothing else in it, so that a difference is theirs.
//
// The baseline, in the same run, is the same number of idle TLS connections with
// the same certificates: what no link that is encrypted and authenticated can do
// without.
//
// Start reading at main.go; server.go and agents.go are the two kinds of process.
package main
