// Package model holds what bandwidth is wanted on one node: its uplinks, the
// reserve of the control class, and for each pod and container a guarantee and
// a ceiling in both directions. It is pure: values in, values out.
//
// Start reading at [Node].
package model
