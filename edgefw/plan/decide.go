package plan

import "github.com/kedge-io/kedge/edgefw/model"

// Decide says what becomes of a packet on a node, and why, in the kernel's order.
func Decide(rs *model.Ruleset, facts model.Facts, local Local, p model.Packet) model.Decision {
	return model.Decision{}
}

// DecideAlone is [Decide] without what is implied: what the rules alone would do.
func DecideAlone(rs *model.Ruleset, local Local, p model.Packet) model.Decision {
	return model.Decision{}
}
