package model

import "net/netip"

// Packet is the first packet of a flow, or one of an established flow.
type Packet struct {
	Direction Direction
	Protocol  Protocol
	From, To  netip.AddrPort // ports are 0 with ICMP
	// Link is the device by which it comes, where that matters.
	Link string
	// Mark is that of the socket that sends it.
	Mark uint32
	// Established tells that it belongs to a flow that was let through.
	Established bool
	// ICMPType is that of the family's ICMP.
	ICMPType uint8
}

// Decision is what becomes of a packet, and why.
type Decision struct {
	// Verdict is Allow, Deny, Reject, or Pass where the firewall has no opinion.
	Verdict Action `json:"verdict"`
	// Rule is the ID of the rule that decided, "implied/NAME", or
	// "default/FIREWALL"; empty with Pass.
	Rule string `json:"rule,omitempty"`
	// Why is one sentence for people.
	Why string `json:"why"`
	// Limited tells that the rule allows only so much.
	Limited bool `json:"limited,omitempty"`
	// Logged are rules with action log that matched before.
	Logged []string `json:"logged,omitempty"`
}
