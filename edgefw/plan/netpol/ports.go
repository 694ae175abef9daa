package netpol

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kedge-io/kedge/edgefw/model"
)

const maxPort = 65535

// protocol is TCP where none is written.
func protocol(p *corev1.Protocol) model.Protocol {
	if p == nil || *p == "" {
		return model.TCP
	}
	return model.Protocol(strings.ToLower(string(*p)))
}

// group is what a rule allows of one protocol; no ports for all of them.
type group struct {
	protocol model.Protocol
	ports    []model.PortRange
}

// has tells whether the port is one of those that are listed.
func (g group) has(port uint16) bool {
	return slices.ContainsFunc(g.ports, func(r model.PortRange) bool { return r.Contains(port) })
}

// name is a port that each pod may have under another number.
type name struct {
	protocol model.Protocol
	name     string
}

func (n name) String() string { return "port " + string(n.protocol) + "/" + n.name }

// split sorts the ports of a rule by number and by name. Without any, all
// protocols are allowed.
func split(ports []networkingv1.NetworkPolicyPort) (groups []group, names []name) {
	if len(ports) == 0 {
		return []group{{}}, nil
	}
	ranges := map[model.Protocol][]model.PortRange{}
	for _, p := range ports {
		proto := protocol(p.Protocol)
		switch {
		case p.Port == nil:
			ranges[proto] = append(ranges[proto], model.PortRange{First: 0, Last: maxPort})
		case p.Port.Type == intstr.String:
			names = append(names, name{proto, p.Port.StrVal})
		default:
			if r, ok := rangeOf(p.Port.IntVal, p.EndPort); ok {
				ranges[proto] = append(ranges[proto], r)
			}
		}
	}
	for proto, list := range ranges {
		groups = append(groups, group{proto, mergePorts(list)})
	}
	slices.SortFunc(groups, func(a, b group) int { return strings.Compare(string(a.protocol), string(b.protocol)) })
	slices.SortFunc(names, func(a, b name) int {
		return cmp.Or(strings.Compare(string(a.protocol), string(b.protocol)), strings.Compare(a.name, b.name))
	})
	return groups, slices.Compact(names)
}

func rangeOf(first int32, end *int32) (model.PortRange, bool) {
	last := first
	if end != nil {
		last = *end
	}
	if first < 1 || last < first || last > maxPort {
		return model.PortRange{}, false
	}
	return model.PortRange{First: uint16(first), Last: uint16(last)}, true
}

// mergePorts is the shortest sorted list that covers the same; nil for all.
func mergePorts(list []model.PortRange) []model.PortRange {
	slices.SortFunc(list, func(a, b model.PortRange) int { return cmp.Compare(a.First, b.First) })
	var out []model.PortRange
	for _, r := range list {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	if out[0].First <= 1 && out[0].Last == maxPort {
		return nil
	}
	return out
}

// numbers are the ports that a pod has under the name.
func (n name) numbers(p *Pod) []uint16 {
	var out []uint16
	for _, port := range p.Ports {
		if port.Name == n.name && port.Protocol == n.protocol && !slices.Contains(out, port.Port) {
			out = append(out, port.Port)
		}
	}
	return out
}

// byNumber are the pods of a list for each number that the name has.
func (ix *index) byNumber(list []int32, n name) map[uint16][]int32 {
	out := map[uint16][]int32{}
	for _, i := range list {
		for _, port := range n.numbers(ix.pods[i].Pod) {
			out[port] = append(out[port], i)
		}
	}
	return out
}
