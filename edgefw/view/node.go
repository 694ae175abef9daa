package view

import (
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Paths that a node answers, at its status socket and through its link, GET only.
const (
	// PathNode answers a [Node].
	PathNode = "/firewall/node"
	// PathCounters answers a list of [Counter].
	PathCounters = "/firewall/counters"
	// PathRuleset answers the ruleset in force as text.
	PathRuleset = "/firewall/ruleset"
	// PathDecide answers a [Decision] about the packet that the query describes.
	PathDecide = "/firewall/decide"
	// PathCheck answers a line for each thing in the kernel that is not as it
	// should be, none where all is.
	PathCheck = "/firewall/check"
)

// NodePaths are all that a node answers.
var NodePaths = []string{PathNode, PathCounters, PathRuleset, PathDecide, PathCheck}

// Queries of [PathDecide]. From and to are ADDRESS or ADDRESS:PORT, where an
// address of the node or of one of its pods is one end.
const (
	QueryFrom     = "from"
	QueryTo       = "to"
	QueryProtocol = "protocol"
	// QueryLink is the device by which the packet comes; optional.
	QueryLink = "link"
)

// Node is how far a node is.
type Node struct {
	Node string    `json:"node"`
	Time time.Time `json:"time"`
	// Wanted is the revision that a server said last, Enforced the one in the
	// kernel, Proven the one with which the node reached its server last. 0 for
	// none.
	Wanted   uint64 `json:"wanted"`
	Enforced uint64 `json:"enforced"`
	Proven   uint64 `json:"proven"`
	// State is what became of the wanted revision: applied, proven, rolledBack or
	// failed; Reason says why in the latter two.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// Undecided: the server is out of reach with the former rules as well.
	Undecided bool `json:"undecided,omitempty"`
	// Minimal: what was on disk could not be believed, and no server was heard.
	Minimal bool `json:"minimal,omitempty"`
	// WantedSince is when the wanted revision came; Lag is for how long it has not
	// been in force, 0 where it is.
	WantedSince *time.Time    `json:"wantedSince,omitempty"`
	Lag         time.Duration `json:"lag"`
	// Took is how long the kernel needed for the latest change, Way how it was
	// made.
	Took time.Duration `json:"took"`
	Way  string        `json:"way,omitempty"`
	// Of what is in force.
	HostRules int `json:"hostRules"`
	PodRules  int `json:"podRules"`
	Sets      int `json:"sets"`
	Entries   int `json:"entries"`
	Pods      int `json:"pods"`
	// Since the agent started: changes of the kernel and the time for them, what
	// was rolled back, and how often rules were put back that others had changed.
	Applies   uint64        `json:"applies"`
	ApplyTime time.Duration `json:"applyTime"`
	Rollbacks uint64        `json:"rollbacks"`
	Restored  uint64        `json:"restored"`
	// Facts are what no rule takes from the node.
	Facts model.Facts `json:"facts"`
	// Trouble is what lasts, a sentence each.
	Trouble []string `json:"trouble,omitempty"`
}

// Counter is what a rule has matched since the agent started, over changes of
// other rules.
type Counter struct {
	// Rule is its ID, "implied/NAME", or "default/FIREWALL".
	Rule    string `json:"rule"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Limited of the packets were more than the rule's limits allow.
	Limited uint64 `json:"limited,omitempty"`
}

// Decision is what a node does with a packet.
type Decision struct {
	Node   string       `json:"node"`
	Packet model.Packet `json:"packet"`
	model.Decision
}
