// Package rotation leads the replacement of a cluster's authorities: it does the
// steps that a person asks for at the status socket, asks the nodes to renew at
// each of them, and knows who is not ready for the next one.
//
//	prepare   the next authorities exist and are trusted
//	switch    they sign; behind each certificate goes one by which those who know
//	          only the former authorities accept it
//	finish    the former ones are trusted no more and gone
//
// What is done to the disk, and how that survives a kill at any line, is the
// business of server/certs. This package holds no state of its own: after a
// restart it reads the phase and goes on asking. A node is ready when it has said
// itself what it trusts, with a certificate of the next authority.
//
// Start reading at [Rotation.Step].
package rotation
