// Package bandwidth tells people what became of their policies: it sums up what
// the nodes report (NodeBandwidth) into the status of each BandwidthPolicy, and
// removes the reports of nodes that are gone.
//
// Nothing depends on it: agents read policies themselves. A report touches only
// the policies about which it says something else than before, and a policy is
// written on change only, at most every 2 s ([DefaultPause]).
//
// Start reading at [New]; sum.go is the arithmetic and pure.
package bandwidth
