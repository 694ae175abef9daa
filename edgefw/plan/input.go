package plan

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// Input is all that rulesets depend on. Nothing in it is changed, and its
// slices and sets must not be changed by others afterwards: what did not change
// is recognised by where it is.
type Input struct {
	Firewalls []model.Firewall
	Inventory model.Inventory
	Pods      netpol.Input
	// Known are addresses that pass a server's door beside those of the nodes in
	// the inventory: those that are joining.
	Known []netip.Addr
}

// Compiled is what all nodes are to enforce.
type Compiled struct {
	// Rulesets by name of the node; every node of the inventory has one. Nodes
	// for which it is equal have the same pointer.
	Rulesets map[string]*model.Ruleset
	// Of are the names of the firewalls that select a node, in the order in which
	// they are asked. Nodes share the slices.
	Of map[string][]string
	// Unreachable are rules that were left out of a node's ruleset because they
	// can never match. Nodes share the slices.
	Unreachable map[string][]Unreachable
}

// Unreachable is a rule that can never match.
type Unreachable struct {
	// Rule is its ID.
	Rule string `json:"rule"`
	// By is the ID of the rule before it that matches all that it would; empty
	// where it has no peers at all.
	By string `json:"by,omitempty"`
}

// Local is what only the node itself knows of its sets.
type Local struct {
	// Pods are addresses of the node's pods by UID, Names those of DNS names.
	Pods  map[string][]netip.Addr
	Names map[string][]netip.Addr
	// Addresses are the node's own. With none, everything that is not to one of
	// its pods is taken for its own.
	Addresses []netip.Addr
}
