package plan

import "github.com/kedge-io/kedge/edgefw/model"

// Risk is something that a node needs and that the rules alone would cut.
type Risk struct {
	// What is "link", "door", "ssh", "dns" or "time".
	What string `json:"what"`
	// Packet is an example.
	Packet model.Packet `json:"packet"`
	// By is the rule or default that cuts it.
	By string `json:"by"`
	// SavedBy is the implied rule that lets it pass nevertheless; empty for none.
	SavedBy string `json:"savedBy,omitempty"`
	// Why is one sentence for people.
	Why string `json:"why"`
}

// Cuts are the risks of a ruleset on a node with these facts, in the order of
// [Risk.What].
func Cuts(rs *model.Ruleset, facts model.Facts, local Local) []Risk {
	return nil
}
