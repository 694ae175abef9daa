package plan

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// Compiler compiles again and again and keeps what did not change. Its zero
// value is ready. It is not for concurrent use.
type Compiler struct {
	pods netpol.Compiler
	last *memory
	// number counts what was made: two things with the same number are the same.
	number int
}

// Compile computes the rulesets of all nodes. The same input, in any order,
// gives the same result.
func Compile(in Input) Compiled { return new(Compiler).Compile(in) }

// Compile is the function [Compile]; rulesets, sets and slices that are the same
// as last time are the same pointers.
func (c *Compiler) Compile(in Input) Compiled {
	if c.last == nil {
		c.last = newMemory()
	}
	r := &run{c: c, in: &in, now: newMemory(), pods: c.pods.Compile(withRanges(in)),
		sources: map[model.SetID]source{}, common: map[*host]*common{}}
	r.firewalls = r.translateAll()
	r.services = r.servicesByNode()
	r.sites = sitesOf(&in.Inventory)
	out := r.nodes()
	c.last = r.now
	return out
}

// withRanges is what network policies are about, with the ranges in which nodes
// can give addresses away.
func withRanges(in Input) netpol.Input {
	pods := in.Pods
	if pods.Ranges == nil && len(pods.Policies) > 0 {
		pods.Ranges = map[string][]netip.Prefix{}
		for _, n := range in.Inventory.Nodes {
			if len(n.PodRanges) > 0 {
				pods.Ranges[n.Name] = n.PodRanges
			}
		}
	}
	return pods
}

// run is one compilation.
type run struct {
	c   *Compiler
	in  *Input
	now *memory
	// firewalls are in the order in which they are asked.
	firewalls []firewall
	services  map[string][]*service
	sites     *sites
	pods      *netpol.Compiled
	// sources tell what is in the sets that firewalls and services name.
	sources map[model.SetID]source
	common  map[*host]*common
}

// memory is what one compilation leaves to the next: all that it made or found
// in the memory before it.
type memory struct {
	translations map[string]*translation // by name of the firewall
	services     map[string]*service     // by name
	selections   map[string]*selection   // by the numbers of what was selected
	hosts        map[string]*host        // by selection and private addresses
	equal        map[string]*host        // by content
	sets         map[setKey]*set
	contents     map[string]*set // those of sites, by content
	pods         map[*netpol.Result]int
	rulesets     map[string]*model.Ruleset // by the numbers of its parts
}

func newMemory() *memory {
	return &memory{
		translations: map[string]*translation{}, services: map[string]*service{}, selections: map[string]*selection{},
		hosts: map[string]*host{}, equal: map[string]*host{}, sets: map[setKey]*set{}, contents: map[string]*set{},
		pods: map[*netpol.Result]int{}, rulesets: map[string]*model.Ruleset{},
	}
}

func (c *Compiler) next() int {
	c.number++
	return c.number
}
