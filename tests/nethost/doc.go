// Package nethost gives namespace tests hosts that are nothing but a network
// namespace, and cables between them. Whole machines with disks and cgroups are
// those of tests/lab.
//
// A host goes with its test; nothing of it is seen outside. Start reading at
// [New].
package nethost
