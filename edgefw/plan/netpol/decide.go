package netpol

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// DecidePod says what the rules of a node's pods do with the first packet of a
// flow that the node forwards, or that a pod sends to the cluster DNS or the API
// at the node: what its sender may send, then what its receiver may get. pods
// are the addresses of the node's pods by UID. The verdict is Pass where no
// policy is about either of them. The direction of p means nothing.
//
// IDs are those of rules, or "policy/egress" (ingress) where none allows it.
func DecidePod(rs *model.Ruleset, pods map[string][]netip.Addr, p model.Packet) model.Decision {
	return model.Decision{}
}
