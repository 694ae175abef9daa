package render

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// The multiport match takes so many ports, a range counting twice
// (iptables-extensions(8)).
const mostPorts = 15

// join puts parts that are not empty behind each other.
func join(parts ...string) string {
	out := parts[:0:0]
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}

// protocols are the matches of a protocol and of destination ports: one, or
// several of which each is enough.
func (w *writer) protocols(p model.Protocol, ports []model.PortRange) []string {
	switch {
	case p == model.ICMP && w.Family == V6:
		return []string{"-p ipv6-icmp"}
	case p == model.AnyProtocol && len(ports) == 0:
		return []string{""}
	case p == model.AnyProtocol:
		return append(w.protocols(model.TCP, ports), w.protocols(model.UDP, ports)...)
	case len(ports) == 0 || p == model.ICMP:
		return []string{"-p " + string(p)}
	case len(ports) == 1:
		return []string{fmt.Sprintf("-p %s -m %s --dport %s", p, p, portText(ports[0]))}
	}
	var all []string
	for _, chunk := range chunks(ports) {
		all = append(all, fmt.Sprintf("-p %s -m multiport --dports %s", p, chunk))
	}
	return all
}

func portText(r model.PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d:%d", r.First, r.Last)
}

// chunks are lists of ports that fit one match each.
func chunks(ports []model.PortRange) []string {
	var all, now []string
	used := 0
	for _, p := range ports {
		size := 1
		if p.First != p.Last {
			size = 2
		}
		if used+size > mostPorts {
			all, now, used = append(all, strings.Join(now, ",")), nil, 0
		}
		now, used = append(now, portText(p)), used+size
	}
	return append(all, strings.Join(now, ","))
}

// peers are the matches of the other end: one, several of which each is
// enough, or none where nobody can match. where is src or dst.
func (w *writer) peers(sets []model.SetID, anybody bool, where string) []string {
	if anybody {
		return []string{""}
	}
	var all []string
	for _, id := range sets {
		if w.known(id) {
			all = append(all, w.match(id, where))
		}
	}
	return all
}

func (w *writer) match(id model.SetID, where string) string {
	return fmt.Sprintf("-m set --match-set %s %s", w.set(id), where)
}

// address is the match of one prefix by -s or -d. ok is false for a prefix of
// the other family.
func (w *writer) address(option string, p netip.Prefix) (text string, ok bool) {
	if !p.IsValid() || p.Bits() == 0 && w.Family.Of(p.Addr()) {
		return "", true
	}
	return fmt.Sprintf("%s %s", option, p.Masked()), w.Family.Of(p.Addr())
}

// product is every protocol with every peer.
func product(protocols, peers []string) []string {
	var all []string
	for _, peer := range peers {
		for _, protocol := range protocols {
			all = append(all, join(protocol, peer))
		}
	}
	return all
}

// comment names the rule for the counters.
func comment(id string) string { return fmt.Sprintf(`-m comment --comment "%s%s"`, Comment, Word(id)) }

// The kernel takes comments of at most 255 characters.
const longestWord = 200

// Word is how a rule's ID stands in a comment: as it is, or cut and with a hash
// where it is too long.
func Word(id string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, id)
	if clean == id && len(id) <= longestWord {
		return id
	}
	return clean[:min(len(clean), longestWord)] + "~" + short(id, 12)
}
