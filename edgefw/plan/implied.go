package plan

import (
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// KnownSet is the set of addresses that pass a server's door without limit:
// those of all nodes. Only rulesets of servers have it.
const KnownSet model.SetID = "known"

// DoorRate is what a stranger may begin at a server's door. A node needs a
// handful of connections to join, and a whole site may join from one address.
var DoorRate = model.RateLimit{Count: 10, Seconds: 1, Burst: 50, Per: model.PerSource}

// Implied is a rule that stands before all rules of people and allows. A packet
// must match all of what is set. The list of [ImpliedRules] is what the kernel
// gets and what [Decide] goes by.
type Implied struct {
	// Name is the rule's word in counters and explanations, with "implied/" in
	// front. Neighbours in the list may have the same.
	Name      string
	Direction model.Direction
	// Family is 4 or 6; 0 for both.
	Family   int
	Protocol model.Protocol
	// Ports are those of the destination.
	Ports, SourcePorts []model.PortRange
	// From and To: any of them; none for everywhere.
	From, To []netip.Prefix
	// FromSet is a set of the ruleset; where that has no such set, the rule
	// matches nothing.
	FromSet model.SetID
	// Links are devices by which the packet comes (ingress) or leaves (egress).
	Links []string
	// Established: connections that were let through, and what is related to them.
	Established bool
	// Marked: the socket, or the connection, has [model.LinkMark].
	Marked bool
	// ICMPTypes are those of the family.
	ICMPTypes []uint8
	// Rate: what exceeds it goes on to the next rule.
	Rate *model.RateLimit
}

// reasons tell people why a rule is implied.
var reasons = map[string]string{
	"loopback":    "a node always reaches itself",
	"link":        "it is kedge's own way to its servers",
	"established": "it belongs to a connection that was let through",
	"servers":     "a node always reaches its servers",
	"icmp-errors": "connections break without errors of ICMP",
	"neighbours":  "IPv6 finds nobody without neighbour discovery",
	"dhcp":        "a node always keeps its address",
	"failsafe":    "the node's own list --failsafe allows it",
	"pods-dns":    "pods always reach the cluster's DNS as far as rules of the host go",
	"pods-api":    "pods always reach the API as far as rules of the host go",
	"door-known":  "nodes of the cluster always reach their servers",
	"door":        "strangers may ask to join at a limited rate; what else they may ask the server decides",
	"dns":         "a node always reaches its resolvers",
	"time":        "a node always reaches its time servers",
	"pods":        "a node always reaches its own pods",
}

// Why is one sentence for people.
func (i Implied) Why() string { return reasons[i.Name] + "; no rule can take that away" }

// ID is the word for the rule in counters, logs and decisions.
func (i Implied) ID() string { return "implied/" + i.Name }

// loopbackLink is the device of packets that the node sends to itself.
const loopbackLink = "lo"

// ICMP types without which connections break (RFC 792, RFC 4443, RFC 4890
// 4.4.1): unreachable with "fragmentation needed", packet too big, time
// exceeded, parameter problem.
var (
	icmpErrors4 = []uint8{3, 11, 12}
	icmpErrors6 = []uint8{1, 2, 3, 4}
	// neighbours6 are router and neighbour discovery (RFC 4861) and multicast
	// listeners (RFC 3810): without them IPv6 has no Ethernet.
	neighbours6 = []uint8{130, 131, 132, 133, 134, 135, 136, 143}
)

// ImpliedRules are those of one direction in the order in which they are asked.
// They have effect where that direction has a chain at all.
func ImpliedRules(facts model.Facts, direction model.Direction) []Implied {
	var rules []Implied
	if direction == model.Ingress {
		rules = slices.Concat(loopback(), established(), icmp(), dhcpIngress(), failsafe(facts), podsIngress(facts), door(facts))
	} else {
		// The link is asked before what is established: each of its packets puts
		// the mark on its connection again, also after somebody flushed.
		rules = slices.Concat(loopback(), link(), established(), servers(facts), icmp(), dhcpEgress(), names(facts), podsEgress(facts))
	}
	for i := range rules {
		rules[i].Direction = direction
	}
	return rules
}

func loopback() []Implied { return []Implied{{Name: "loopback", Links: []string{loopbackLink}}} }

func link() []Implied { return []Implied{{Name: "link", Marked: true}} }

func established() []Implied { return []Implied{{Name: "established", Established: true}} }

func icmp() []Implied {
	return []Implied{
		{Name: "icmp-errors", Family: 4, Protocol: model.ICMP, ICMPTypes: icmpErrors4},
		{Name: "icmp-errors", Family: 6, Protocol: model.ICMP, ICMPTypes: icmpErrors6},
		{Name: "neighbours", Family: 6, Protocol: model.ICMP, ICMPTypes: neighbours6},
	}
}

// The ports of DHCP (RFC 2131) and DHCPv6 (RFC 8415).
var (
	dhcpServer4 = []model.PortRange{model.Port(67)}
	dhcpClient4 = []model.PortRange{model.Port(68)}
	dhcpClient6 = []model.PortRange{model.Port(546)}
	dhcpServer6 = []model.PortRange{model.Port(547)}
)

func dhcpIngress() []Implied {
	return []Implied{
		{Name: "dhcp", Family: 4, Protocol: model.UDP, SourcePorts: dhcpServer4, Ports: dhcpClient4},
		{Name: "dhcp", Family: 6, Protocol: model.UDP, Ports: dhcpClient6},
	}
}

func dhcpEgress() []Implied {
	return []Implied{
		{Name: "dhcp", Family: 4, Protocol: model.UDP, SourcePorts: dhcpClient4, Ports: dhcpServer4},
		{Name: "dhcp", Family: 6, Protocol: model.UDP, SourcePorts: dhcpClient6, Ports: dhcpServer6},
	}
}

func failsafe(facts model.Facts) []Implied {
	var rules []Implied
	for _, f := range facts.Failsafe {
		rule := Implied{Name: "failsafe", Protocol: model.TCP, Ports: []model.PortRange{model.Port(f.Port)}}
		if f.From.Bits() == 0 {
			rule.Family = family(f.From.Addr())
		} else {
			rule.From = []netip.Prefix{f.From}
		}
		rules = append(rules, rule)
	}
	return rules
}

// podsIngress are for pods of this node; those of others have their own node's
// names and API.
func podsIngress(facts model.Facts) []Implied {
	var rules []Implied
	if facts.PodLink == "" {
		return nil
	}
	links := []string{facts.PodLink}
	if facts.ClusterDNS.IsValid() {
		for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
			rules = append(rules, Implied{Name: "pods-dns", Protocol: protocol, Links: links,
				To: hosts(facts.ClusterDNS), Ports: ports(dnsPort)})
		}
	}
	if facts.API.IsValid() && len(facts.APIPorts) > 0 {
		rules = append(rules, Implied{Name: "pods-api", Protocol: model.TCP, Links: links,
			To: hosts(facts.API), Ports: ports(facts.APIPorts...)})
	}
	return rules
}

