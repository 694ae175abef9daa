// Package flow makes traffic between two ends and counts it where it arrives.
//
// The near end runs a [Job], the far end is a [Server]. Near means only who
// opens the connection: with Job.In the far end sends. What is sent over TCP is a
// pattern that the receiver checks byte for byte; datagrams carry a number and
// the time, so that loss, order, gaps and delay in one direction are known. Both
// ends must have the same clock, as hosts of tests/lab have.
//
// Amounts are bytes of payload in bins of [Bin] since the start of the job.
//
// Start reading at [Job]; tcp.go, udp.go and echo.go have the near end's part,
// server.go the far end's.
package flow
