// Package iperf has the arguments for iperf3(1) and reads what it prints.
//
// Counts are those of the end that received: the client's own with Reverse, else
// the server's, which has to run with [ServerArgs] so that it sends them along.
package iperf
