package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// matches tells whether a rule of people is about a packet, and whom it takes the
// other end for.
func (j *judge) matches(rule *model.HostRule, p model.Packet) (why string, ok bool) {
	if rule.Protocol != model.AnyProtocol && rule.Protocol != p.Protocol {
		return "", false
	}
	if len(rule.Ports) > 0 && !anyPort(rule.Ports, p.To.Port()) {
		return "", false
	}
	if rule.Anybody {
		return "it is about anybody", true
	}
	other := p.From.Addr()
	if p.Direction == model.Egress {
		other = p.To.Addr()
	}
	for _, id := range rule.Peers {
		if j.inSet(id, other) {
			return fmt.Sprintf("%s is in %s", other, id), true
		}
	}
	return "", false
}

// matchesImplied tells whether an implied rule is about a packet.
func (j *judge) matchesImplied(rule *Implied, p model.Packet) bool {
	switch {
	case rule.Family != 0 && rule.Family != family(p.To.Addr()),
		rule.Established && !p.Established,
		rule.Marked && p.Mark != model.LinkMark,
		len(rule.Links) > 0 && !slices.Contains(rule.Links, p.Link),
		rule.Protocol != model.AnyProtocol && rule.Protocol != p.Protocol,
		len(rule.ICMPTypes) > 0 && !slices.Contains(rule.ICMPTypes, p.ICMPType),
		len(rule.Ports) > 0 && !anyPort(rule.Ports, p.To.Port()),
		len(rule.SourcePorts) > 0 && !anyPort(rule.SourcePorts, p.From.Port()),
		len(rule.From) > 0 && !inside(rule.From, p.From.Addr()),
		len(rule.To) > 0 && !inside(rule.To, p.To.Addr()),
		rule.FromSet != "" && !j.inSet(rule.FromSet, p.From.Addr()):
		return false
	}
	return true
}

func anyPort(ranges []model.PortRange, port uint16) bool {
	return slices.ContainsFunc(ranges, func(r model.PortRange) bool { return r.Contains(port) })
}

// inSet tells whether an address is in a set as it is now.
func (j *judge) inSet(id model.SetID, a netip.Addr) bool {
	s := j.rs.Sets[id]
	if s.Name != "" {
		return slices.Contains(j.local.Names[s.Name], a)
	}
	if len(s.Pods) > 0 {
		return slices.ContainsFunc(s.Pods, func(uid string) bool { return slices.Contains(j.local.Pods[uid], a) })
	}
	return holds(s.Prefixes, a)
}
