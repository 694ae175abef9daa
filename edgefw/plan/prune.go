package plan

import (
	"cmp"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Each rule is about some of these spaces of packets.
const (
	spaceTCP = iota
	spaceUDP
	spaceICMP
	spaceOther
	spaces
)

// interval is a range of ports that a rule decides.
type interval struct {
	first, last uint16
	by          string
}

// decided are the ports of each space about which rules decided before; disjoint
// and sorted.
type decided [spaces][]interval

// shadow finds rules that can never match: what they are about was decided by
// rules before them for anybody, or for each of their peers.
type shadow struct {
	anybody decided
	peers   map[model.SetID]*decided
}

func newShadow() *shadow { return &shadow{peers: map[model.SetID]*decided{}} }

// reach tells whether a rule can match, or which one is in its way, and takes
// note of it.
func (s *shadow) reach(rule *model.HostRule) (by string, ok bool) {
	if !rule.Anybody && len(rule.Peers) == 0 {
		return "", false
	}
	if by, all := s.covers(rule); all {
		return by, false
	}
	if rule.Action != model.Log {
		s.add(rule)
	}
	return "", true
}

// everything tells whether nothing is left to be decided.
func (s *shadow) everything() bool {
	_, all := s.anybody.covers(spacesOf(model.AnyProtocol), wholeRange)
	return all
}

func (s *shadow) covers(rule *model.HostRule) (by string, all bool) {
	list, ranges := spacesOf(rule.Protocol), rangesOf(rule)
	if by, all := s.anybody.covers(list, ranges); all || rule.Anybody {
		return by, all
	}
	for _, id := range rule.Peers {
		d, ok := s.peers[id]
		if !ok {
			return "", false
		}
		if by, all = d.covers(list, ranges); !all {
			return "", false
		}
	}
	return by, true
}

func (s *shadow) add(rule *model.HostRule) {
	list, ranges := spacesOf(rule.Protocol), rangesOf(rule)
	if rule.Anybody {
		s.anybody.add(list, ranges, rule.ID)
		return
	}
	for _, id := range rule.Peers {
		if s.peers[id] == nil {
			s.peers[id] = &decided{}
		}
		s.peers[id].add(list, ranges, rule.ID)
	}
}

func spacesOf(p model.Protocol) []int {
	switch p {
	case model.TCP:
		return []int{spaceTCP}
	case model.UDP:
		return []int{spaceUDP}
	case model.ICMP:
		return []int{spaceICMP}
	case model.AnyProtocol:
		return []int{spaceTCP, spaceUDP, spaceICMP, spaceOther}
	default:
		return []int{spaceOther}
	}
}

var wholeRange = []model.PortRange{{First: 0, Last: 65535}}

func rangesOf(rule *model.HostRule) []model.PortRange {
	if len(rule.Ports) == 0 {
		return wholeRange
	}
	return rule.Ports
}

func (d *decided) covers(list []int, ranges []model.PortRange) (by string, all bool) {
	for _, space := range list {
		for _, r := range ranges {
			if by, all = covered(d[space], r); !all {
				return "", false
			}
		}
	}
	return by, true
}

// covered follows intervals that touch each other; the first of them is named.
func covered(list []interval, r model.PortRange) (by string, all bool) {
	i, found := slices.BinarySearchFunc(list, r.First, func(in interval, p uint16) int { return cmp.Compare(in.first, p) })
	if !found {
		i--
	}
	if i < 0 || list[i].last < r.First {
		return "", false
	}
	by = list[i].by
	for list[i].last < r.Last {
		if i+1 == len(list) || list[i+1].first != list[i].last+1 {
			return "", false
		}
		i++
	}
	return by, true
}

func (d *decided) add(list []int, ranges []model.PortRange, by string) {
	for _, space := range list {
		for _, r := range ranges {
			d[space] = insert(d[space], r, by)
		}
	}
}

// insert adds what of r is not there yet.
func insert(list []interval, r model.PortRange, by string) []interval {
	i, found := slices.BinarySearchFunc(list, r.First, func(in interval, p uint16) int { return cmp.Compare(in.first, p) })
	apart := !found && (i == 0 || list[i-1].last < r.First) && (i == len(list) || list[i].first > r.Last)
	if apart { // the usual case
		return slices.Insert(list, i, interval{first: r.First, last: r.Last, by: by})
	}
	return merge(list, r, by)
}

func merge(list []interval, r model.PortRange, by string) []interval {
	var out []interval
	next := uint32(r.First)
	fill := func(until uint32) { // up to until, which is not included
		if until = min(until, uint32(r.Last)+1); next < until {
			out = append(out, interval{first: uint16(next), last: uint16(until - 1), by: by})
		}
	}
	for _, in := range list {
		if uint32(in.first) > next {
			fill(uint32(in.first))
		}
		out = append(out, in)
		next = max(next, uint32(in.last)+1)
	}
	fill(uint32(r.Last) + 1)
	return out
}
