package netpol

import (
	"cmp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/kedge-io/kedge/edgefw/model"
)

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
	sets   map[model.SetID]model.Set
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

// Compile computes the rules of all nodes' pods. The same input, in any order,
// gives the same result.
func Compile(in Input) *Compiled { return new(Compiler).Compile(in) }

// Compile is the function [Compile].
func (c *Compiler) Compile(in Input) *Compiled {
	last := c.last
	if last == nil {
		last = &Compiled{rest: &Result{}}
	}
	out := &Compiled{rest: &Result{}}
	if len(in.Policies) > 0 {
		out = compile(in, last)
	}
	out.reuse(last)
	c.last = out
	return out
}

func compile(in Input, last *Compiled) *Compiled {
	b := &build{in: in, ix: newIndex(in), sets: map[model.SetID]model.Set{}, pods: map[string]*podSet{}, last: last.sets}
	b.nodes = make([]nodeBuild, len(b.ix.nodes))
	policies := slices.Clone(in.Policies)
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	for _, p := range policies {
		b.policy(p)
	}
	guarded := guarded(in)
	b.know(guarded)
	out := &Compiled{byNode: map[string]*Result{}, rest: &Result{Rules: model.PodRules{Guarded: guarded}}, sets: b.sets}
	for i, name := range b.ix.nodes {
		if n := &b.nodes[i]; len(n.rules.Known) > 0 {
			out.byNode[name] = n.result(guarded)
		}
	}
	return out
}

// reuse takes from the last result what is the same.
func (c *Compiled) reuse(last *Compiled) {
	if equalResults(c.rest, last.rest) {
		c.rest = last.rest
	}
	for name, r := range c.byNode {
		if before, ok := last.byNode[name]; ok && equalResults(r, before) {
			c.byNode[name] = before
		}
	}
}
