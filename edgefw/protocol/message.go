package protocol

import (
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Version is that of the protocol.
const Version = 1

// Hello is what a node says first, and again whenever it could not put an
// update together.
type Hello struct {
	// Version is the highest that the node speaks.
	Version int `json:"version"`
	// Software is the node's kedge version, for people.
	Software string `json:"software,omitempty"`
	// Revision is the one that the node enforces; 0 for none.
	Revision uint64 `json:"revision"`
	// Holds is what the node has and need not be sent.
	Holds Manifest `json:"holds"`
}

// State is what became of a revision on a node.
type State string

// The states that a node tells.
const (
	// StateApplied: the kernel has it, the proof is still to come.
	StateApplied State = "applied"
	// StateProven: the node reached its server over a fresh connection with it.
	StateProven State = "proven"
	// StateRolledBack: the proof failed and the former rules are back, at least
	// those of the host.
	StateRolledBack State = "rolledBack"
	// StateFailed: the node could not read it, or the kernel did not take it.
	StateFailed State = "failed"
)

// Ack is what a node says about an update. There may be several for one:
// applied, then proven or rolled back.
type Ack struct {
	// Revision is that of the update.
	Revision uint64 `json:"revision"`
	State    State  `json:"state"`
	// Enforced is the revision that the kernel has now; 0 means Revision where
	// it was applied or proven, and otherwise that none is known.
	Enforced uint64 `json:"enforced,omitempty"`
	// Reason is one sentence for people where it was rolled back or failed, at
	// most [MaxReason] bytes.
	Reason string `json:"reason,omitempty"`
	// Took is how long the kernel needed.
	Took time.Duration `json:"took,omitempty"`
}

// MaxReason bounds [Ack.Reason], in bytes; longer ones are cut.
const MaxReason = 1024

// Update takes a node from what it holds to the ruleset with the hash Root.
type Update struct {
	Revision uint64
	Root     Hash
	// Drop are sets that the ruleset no longer has.
	Drop []model.SetID
	// Parts are those that the node lacks.
	Parts []Part
}

// Kind is that of a part.
type Kind byte

// The kinds of parts.
const (
	KindHost  Kind = 'h' // all rules of the host
	KindPods  Kind = 'p' // all rules of pods
	KindSet   Kind = 's' // a set, whole
	KindDelta Kind = 'd' // a set, as the difference to one that the node has
)

// Part is one part of an update.
type Part struct {
	Kind Kind
	// Set is the set's name; empty for rules.
	Set model.SetID
	// Body are the canonical bytes, or those of a [Delta].
	Body []byte
}
