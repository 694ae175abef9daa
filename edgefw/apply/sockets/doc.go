// Package sockets ends TCP connections of processes of this machine, whatever
// process has them: it is what ss -K does (sock_diag(7), SOCK_DESTROY). The
// process gets an error and the other end a reset.
//
// Start reading at [Open].
package sockets
