// Package clusternet holds the address plan of a cluster: the ranges of pods
// and services, and the addresses with a fixed meaning inside them. It is
// pure. Start at [Plan].
package clusternet