func door(facts model.Facts) []Implied {
	if facts.Door == 0 {
		return nil
	}
	rate := DoorRate
	return []Implied{
		{Name: "door-known", Protocol: model.TCP, Ports: ports(facts.Door), FromSet: KnownSet},
		{Name: "door", Protocol: model.TCP, Ports: ports(facts.Door), Rate: &rate},
	}
}

// servers let the link begin also where the mark is lost: behind a proxy of this
// machine, for instance.
func servers(facts model.Facts) []Implied {
	var rules []Implied
	for _, server := range facts.Servers {
		rules = append(rules, Implied{Name: "servers", Protocol: model.TCP,
			To: hosts(server.Addr()), Ports: ports(server.Port())})
	}
	return rules
}

// The ports of the DNS (RFC 1035) and of NTP (RFC 5905).
const (
	dnsPort  uint16 = 53
	timePort uint16 = 123
)

func names(facts model.Facts) []Implied {
	var rules []Implied
	if len(facts.Resolvers) > 0 {
		for _, protocol := range []model.Protocol{model.UDP, model.TCP} {
			rules = append(rules, Implied{Name: "dns", Protocol: protocol, To: hosts(facts.Resolvers...), Ports: ports(dnsPort)})
		}
	}
	if len(facts.TimeServers) > 0 {
		rules = append(rules, Implied{Name: "time", Protocol: model.UDP, To: hosts(facts.TimeServers...), Ports: ports(timePort)})
	}
	return rules
}

// podsEgress lets the kubelet's probes reach pods, and untracked answers of the
// cluster's DNS and API.
func podsEgress(facts model.Facts) []Implied {
	if !facts.PodRange.IsValid() {
		return nil
	}
	return []Implied{{Name: "pods", To: []netip.Prefix{facts.PodRange}}}
}

// hosts are addresses as prefixes, of the family that they have on the wire.
func hosts(addrs ...netip.Addr) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		prefixes = append(prefixes, netip.PrefixFrom(a, a.BitLen()))
	}
	return prefixes
}

func ports(numbers ...uint16) []model.PortRange {
	ranges := make([]model.PortRange, 0, len(numbers))
	for _, n := range numbers {
		ranges = append(ranges, model.Port(n))
	}
	return ranges
}

// family is 4 or 6.
func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}
