package preflight

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/finding"
)

// route is one of the host's, and own one of its addresses.
type (
	route struct {
		to   netip.Prefix
		link string
	}
	own struct {
		addr netip.Addr
		link string
	}
)

// ownLinks are kedge's, and ownProtocol is that of its routes (agent/network).
var ownLinks = []string{"kedge0", "kedge-relay"}

const ownProtocol = 107

// ranges compares the cluster's ranges with the host's addresses and routes.
func (m *machine) ranges(context.Context) []finding.Finding {
	if m.cfg.PlanError != nil {
		return one(finding.RangeOption, finding.Error, "%v", m.cfg.PlanError)
	}
	addrs, routes, err := hostNetworks()
	if err != nil {
		return one(finding.Probe, finding.Warning, "%v", err)
	}
	return judgeRanges(m.cfg.Plan, addrs, routes, m.cfg.Assumed)
}

// hostNetworks are the addresses and routes of the host that are not kedge's.
func hostNetworks() ([]own, []route, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, nil, fmt.Errorf("list links: %w", err)
	}
	names := map[int]string{}
	var addrs []own
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		found, _ := netlink.AddrList(l, netlink.FAMILY_V4) // the link may have gone
		for _, a := range found {
			if p, err := netip.ParsePrefix(a.IPNet.String()); err == nil && !ours(l.Attrs().Name, a.Label) {
				addrs = append(addrs, own{p.Addr().Unmap(), l.Attrs().Name})
			}
		}
	}
	list, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, nil, fmt.Errorf("list routes: %w", err)
	}
	var routes []route
	for _, r := range list {
		if r.Dst == nil || int(r.Protocol) == ownProtocol || slices.Contains(ownLinks, names[r.LinkIndex]) {
			continue
		}
		if p, err := netip.ParsePrefix(r.Dst.String()); err == nil && p.Bits() > 0 {
			routes = append(routes, route{p, names[r.LinkIndex]})
		}
	}
	return addrs, routes, nil
}

// ours tells addresses that kedge gave to this host: those of its links, and on lo
// those with its labels (agent/loaddr).
func ours(link, label string) bool {
	return slices.Contains(ownLinks, link) || label == "lo:kedge" || label == "lo:kedge-api"
}

// judgeRanges finds addresses and routes in the ranges. assumed are ranges that only
// the server knows for sure.
func judgeRanges(plan clusternet.Plan, addrs []own, routes []route, assumed bool) []finding.Finding {
	bad, hint := finding.Error, ""
	if assumed {
		bad, hint = finding.Warning, " (the usual range: the server knows the real one)"
	}
	var out []finding.Finding
	for _, r := range []struct {
		what   string
		prefix netip.Prefix
	}{{"pods", plan.Pods}, {"services", plan.Services}} {
		for _, a := range addrs {
			if r.prefix.Contains(a.addr) {
				out = append(out, finding.New(finding.RangeAddress, bad, "%s of %s is in the range of %s %s%s", a.addr, a.link, r.what, r.prefix, hint))
			}
		}
		for _, to := range routes {
			switch {
			case !to.to.Overlaps(r.prefix):
			case to.to.Bits() < r.prefix.Bits():
				// A wide route (10.0.0.0/8 by a VPN) loses only what is in the range.
				out = append(out, finding.New(finding.RangeRoute, finding.Info, "the route to %s by %s contains the range of %s %s%s", to.to, to.link, r.what, r.prefix, hint))
			default:
				out = append(out, finding.New(finding.RangeRoute, finding.Warning, "the route to %s by %s is in the range of %s %s%s", to.to, to.link, r.what, r.prefix, hint))
			}
		}
	}
	if len(out) == 0 {
		return one(finding.RangeRoute, finding.OK, "nothing of this host is in %s and %s", plan.Pods, plan.Services)
	}
	return out
}
