package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

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

// Cuts are the risks of a ruleset on a node with these facts: the way to each
// server, the door of a server for each address that it knows, ssh, each
// resolver and each time server.
func Cuts(rs *model.Ruleset, facts model.Facts, local Local) []Risk {
	var risks []Risk
	add := func(what string, p model.Packet) {
		if r, cut := riskOf(rs, facts, local, what, p); cut {
			risks = append(risks, r)
		}
	}
	for _, server := range facts.Servers {
		add("link", egress(model.TCP, server))
	}
	if facts.Door != 0 {
		for _, p := range rs.Sets[KnownSet].Prefixes {
			add("door", ingress(p.Addr(), facts.Door))
		}
	}
	risks = append(risks, sshRisks(rs, facts, local)...)
	for _, a := range facts.Resolvers {
		add("dns", egress(model.UDP, netip.AddrPortFrom(a, dnsPort)))
	}
	for _, a := range facts.TimeServers {
		add("time", egress(model.UDP, netip.AddrPortFrom(a, timePort)))
	}
	return risks
}

// sourcePort stands for the port of a client, which no rule asks about.
const sourcePort = 40000

func egress(protocol model.Protocol, to netip.AddrPort) model.Packet {
	return model.Packet{Direction: model.Egress, Protocol: protocol, From: netip.AddrPortFrom(unspecified(to.Addr()), sourcePort), To: to}
}

func ingress(from netip.Addr, port uint16) model.Packet {
	return model.Packet{Direction: model.Ingress, Protocol: model.TCP,
		From: netip.AddrPortFrom(from, sourcePort), To: netip.AddrPortFrom(unspecified(from), port)}
}

// unspecified stands for the node's own address of the same family.
func unspecified(a netip.Addr) netip.Addr {
	if family(a) == 4 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// riskOf compares what the rules do alone with what becomes of the packet.
func riskOf(rs *model.Ruleset, facts model.Facts, local Local, what string, p model.Packet) (Risk, bool) {
	local.Addresses = nil // the packet's own end is a stand-in
	alone := newJudge(rs, facts, local, noImplied).decide(p)
	if !refuses(alone) || p.To.Addr().IsLoopback() {
		return Risk{}, false
	}
	r := Risk{What: what, Packet: p, By: alone.Rule}
	if d := Decide(rs, facts, local, p); !refuses(d) {
		r.SavedBy = d.Rule
	}
	r.Why = r.sentence()
	return r, true
}

func (r *Risk) sentence() string {
	other := r.Packet.To.String()
	if r.Packet.Direction == model.Ingress {
		other = fmt.Sprintf("port %d from %s", r.Packet.To.Port(), r.Packet.From.Addr())
	}
	if r.SavedBy == "" {
		return fmt.Sprintf("%s cuts %s: %s", r.By, r.What, other)
	}
	return fmt.Sprintf("%s would cut %s (%s), which %s lets pass", r.By, r.What, other, r.SavedBy)
}

// sshPort is that of RFC 4250.
const sshPort uint16 = 22

// sshRisks are about the ways in of the failsafe list and, without one, about
// port 22 being closed to everybody.
func sshRisks(rs *model.Ruleset, facts model.Facts, local Local) []Risk {
	var risks []Risk
	for _, f := range facts.Failsafe {
		from := f.From.Addr()
		if f.From.Bits() == 0 {
			from = stranger(from)
		}
		if r, cut := riskOf(rs, facts, local, "ssh", ingress(from, f.Port)); cut {
			risks = append(risks, r)
		}
	}
	if len(facts.Failsafe) > 0 || someoneReaches(rs, sshPort) {
		return risks
	}
	if r, cut := riskOf(rs, facts, local, "ssh", ingress(stranger(netip.IPv4Unspecified()), sshPort)); cut {
		r.Why = fmt.Sprintf("%s closes port %d to everybody; the flag --failsafe of the agent would keep it open for some", r.By, sshPort)
		risks = append(risks, r)
	}
	return risks
}

// stranger is an address of networks for documentation (RFC 5737, RFC 3849),
// which nobody has.
func stranger(a netip.Addr) netip.Addr {
	if family(a) == 4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, 1})
	}
	return netip.MustParseAddr("2001:db8::1")
}

// someoneReaches tells whether a rule lets anybody begin TCP to a port.
func someoneReaches(rs *model.Ruleset, port uint16) bool {
	return slices.ContainsFunc(rs.Host.Ingress.Rules, func(r model.HostRule) bool {
		return r.Action == model.Allow && (r.Protocol == model.AnyProtocol || r.Protocol == model.TCP) &&
			(len(r.Ports) == 0 || anyPort(r.Ports, port))
	})
}
