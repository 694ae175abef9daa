// Command upstream is the baseline of the benchmarks: the same upstream
// programs that kedge runs in one process, each as a process of its own.
//
// The first argument names the program, the others are that program's own
// arguments, and what runs is upstream's own command: nothing is shared with
// kedge but the versions in go.mod. It is one executable because linking
// Kubernetes eight times costs minutes and measures nothing.
package main
