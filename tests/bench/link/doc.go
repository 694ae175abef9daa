// Command link measures the link between a server and a node behind NAT, and
// what else carries connections that way, on the same work in the same run.
//
// A carrier is one way to reach a TCP target on the node from a process on the
// server, over connections that the node opened, with TLS 1.3 and certificates
// at both ends:
//
//	kedge         hub and spoke of this repository, with their defaults
//	remotedialer  github.com/rancher/remotedialer as it comes, with its defaults
//	konnectivity  the server and agent of sigs.k8s.io/apiserver-network-proxy, reached
//	              by HTTP CONNECT over a unix socket as an apiserver does
//	tls           the baseline: one TLS connection for each stream, made beforehand,
//	              that the node's end joins to the target with io.Copy
//	tcp           no carrier at all (loopback only): what the target itself costs
//
// Each carrier runs as it would for real: server's end, node's end and target
// are processes of their own. The process of the server's end dials and makes the
// load, because that is what an apiserver with kedge's hub in it does. The paths
// are loopback and two hosts of tests/lab with a NAT gateway between them.
//
// Start reading at main.go; work.go is what is measured, carrier.go what a
// carrier is.
package main
