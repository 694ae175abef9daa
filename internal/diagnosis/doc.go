// Package diagnosis judges a running node by what its daemon says of itself and by
// what is on its disk: kedge doctor, after what package preflight of agents found.
//
// It is pure: figures in, findings out. It knows neither servers nor agents, so that
// the command can hand it figures of both.
//
// Start reading at [Node].
package diagnosis
