// Package cluster runs kedge on the hosts of a laboratory: it installs the
// binary and the application image, starts the server and the agents, and gives
// a test the means to look at the cluster.
//
// Everything is done the way a user does it: the programs start with the flags
// of the manual, agents join with a token that "kedge token create" printed,
// and kubectl is the embedded one, run on the server's host. Only polling uses
// client-go, which dials from inside that host.
//
// Start reading at [New].
package cluster
