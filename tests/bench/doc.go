// Command bench measures what docs/benchmarks.md reports: the time and the
// processor time from an empty data directory to the first running pod, memory
// and disk writes of an idle cluster, and the rates of objects and pods.
//
// Every figure of kedge stands beside one of a baseline that is taken in the
// same run, on a host of the same laboratory: the programs of tests/bench/upstream
// as separate processes. A busy machine slows both, so the ratio is what counts.
// The two are never measured at the same time where they would compete, and the
// repetitions alternate.
//
// A subject is one of the two: kedge.go and baseline.go. Start reading at main.go.
package main
