package apply

import (
	"net/netip"
	"slices"
	"unsafe"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// splitter knows the entries of sets by family. A set that has not changed has its
// slice in the same place, and is not looked at again.
type splitter struct {
	sets map[model.SetID]parts
}

type parts struct {
	from   *netip.Prefix
	length int
	v4, v6 []netip.Prefix
}

func (s *splitter) of(w Wish, id model.SetID, f render.Family) []netip.Prefix {
	p := s.parts(w, id)
	if f == render.V4 {
		return p.v4
	}
	return p.v6
}

func (s *splitter) parts(w Wish, id model.SetID) parts {
	set := w.Ruleset.Sets[id]
	if set.Name != "" || len(set.Pods) > 0 {
		return cut(addresses(w, set))
	}
	at := unsafe.SliceData(set.Prefixes)
	if known, ok := s.sets[id]; ok && known.from == at && known.length == len(set.Prefixes) {
		return known
	}
	p := cut(sorted(set.Prefixes))
	p.from, p.length = at, len(set.Prefixes)
	if s.sets == nil {
		s.sets = map[model.SetID]parts{}
	}
	s.sets[id] = p
	return p
}

// forget drops sets that are no more.
func (s *splitter) forget(r *model.Ruleset) {
	for id := range s.sets {
		if _, ok := r.Sets[id]; !ok {
			delete(s.sets, id)
		}
	}
}

// sorted is the list in the order of netip.Prefix.Compare, in which the families
// follow each other.
func sorted(list []netip.Prefix) []netip.Prefix {
	if slices.IsSortedFunc(list, netip.Prefix.Compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

func cut(list []netip.Prefix) parts {
	first6, _ := slices.BinarySearchFunc(list, true, func(p netip.Prefix, _ bool) int {
		if p.Addr().Is4() {
			return -1
		}
		return 1
	})
	return parts{v4: list[:first6], v6: list[first6:]}
}

// addresses are those of a DNS name, or of pods, that the node knows.
func addresses(w Wish, set model.Set) []netip.Prefix {
	var list []netip.Prefix
	add := func(all []netip.Addr) {
		for _, a := range all {
			a = a.Unmap().WithZone("")
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if set.Name != "" {
		add(w.Local.Names[set.Name])
	}
	for _, uid := range set.Pods {
		add(w.Local.Pods[uid])
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}
