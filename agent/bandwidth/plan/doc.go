// Package plan turns what is wanted on a node (package model) into what is to be
// in the kernel: for each uplink and direction one HTB tree on an IFB device,
// and the tables by which packets find their class. It is pure; a plan has a
// stable text form ([Plan.String]) which is its golden file, what kedge
// bandwidth plan prints and what is compared with the kernel.
//
// Start reading at [Plan].
package plan
