// Command bandwidth measures what kedge does with bandwidth: with real pods on
// nodes of a laboratory, whose lines have a known rate, and a host outside of the
// cluster as the far end.
//
// Parts, one for each table of docs/benchmarks.md, section "Bandwidth":
//
//	accuracy    achieved against set, iperf3, and the most in any one second
//	containers  two containers of one pod, and the pod's ceiling over both
//	guarantees  three greedy pods on a line of 100 Mbit/s, one of them going idle
//	control     the control class beside 50 greedy pods
//	delay       the time that a packet waits in a saturated pod
//	changes     1000 live changes under a running transfer
//	scale       200 pods: install, change, remove, throughput, processor time
//
// Baselines are taken in the same run on a host of the same laboratory without
// kedge, in namespaces that hang on veth pairs as pods do: the bandwidth plugin
// of containernetworking/plugins called as Kubernetes calls it (containerd gives
// the largest burst there is when nobody says one), tc by exec, and nothing.
// Part scale compares in such namespaces only, with kedge's own packages: 200
// real pods are more than two processors start in reasonable time.
//
// Start reading at main.go; results.go is what is written, plain.go the host of
// the baselines.
package main
