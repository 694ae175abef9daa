package model

import "fmt"

// Direction is seen from the node: what comes to it, or what it sends. For
// rules of pods it is seen from the pod.
type Direction string

// The directions of traffic.
const (
	Ingress Direction = "ingress"
	Egress  Direction = "egress"
)

// Directions are both.
var Directions = [2]Direction{Ingress, Egress}

// Action is what happens to a packet that a rule matches.
type Action string

// The actions. A default action is never Log. The empty action as a default is
// Pass: the firewall has no opinion, and other firewalls of the host decide.
const (
	Allow  Action = "allow"
	Deny   Action = "deny"   // dropped without an answer
	Reject Action = "reject" // TCP: reset; otherwise ICMP port unreachable
	Log    Action = "log"    // noted at a limited rate, then the next rule
	Pass   Action = ""
)

// Protocol is a transport protocol.
type Protocol string

// The protocols. ICMP is ICMP for IPv4 and ICMPv6 for IPv6. SCTP is for rules
// of pods only.
const (
	AnyProtocol Protocol = ""
	TCP         Protocol = "tcp"
	UDP         Protocol = "udp"
	ICMP        Protocol = "icmp"
	SCTP        Protocol = "sctp"
)

// OnChange says what becomes of established flows when rules change.
type OnChange string

// Keep lets established flows go on, Cut ends those that the rules of now would
// not let begin.
const (
	Keep OnChange = "keep"
	Cut  OnChange = "cut"
)

// PortRange is a range of ports, both ends included, 1 to 65535.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Port is the range of one port.
func Port(p uint16) PortRange { return PortRange{First: p, Last: p} }

// Contains tells whether p is in the range.
func (r PortRange) Contains(p uint16) bool { return r.First <= p && p <= r.Last }

// String is "80" or "8000-8010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Per says what a limit counts by.
type Per string

// PerSource counts each source address for itself, PerRule all together.
const (
	PerSource Per = "source"
	PerRule   Per = "rule"
)

// RateLimit lets new connections (with UDP and ICMP: packets that begin a
// flow) pass at a rate. What exceeds it is dropped by the rule that has the
// limit.
type RateLimit struct {
	// Count per Seconds, which is 1, 60 or 3600.
	Count   uint32 `json:"count"`
	Seconds uint32 `json:"seconds"`
	// Burst is how many pass at once; at least 1.
	Burst uint32 `json:"burst"`
	Per   Per    `json:"per"`
}

// ConnectionLimit bounds the connections that are open at a time. What exceeds
// it is dropped by the rule that has the limit.
type ConnectionLimit struct {
	Max uint32 `json:"max"`
	Per Per    `json:"per"`
}
