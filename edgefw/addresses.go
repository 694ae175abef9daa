package edgefw

import (
	"net/netip"
	"slices"
)

// addresses are those of pods by UID. A pod whose sandbox is being made anew has
// those of both.
func addresses(pods []Pod) map[string][]netip.Addr {
	out := make(map[string][]netip.Addr, len(pods))
	for _, p := range pods {
		all := slices.Concat(out[p.UID], p.Addrs)
		slices.SortFunc(all, netip.Addr.Compare)
		out[p.UID] = slices.Compact(all)
	}
	return out
}
