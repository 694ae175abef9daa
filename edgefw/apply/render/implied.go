package render

import (
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// saveMark gives connections of kedge's own sockets the mark that their packets
// have, so that what comes back has it, too.
func (s *section) saveMark() {
	if s.direction != model.Egress {
		return
	}
	s.early = append(s.early, rule{
		match:  fmt.Sprintf("-m mark --mark %#x -m connmark ! --mark %#x", model.LinkMark, model.LinkMark),
		target: fmt.Sprintf("-j CONNMARK --set-xmark %#x/0xffffffff", model.LinkMark),
	})
}

// implied writes one rule that facts imply. Established packets never come
// here.
func (s *section) implied(i plan.Implied) {
	if i.Established || i.Family != 0 && Family(i.Family) != s.w.Family {
		return
	}
	for _, m := range s.impliedMatches(i) {
		s.main.add(join(m, s.impliedRate(i), comment(i.ID())), "-j RETURN")
	}
}

// network6 is the length of the IPv6 network that a stranger has at least.
const network6 = 64

func (s *section) impliedRate(i plan.Implied) string {
	if i.Rate == nil {
		return ""
	}
	text := s.w.rate("upto", i.ID(), *i.Rate)
	if s.w.Family == V6 && i.Rate.Per == model.PerSource {
		// Whoever has one address of a network has all of them.
		text += fmt.Sprintf(" --hashlimit-srcmask %d", network6)
	}
	return text
}

// impliedMatches are all of which each is enough, in the order of options in
// which iptables-save prints them.
func (s *section) impliedMatches(i plan.Implied) []string {
	sets, ok := s.impliedSets(i)
	if !ok {
		return nil
	}
	mark := ""
	switch {
	case i.Marked && s.direction == model.Egress:
		mark = fmt.Sprintf("-m mark --mark %#x", model.LinkMark)
	case i.Marked:
		mark = fmt.Sprintf("-m connmark --mark %#x", model.LinkMark)
	}
	var all []string
	for _, from := range s.addresses("-s", i.From) {
		for _, to := range s.addresses("-d", i.To) {
			for _, link := range s.links(i.Links) {
				for _, protocol := range s.impliedProtocols(i) {
					all = append(all, join(from, to, link, protocol, mark, sets))
				}
			}
		}
	}
	return all
}

func (s *section) impliedSets(i plan.Implied) (text string, ok bool) {
	if i.FromSet == "" {
		return "", true
	}
	if !s.w.known(i.FromSet) {
		return "", false
	}
	return s.w.match(i.FromSet, "src"), true
}

// addresses are those of the family; none at all is everywhere.
func (s *section) addresses(option string, prefixes []netip.Prefix) []string {
	if len(prefixes) == 0 {
		return []string{""}
	}
	var all []string
	for _, p := range prefixes {
		if text, ok := s.w.address(option, p); ok {
			all = append(all, text)
		}
	}
	return all
}

func (s *section) links(names []string) []string {
	option := "-i "
	if s.direction == model.Egress {
		option = "-o "
	}
	if len(names) == 0 {
		return []string{""}
	}
	var all []string
	for _, name := range names {
		if name != "" {
			all = append(all, option+name)
		}
	}
	return all
}

func (s *section) impliedProtocols(i plan.Implied) []string {
	if len(i.ICMPTypes) > 0 {
		return s.icmpTypes(i.ICMPTypes)
	}
	if len(i.SourcePorts) == 0 {
		return s.w.protocols(i.Protocol, i.Ports)
	}
	var all []string
	for _, from := range i.SourcePorts {
		text := fmt.Sprintf("-p %s -m %s --sport %s", i.Protocol, i.Protocol, portText(from))
		if len(i.Ports) == 0 {
			all = append(all, text)
		}
		for _, to := range i.Ports {
			all = append(all, text+" --dport "+portText(to))
		}
	}
	return all
}

func (s *section) icmpTypes(types []uint8) []string {
	var all []string
	for _, t := range types {
		if s.w.Family == V6 {
			all = append(all, fmt.Sprintf("-p ipv6-icmp -m icmp6 --icmpv6-type %d", t))
		} else {
			all = append(all, fmt.Sprintf("-p icmp -m icmp --icmp-type %d", t))
		}
	}
	return all
}
