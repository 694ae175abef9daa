package view

import (
	"net/netip"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// Paths that a server answers at its status socket about all nodes.
const (
	// PathStatus answers a [Fleet], GET.
	PathStatus = "/firewall/status"
	// PathPlan takes manifests of EdgeFirewalls and AddressSets and answers a
	// [Plan]: what would become of the nodes' rulesets, POST. Nothing is changed.
	PathPlan = "/firewall/plan"
	// PathExplain answers an [Explanation] of the packet that the query describes,
	// with [QueryFrom], [QueryTo] and [QueryProtocol], GET. An end is ADDRESS,
	// NODE or NAMESPACE/POD; that of [QueryTo] has :PORT behind it.
	PathExplain = "/firewall/explain"
)

// Queries of [PathPlan].
const (
	// QueryNode is the one node that the answer is to be about; without it, all.
	QueryNode = "node"
	// QueryDelete names an EdgeFirewall to leave out; may be there several times.
	QueryDelete = "delete"
)

// MaxManifest bounds what [PathPlan] takes, in bytes.
const MaxManifest = 4 << 20

// Fleet is how far all nodes are.
type Fleet struct {
	// Revision is the newest; 0 before anything was compiled.
	Revision uint64 `json:"revision"`
	// Problem says why nothing newer is compiled.
	Problem string     `json:"problem,omitempty"`
	Nodes   []Standing `json:"nodes"`
}

// Standing is how far one node is, as the server knows it.
type Standing struct {
	Node      string `json:"node"`
	Connected bool   `json:"connected"`
	// State is Applied, Pending, RolledBack, Failed or Unsupported, as to the
	// newest revision; Reason says why it is not Applied.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Since is when it entered the state; while Pending, when that became due
	// which it has not acknowledged.
	Since *time.Time `json:"since,omitempty"`
	// Wanted is the revision that it should have, Applied the one that it has.
	Wanted  uint64 `json:"wanted"`
	Applied uint64 `json:"applied"`
	// Latency is from the latest change to its acknowledgement, Took what the
	// node's kernel needed of it.
	Latency time.Duration `json:"latency"`
	Took    time.Duration `json:"took"`
	// Firewalls select it, in the order in which they are asked.
	Firewalls []string `json:"firewalls,omitempty"`
	// Addresses are those that servers see it come from.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Software  string       `json:"software,omitempty"`
}

// Plan is what would become of the nodes' rulesets.
type Plan struct {
	// Problems say why manifests cannot be followed. Nothing else is answered then.
	Problems []string `json:"problems,omitempty"`
	// Notes are what the answer leaves out.
	Notes []string `json:"notes,omitempty"`
	// Nodes by name.
	Nodes []PlannedNode `json:"nodes,omitempty"`
}

// PlannedNode is what would become of one node's ruleset.
type PlannedNode struct {
	Node      string   `json:"node"`
	Firewalls []string `json:"firewalls,omitempty"`
	// Ruleset is that of the plan as text, Difference what is different now. Nodes
	// for which both are those of a node further up have its name in As instead.
	As         string           `json:"as,omitempty"`
	Ruleset    string           `json:"ruleset,omitempty"`
	Difference *plan.Difference `json:"difference,omitempty"`
	Changed    bool             `json:"changed"`
	// Unreachable are rules that can never match on it.
	Unreachable []plan.Unreachable `json:"unreachable,omitempty"`
	// Risks are what the rules alone would cut and the node needs, judged by what
	// the node itself says of itself; with Assumed the node was not to be asked,
	// and FactsProblem says why.
	Risks        []plan.Risk `json:"risks,omitempty"`
	Assumed      bool        `json:"assumed,omitempty"`
	FactsProblem string      `json:"factsProblem,omitempty"`
}

// Explanation is what becomes of a packet on its way, and why.
type Explanation struct {
	From     End            `json:"from"`
	To       End            `json:"to"`
	Protocol model.Protocol `json:"protocol"`
	// Steps are the places where something decides, in the packet's order.
	Steps []Step `json:"steps,omitempty"`
	// Verdict is that of the first step that does not let it pass, otherwise allow,
	// or pass where nobody has an opinion.
	Verdict model.Action `json:"verdict"`
	// Why is one sentence for people.
	Why string `json:"why"`
}

// End is one end of a packet.
type End struct {
	// Name is what was asked for.
	Name    string         `json:"name"`
	Address netip.AddrPort `json:"address"`
	// Node has the address: its own, or that of one of its pods. Empty for the
	// world outside.
	Node string `json:"node,omitempty"`
	// Pod is "namespace/name".
	Pod string `json:"pod,omitempty"`
}

// Step is one place where something decides.
type Step struct {
	Node string `json:"node"`
	// Direction is seen from the node, or from the pod where Pod is set.
	Direction model.Direction `json:"direction"`
	Pod       string          `json:"pod,omitempty"`
	Packet    model.Packet    `json:"packet"`
	model.Decision
	// Asked tells that the node itself said so, by what its kernel has now;
	// otherwise it is what the server wants it to have.
	Asked bool `json:"asked"`
}
