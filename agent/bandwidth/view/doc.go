// Package view is what people see of a node's bandwidth: the tables of kedge
// bandwidth, made of snapshots.
//
// Start reading at [NewTop] and [WritePod].
package view
